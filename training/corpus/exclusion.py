"""Problems that must not be in a corpus, such as those of an evaluation, by id and by statement."""

from dataclasses import dataclass, field
from pathlib import Path

from training.errors import BadTraces
from training.problems.overlap import words
from training.problems.read import ID, STATEMENT, first, read_rows
from training.text import Decoder
from training.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Excluded:
    """Names of problems; `statements` are those that are known, in plain words, with their names.

    A trace may bring no id, or another tool's: its problem is then known by its statement.
    """

    ids: frozenset[str] = frozenset()
    statements: dict[str, str] = field(default_factory=dict)


def read_excluded(path: Path | None) -> Excluded:
    """Return the problems of a file, JSON lines or CSV, with an id, a statement or both.

    Raises:
        BadTraces: the file cannot be read or is empty, or a row has neither.
    """
    ids: set[str] = set()
    statements: dict[str, str] = {}
    for number, row in enumerate(read_rows(path) if path else (), start=1):
        name, statement = first(row, ID), first(row, STATEMENT)
        if name is None and statement is None:
            raise BadTraces(
                f"{path}, row {number}: names no problem, must have an id under {', '.join(ID)} or "
                f"a statement under {', '.join(STATEMENT)}; add it"
            )
        name = name or f"row {number}"
        ids.add(name)
        if statement is not None and words(statement):
            statements[_plain(statement)] = name
    if path is not None and not ids:
        raise BadTraces(f"{path}: has 0 rows, must name the problems to keep out; leave it away")
    return Excluded(frozenset(ids), statements)


class Exclusion:
    """Tells which traces are of excluded problems, and which of these it met.

    `nameless` counts traces that say neither id nor statement and whose prompt cannot be read.
    """

    def __init__(self, excluded: Excluded, decoder: Decoder | None) -> None:
        self._excluded, self._decoder = excluded, decoder
        self._of_prompts: dict[bytes, str | None] = {}
        self.found: set[str] = set()
        self.nameless = 0

    def has(self, trace: Trace) -> bool:
        """Return whether a trace is of an excluded problem."""
        name = trace.key if trace.key in self._excluded.ids else self._by_statement(trace)
        if name is not None:
            self.found.add(name)
        return name is not None

    def missing(self) -> list[str]:
        """Return the excluded problems of which no trace was seen."""
        return sorted(self._excluded.ids - self.found)

    def _by_statement(self, trace: Trace) -> str | None:
        if not self._excluded.ids:
            return None
        statement = trace.text_of("problem")
        if statement is not None:
            return self._excluded.statements.get(_plain(statement))
        if self._excluded.statements and self._decoder is not None:
            return self._in_prompt(trace, self._decoder)
        self.nameless += trace.text_of("problem_id") is None
        return None

    def _in_prompt(self, trace: Trace, decoder: Decoder) -> str | None:
        """Return the problem whose statement a prompt holds whole; each prompt is read once."""
        ids = trace.ids[: trace.prompt_tokens]
        prompt = ids.tobytes()
        if prompt not in self._of_prompts:
            text = _plain(decoder.decode(ids.tolist()))
            known = self._excluded.statements.items()
            self._of_prompts[prompt] = next((name for each, name in known if each in text), None)
        return self._of_prompts[prompt]


def _plain(statement: str) -> str:
    return f" {' '.join(words(statement))} "
