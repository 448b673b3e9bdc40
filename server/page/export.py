"""The record as a folder of files that need no server: `quorum journal page`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client.schema import attempt_name
from server.journal.errors import ExportFailed
from server.journal.reader import JournalReader, SolveFilter
from server.page.board import board_view, runs_view
from server.page.home import home_view
from server.page.links import (
    Links,
    Target,
    attempt_file,
    run_file,
    solve_file,
    tokens_file,
)
from server.page.render import Frame
from server.page.solves import (
    Spelling,
    attempt_view,
    solve_title,
    solve_view,
    stored_solve,
    tokens_view,
)
from server.page.store import HistoryFilter
from server.page.view import View

INDEX, RUNS = "index.html", "runs.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """What is written: which solves, and whether their attempts token by token."""

    wanted: SolveFilter
    tokens: bool = False
    spelling: Spelling = field(default_factory=Spelling)


def export_pages(reader: JournalReader, folder: Path, options: PageOptions) -> int:
    """Write the views of solves, their attempts and runs; returns how many files.

    Each file is there whole or not at all; those of an earlier export are written over.

    Raises:
        ExportFailed: a file cannot be written.
        JournalUnreadable: the journal cannot be read.
    """
    made = dict(_files(reader, options))
    links = Links(Target.FOLDER, frozenset(made))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in made.items():
            partial = folder / f".{name}.partial"
            partial.write_text(make(links).html(), encoding="utf-8")
            partial.replace(folder / name)
    except OSError as error:
        raise ExportFailed(
            f"folder {folder}: cannot be written ({error}); name another one with --out"
        ) from error
    return len(made)


Make = Callable[[Links], View]


def _files(reader: JournalReader, options: PageOptions) -> Iterator[tuple[str, Make]]:
    """Yield the name of each file, and what makes its view."""
    solves = reader.solves(options.wanted)
    listed = _listed(options.wanted)
    yield (
        INDEX,
        lambda links: home_view(
            Frame("Solves", "solves", links), reader, listed, most=options.wanted.limit
        ),
    )
    runs = reader.runs()
    if runs:
        yield RUNS, lambda links: runs_view(reader, Frame("Runs", "runs", links))
    for run in runs:

        def board(links: Links, name: str = run.id) -> View:
            return board_view(reader, Frame(name, "runs", links), name, {})

        yield run_file(run.id), board
    for solve in solves:
        yield from _of_solve(reader, solve.id, options)


def _listed(wanted: SolveFilter) -> HistoryFilter:
    """Return the filter of the listing."""
    return HistoryFilter(
        since=wanted.since, before=wanted.until, run=wanted.run, problem_id=wanted.problem_id,
        answer=wanted.answer, outcome=wanted.outcome, text=wanted.text,
    )  # fmt: skip


def _of_solve(
    reader: JournalReader, solve_id: str, options: PageOptions
) -> Iterator[tuple[str, Make]]:
    def whole(links: Links) -> View:
        view = stored_solve(reader, solve_id)
        return solve_view(view, Frame(solve_title(view), "solves", links))

    yield solve_file(solve_id), whole
    for attempt in reader.attempts(solve_id, plans=True):
        number = attempt.attempt

        def messages(links: Links, number: int = number) -> View:
            frame = Frame(f"{attempt_name(number).capitalize()} of {solve_id}", "solves", links)
            return attempt_view(reader, frame, solve_id, number)

        yield attempt_file(solve_id, number), messages
        if options.tokens:

            def tokens(links: Links, number: int = number) -> View:
                frame = Frame(f"Tokens of {attempt_name(number)}", "solves", links)
                return tokens_view(reader, frame, solve_id, number, options.spelling)

            yield tokens_file(solve_id, number), tokens
