"""A corpus on disk: prompts once, entries with ids and masks, tables for people.

Continuations of one trace have prompts of which each begins with the next shorter one: the longest
is stored, and an entry says how many of its ids are the entry's prompt.

A mask is kept as lengths of runs that alternate, the first of them not trained: [0, 40, 12, 8] is
40 trained ids, 12 that are not, 8 trained.
"""

import csv
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as arrow
from numpy.typing import NDArray
from pyarrow import parquet

from training.errors import BadTraces, EmptyCorpus, reading
from training.traces.trace import Ids, Mask

ENTRIES, PROMPTS, PAIRS = "entries.parquet", "prompts.parquet", "pairs.jsonl"
TABLE, LINES, CARD, ORIGIN = "corpus.csv", "tokens.jsonl", "README.md", "corpus.json"
PROMPT_LINES = "prompts.jsonl"
#: What a corpus is in, as far as it has them; the card and the record of where it is from aside.
FILES = (ENTRIES, PROMPTS, PAIRS, TABLE, LINES, PROMPT_LINES)
#: The columns of `corpus.csv`, by the issue that asked for this format.
TABLE_COLUMNS = (
    "problem_id", "problem_source", "prompt", "completion", "character_count", "token_count",
    "annotation_reason", "included",
)  # fmt: skip
#: Level 9 makes recorded attempts 13 % smaller than level 3; 19 takes ten times as long for 13 %.
_COMPRESSION: dict[str, Any] = {
    "compression": "zstd", "compression_level": 9, "use_dictionary": False,
}  # fmt: skip
#: Ids of a group of rows: 8 MB.
_GROUP_IDS = 2_000_000

_PROMPT_SCHEMA = arrow.schema(
    [
        ("prompt", arrow.int32()),
        ("problem_id", arrow.string()),
        ("ids", arrow.list_(arrow.uint32())),
    ]
)
_ENTRY_SCHEMA = arrow.schema(
    [
        ("entry", arrow.int64()), ("problem_id", arrow.string()), ("kind", arrow.string()),
        ("source", arrow.string()), ("licence", arrow.string()), ("model", arrow.string()),
        ("solve_id", arrow.string()), ("attempt", arrow.int64()), ("reward", arrow.float64()),
        ("trained", arrow.bool_()), ("weight", arrow.float32()), ("prompt", arrow.int32()),
        ("prompt_tokens", arrow.int32()), ("runs", arrow.list_(arrow.int32())),
        ("ids", arrow.list_(arrow.uint32())), ("overlap", arrow.float32()),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One completion. `trained` is False for the rejected side of a pair, kept for that alone.

    `base` is a longer list that begins with the prompt; it is stored in the prompt's place.
    `overlap` is the most that it has in common with an entry that was taken before it, 0 to 1; None
    where novelty was not judged.
    """

    number: int
    problem_id: str
    kind: str
    prompt: Ids
    ids: Ids
    mask: Mask
    weight: float = 1.0
    trained: bool = True
    source: str | None = None
    licence: str | None = None
    model: str | None = None
    solve_id: str | None = None
    attempt: int | None = None
    reward: float | None = None
    base: Ids | None = None
    overlap: float | None = None


def to_runs(mask: Mask) -> NDArray[np.int32]:
    """Return a mask's alternating run lengths, the first of zeros."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0))
    return np.diff(np.concatenate([[0], edges, [len(mask)]])).astype(np.int32)


def from_runs(runs: NDArray[np.int32]) -> Mask:
    """Return the mask of alternating run lengths."""
    values = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.repeat(values, runs)


class CorpusWriter:
    """Writes entries to the files of a folder; `close` must be called for them to be whole."""

    def __init__(self, folder: Path, *, lines: bool) -> None:
        self._prompts: dict[bytes, int] = {}
        self._rows: list[Entry] = []
        self._held = 0
        self._entries = parquet.ParquetWriter(folder / ENTRIES, _ENTRY_SCHEMA, **_COMPRESSION)
        self._prompt_file = parquet.ParquetWriter(folder / PROMPTS, _PROMPT_SCHEMA, **_COMPRESSION)
        self._new_prompts: list[tuple[int, str, Ids]] = []
        self._lines = (folder / LINES).open("wb") if lines else None
        self._prompt_lines = (folder / PROMPT_LINES).open("wb") if lines else None
        self.entries = 0

    @property
    def prompts(self) -> int:
        """How many different prompts there are."""
        return len(self._prompts)

    def add(self, entry: Entry) -> None:
        """Take an entry."""
        self.entries += 1
        self._rows.append(entry)
        self._held += len(entry.ids)
        if self._held >= _GROUP_IDS:
            self._flush()

    def close(self) -> None:
        """Write what is held back, and the files' ends."""
        self._flush()
        self._entries.close()
        self._prompt_file.close()
        for file in (self._lines, self._prompt_lines):
            if file is not None:
                file.close()

    def _prompt(self, entry: Entry) -> int:
        ids = entry.prompt if entry.base is None else entry.base
        key = hashlib.sha256(ids.tobytes()).digest()
        number = self._prompts.get(key)
        if number is None:
            number = self._prompts[key] = len(self._prompts)
            self._new_prompts.append((number, entry.problem_id, ids))
        return number

    def _flush(self) -> None:
        rows, self._rows, self._held = self._rows, [], 0
        if not rows:
            return
        prompts = [self._prompt(row) for row in rows]
        runs = [to_runs(row.mask) for row in rows]
        columns: list[Any] = [
            [getattr(row, "number" if name == "entry" else name) for row in rows]
            for name in _ENTRY_SCHEMA.names[:11]
        ]
        lengths = [len(row.prompt) for row in rows]
        columns += [
            prompts, lengths, _lists(runs, np.int32), _lists([row.ids for row in rows], np.uint32),
            [row.overlap for row in rows],
        ]  # fmt: skip
        self._entries.write_table(arrow.table(columns, schema=_ENTRY_SCHEMA))
        if self._new_prompts:
            numbers, problems, ids = zip(*self._new_prompts, strict=True)
            table = [list(numbers), list(problems), _lists(list(ids), np.uint32)]
            self._prompt_file.write_table(arrow.table(table, schema=_PROMPT_SCHEMA))
            self._write_prompt_lines()
            self._new_prompts = []
        if self._lines is not None:
            for row, prompt, run in zip(rows, prompts, runs, strict=True):
                self._lines.write(orjson.dumps(_line(row, prompt, run), option=_NUMPY))

    def _write_prompt_lines(self) -> None:
        if self._prompt_lines is None:
            return
        for number, problem_id, ids in self._new_prompts:
            line = {
                "prompt": number, "problem_id": problem_id, "runs": [len(ids)],
                "ids": np.ascontiguousarray(ids),
            }  # fmt: skip
            self._prompt_lines.write(orjson.dumps(line, option=_NUMPY))


_NUMPY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def _line(row: Entry, prompt: int, runs: NDArray[np.int32]) -> dict[str, Any]:
    return {
        "entry": row.number, "problem_id": row.problem_id, "kind": row.kind, "weight": row.weight,
        "trained": row.trained, "prompt": prompt, "prompt_tokens": len(row.prompt), "runs": runs,
        "ids": np.ascontiguousarray(row.ids),
    }  # fmt: skip


def _lists(arrays: list[NDArray[Any]], of: type) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a column of lists without a Python object for each number."""
    offsets = np.cumsum([0, *(len(each) for each in arrays)], dtype=np.int32)
    values = np.concatenate(arrays) if arrays else np.empty(0, of)
    return arrow.ListArray.from_arrays(arrow.array(offsets), arrow.array(values.astype(of)))


def read_entries(folder: Path) -> Iterator[Entry]:
    """Yield a corpus's entries, one group of rows in memory at a time.

    Raises:
        BadTraces: the folder holds no whole corpus.
    """
    with reading(folder, BadTraces):
        try:
            prompts = parquet.read_table(folder / PROMPTS)
            ids = [column.values.to_numpy() for column in prompts.column("ids")]
            file = parquet.ParquetFile(folder / ENTRIES)
            for group in range(file.num_row_groups):
                for row in _rows(file.read_row_group(group)):
                    yield _entry(row, ids)
        except (arrow.ArrowInvalid, KeyError, IndexError) as error:
            raise BadTraces(f"{folder}: not a whole corpus ({error}); make it again") from None


def _rows(table: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - pyarrow has no types
    columns = {name: table.column(name) for name in table.column_names}
    for place in range(table.num_rows):
        yield {
            name: column[place].values.to_numpy()
            if name in {"ids", "runs"}
            else column[place].as_py()
            for name, column in columns.items()
        }


def _entry(row: dict[str, Any], prompts: list[Ids]) -> Entry:
    # a corpus of an older version has whole prompts alone
    return Entry(
        number=row["entry"],
        prompt=prompts[row["prompt"]][: row.get("prompt_tokens")],
        mask=from_runs(row["runs"]),
        **{name: row[name] for name in _ENTRY_SCHEMA.names[1:11]},
        ids=row["ids"],
        overlap=row.get("overlap"),
    )


@dataclass(frozen=True, slots=True)
class Example:
    """What a trainer is given: ids and a weight for each; both of shape (count,).

    The first `prompt_tokens` ids are the prompt.
    """

    entry: int
    problem_id: str
    prompt_tokens: int
    ids: Ids
    weights: NDArray[np.float32]


def read_examples(
    folder: Path, *, longest: int | None = None, kinds: Collection[str] = ()
) -> list[Example]:
    """Return the trained entries whole, prompt and completion; longer ones are cut at the end.

    `kinds` are those that are wanted, of all kinds where it is empty.

    Raises:
        EmptyCorpus: there are none, or none has an id that is trained.
        BadTraces: the folder holds no whole corpus.
    """
    examples = []
    for entry in read_entries(folder):
        if not entry.trained or (kinds and entry.kind not in kinds):
            continue
        ids = np.concatenate([entry.prompt, entry.ids])[:longest]
        weights = np.zeros(len(ids), np.float32)
        own = entry.mask[: max(len(ids) - len(entry.prompt), 0)]
        weights[len(entry.prompt) :] = own * np.float32(entry.weight)
        if weights[1:].any():  # nothing predicts the first id
            examples.append(
                Example(entry.number, entry.problem_id, len(entry.prompt), ids, weights)
            )
    if not examples:
        told = f"of kind {' or '.join(sorted(kinds))} " if kinds else ""
        raise EmptyCorpus(
            f"{folder}: no entry {told}has an id to train on; loosen the rules that chose them"
        )
    return examples


def table_writer(file: Any) -> Any:  # noqa: ANN401 - the csv module's own
    """Return a CSV writer on an open file, its heading written."""
    writer = csv.writer(file)
    writer.writerow(TABLE_COLUMNS)
    return writer
