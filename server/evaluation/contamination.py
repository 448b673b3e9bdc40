"""Whether a corpus holds the problems: n-gram overlap of words.

The rule of GPT-3's appendix C and its followers: a problem counts as contaminated where a run of n
of its words stands in the corpus. The share of its n-grams that are found there is shown beside it:
one shared formula is another thing than the whole statement.
"""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.evaluation.errors import SetUnreadable
from server.evaluation.problem import Problem
from server.evaluation.rows import GZIP, UNREADABLE, opened, read_rows

#: Words in a row; 13 is GPT-3's choice. Shorter statements are compared whole, from this many on.
DEFAULT_WORDS = 13
LEAST_WORDS = 5

#: Scripts without spaces between words: there each character counts as one.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
#: Files of rows; any other one is text.
_ROWS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
#: Characters at the beginning of a text among which no NUL is, as git tells text from the rest.
_SAMPLE = 8_000


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a problem a corpus holds: the share of its n-grams, and how many of them.

    `document` is the number, from 0, of the first document that has any.
    """

    problem: str
    share: float
    grams: int
    document: int | None


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case; marks and LaTeX's backslashes are none."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def documents(path: Path, length: int = DEFAULT_WORDS) -> Iterator[str]:
    """Yield the documents of a corpus: the texts of each row, or a text file's lines.

    A line comes with the end of those before it, of a problem that goes over several.

    Raises:
        SetUnreadable: the file cannot be read.
    """
    endings = [each.lower() for each in path.suffixes[-2:] if each != GZIP]
    if endings and endings[-1] in _ROWS:
        yield from (" ".join(_texts(row)) for row in read_rows(path))
        return
    before: list[str] = []
    for line in _lines(path):
        own = words(line)
        yield " ".join([*before, *own])
        before = [*before, *own][-(length - 1) :]


def _lines(path: Path) -> Iterator[str]:
    """Yield a text's lines; what is no text is refused, as nothing would be found in it."""
    seen = 0
    try:
        with opened(path) as file, io.TextIOWrapper(file, "utf-8", errors="replace") as lines:
            for line in lines:
                if seen < _SAMPLE and "\0" in line[: _SAMPLE - seen]:
                    raise SetUnreadable(
                        f"{path}: is no text in UTF-8; convert or unpack it, or name it by its "
                        f"kind: {', '.join((*_ROWS, GZIP))}"
                    )
                seen += len(line)
                yield line
    except UNREADABLE as error:
        raise SetUnreadable(f"{path}: cannot be read ({error}); name a file") from error


def _texts(value: object) -> Iterator[str]:
    """Yield all texts in a row, also those of a conversation's messages."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def overlaps(
    problems: Sequence[Problem], corpus: Iterable[str], length: int = DEFAULT_WORDS
) -> list[Overlap]:
    """Return the overlap of each problem with a corpus, read once; memory grows with the problems.

    A problem of fewer than `LEAST_WORDS` words never counts: it would be found anywhere.
    """
    wanted: dict[tuple[str, ...], set[int]] = {}
    grams: list[set[tuple[str, ...]]] = []
    for number, problem in enumerate(problems):
        own = words(problem.statement)
        size = min(length, len(own))
        mine = set(_grams(own, size)) if size >= LEAST_WORDS else set()
        grams.append(mine)
        for gram in mine:
            wanted.setdefault(gram, set()).add(number)
    sizes = sorted({len(gram) for gram in wanted})
    found: list[set[tuple[str, ...]]] = [set() for _ in problems]
    first: list[int | None] = [None for _ in problems]
    for place, document in enumerate(corpus):
        text = words(document)
        for size in sizes:
            for gram in _grams(text, size):
                for number in wanted.get(gram, ()):
                    found[number].add(gram)
                    first[number] = place if first[number] is None else first[number]
    return [
        Overlap(problem.id, len(hits) / len(mine) if mine else 0.0, len(hits), document)
        for problem, mine, hits, document in zip(problems, grams, found, first, strict=True)
    ]


def _grams(text: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(text[start : start + size]) for start in range(len(text) - size + 1))
