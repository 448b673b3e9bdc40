"""Files of traces: a journal's export, or attempts that another tool recorded in Harmony.

An export's plans are left out: another model wrote them, with another vocabulary.

Of Harmony, a line has `prompt_tokens` and `completion_tokens`, and any of `problem_id`,
`statement`, `correct_answer`, `attempt_answer`. Which of its ids the model sampled is seen from the
messages: those of other authors, and the words that hand the turn back to the model, were appended.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import BadTraces, MissingExtra, reading
from training.json_rows import loads
from training.traces.trace import COLUMNS, Ids, Mask, Trace

#: Integers are stored in columns of this many, on either side of zero.
INT64 = 1 << 63

#: Ids of gpt-oss's vocabulary (o200k_harmony): `<|start|>` and `assistant`.
START, ASSISTANT = 200006, 173781
#: Above this no vocabulary reaches; float or negative ids are refused as well.
MOST_ID = 1 << 24
#: The role of an export's rows that are no attempts.
_PLAN = "plan"
#: Rows of Parquet in memory at a time.
_BATCH = 64

#: Where files of other tools have no value for these, they have an empty text: two are not equal.
_MAY_BE_BLANK = frozenset({"answer", "truth"})
#: Names of columns in other tools' files.
_NAMES = {
    "statement": "problem", "correct_answer": "truth", "attempt_answer": "answer",
    "ground_truth": "truth", "license": "licence",
}  # fmt: skip


def read_traces(path: Path) -> Iterator[Trace]:
    """Yield the traces of a file of JSON lines or Parquet, one at a time.

    Raises:
        BadTraces: the file cannot be read, or a row is not a trace; its number is named.
        MissingExtra: Parquet needs pyarrow.
    """
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
    for number, row in rows:
        if row.get("role") == _PLAN:
            continue
        try:
            trace = to_trace(row)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadTraces(
                f"{path}, row {number}: {error}; it must be a row of `quorum journal export` or "
                "have prompt_tokens and completion_tokens"
            ) from None
        if "solve_id" not in trace.values:
            # other tools name no solve: file and row do, for what is said of the trace
            trace.values.update(solve_id=path.stem, attempt=number - 1)
        yield trace


def to_trace(row: dict[str, Any]) -> Trace:
    """Return the trace of a row.

    Raises:
        ValueError, TypeError, OverflowError: it is none.
    """
    ids, mask = _ids_and_mask(row)
    named = {_NAMES.get(name, name): value for name, value in row.items()}
    values: dict[str, Any] = {}
    for name, types in COLUMNS.items():
        value = named.get(name)
        if value is None or (name in _MAY_BE_BLANK and not str(value).strip()):
            continue
        value = _of_type(value, types)
        if not isinstance(value, types):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, int) and not -INT64 <= value < INT64:
            raise ValueError(f"{name} is {value}; must be of 64 bits")
        values[name] = value
    return Trace(ids, mask, values)


def _ids_and_mask(row: dict[str, Any]) -> tuple[Ids, Mask]:
    if (
        row.get("ids") is not None and row.get("mask") is not None
    ):  # counts of use may stand beside them, named as Harmony's
        ids, mask = _ids(row["ids"]), np.asarray(row["mask"])
        if mask.shape != ids.shape or not np.isin(mask, (0, 1)).all():
            raise ValueError(f"a mask of shape {mask.shape} for {len(ids)} ids")
        return ids, mask.astype(np.uint8)
    missing = [name for name in ("prompt_tokens", "completion_tokens") if row.get(name) is None]
    if missing:
        raise ValueError("no token ids" if len(missing) == 2 else f"no {missing[0]}")
    prompt, completion = _ids(row["prompt_tokens"]), _ids(row["completion_tokens"])
    mask = np.concatenate([np.zeros(len(prompt), np.uint8), harmony_mask(completion)])
    return np.concatenate([prompt, completion]), mask


def _of_type(value: Any, types: tuple[type, ...]) -> Any:  # noqa: ANN401 - a row of somebody's file
    """Return a number that stands where text or an integer belongs, such as 7 or 401.0, so."""
    if isinstance(value, float) and not {float, bool} & set(types):
        value = int(value) if value.is_integer() else str(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and types == (str,) else value


def harmony_mask(completion: Ids) -> Mask:
    """Return the mask of what follows a Harmony prompt, shape (count,).

    A message that begins with another author than `assistant` was appended, and so was the
    `<|start|>assistant` after it.
    """
    mask = np.ones(len(completion), np.uint8)
    starts = np.flatnonzero(completion == START)
    appended_from = -1
    for start in starts.tolist():
        own = start + 1 < len(completion) and completion[start + 1] == ASSISTANT
        if not own and appended_from < 0:
            appended_from = start
        elif own and appended_from >= 0:
            mask[appended_from : start + 2] = 0
            appended_from = -1
    if appended_from >= 0:
        mask[appended_from:] = 0
    return mask


def _ids(values: Any) -> Ids:  # noqa: ANN401 - a row of somebody's file
    array = np.asarray(values)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
        raise ValueError(f"token ids of type {array.dtype} and shape {array.shape}")
    if len(array) and not (int(array.min()) >= 0 and int(array.max()) < MOST_ID):
        raise ValueError(f"token ids from {array.min()} to {array.max()}")
    return array.astype(np.uint32)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with reading(path, BadTraces), path.open("rb") as file:
        for number, given in enumerate(file, start=1):
            line = given.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                row = loads(line)
            except ValueError as error:
                raise BadTraces(f"{path}, row {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise BadTraces(f"{path}, row {number}: must be a JSON object")
            yield number, row


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow as arrow  # noqa: PLC0415 - only this kind of file needs it
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise MissingExtra(
            f'{path}: Parquet needs pyarrow: `pip install "quorum-aimo[train]"`'
        ) from None
    with reading(path, BadTraces):
        try:
            file = parquet.ParquetFile(path)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH):
                columns = [_column(batch.column(name)) for name in batch.schema.names]
                for place in range(batch.num_rows):
                    number += 1
                    row = (column[place] for column in columns)
                    yield number, dict(zip(batch.schema.names, row, strict=True))
        except arrow.ArrowInvalid as error:
            raise BadTraces(f"{path}: not whole Parquet ({error})") from None


def _column(column: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    """Return a batch's column; lists as arrays, without an object for each number."""
    is_list = hasattr(column, "flatten") and hasattr(column, "offsets")
    if not is_list or hasattr(column, "sizes"):  # a view's lists lie in any order
        return list(column.to_pylist())
    offsets, values = column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=False)
    there = column.is_valid().to_pylist()
    return [values[offsets[i] : offsets[i + 1]] if valid else None for i, valid in enumerate(there)]
