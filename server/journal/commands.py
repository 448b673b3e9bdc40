"""List, show, export, prune or check the record of past solves."""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from client.schema import AttemptEvent, BudgetDecided, Event, SolveEnd, attempt_name
from server.journal import check as checks
from server.journal import retention
from server.journal.bounds import MIB, bounds_of, moment
from server.journal.derived import rebuild
from server.journal.errors import REPAIR, UnknownSolve, reading
from server.journal.export import ExportFormat, export, is_pipe
from server.journal.file import BUSY_MS
from server.journal.reader import JournalReader, SolveFilter, StoredAttempt, StoredSolve
from server.journal.views import (
    attempts_table,
    budget_table,
    details,
    plain,
    prunable_table,
    runs_table,
    solves_table,
    time_text,
    transcript,
)
from server.sections.journal import LEAST_MIB
from server.settings import load_settings

app = typer.Typer(
    help="List, show, export, prune or check the record of past solves.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
#: As many as an export may want, and SQLite counts.
NO_LIMIT = 2**62

PathOption = Annotated[
    Path | None, typer.Option("--journal", help="Read this file instead of the server's own.")
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Created after: an age (36h, 2d) or a date.")
]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Created before.")]
RunOption = Annotated[str | None, typer.Option("--run", help="The run that it belongs to.")]
ProblemOption = Annotated[str | None, typer.Option(help="The caller's name of the problem.")]
AnswerOption = Annotated[str | None, typer.Option(help="The answer.")]
EndOption = Annotated[SolveEnd | None, typer.Option(help="Why it ended.")]
TextOption = Annotated[
    str | None, typer.Option(help="Words of the problem as they stand there, in any case.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@app.command("ls")
def list_command(  # noqa: PLR0913 - its options
    *,
    journal: PathOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    run: RunOption = None,
    problem_id: ProblemOption = None,
    answer: AnswerOption = None,
    end: EndOption = None,
    text: TextOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most solves shown.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List solves, the newest first."""
    wanted = _filter(since, until, run, problem_id, answer, end, text, limit)
    with _reader(journal) as reader:
        solves = reader.solves(wanted)
    if as_json:
        _print_json(asdict(solve) for solve in solves)
    else:
        console = Console()
        console.print(solves_table(solves, console.width))


@app.command("show")
def show_command(
    solve: Annotated[str, typer.Argument(help="A solve's id, or the beginning of one.")],
    *,
    journal: PathOption = None,
    attempt: Annotated[
        int | None,
        typer.Option(
            help="Show what this attempt wrote, called and was told; plans have numbers below 0."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one solve: its problem, attempts and votes; with --json all its events."""
    with _reader(journal) as reader:
        stored = reader.solve(solve)
        if attempt is not None and next(_events(reader, stored.id, attempt), None) is None:
            raise UnknownSolve(
                f"solve {stored.id} has no {attempt_name(attempt)}; `quorum journal show "
                f"{stored.id}` shows those that it has"
            )
        if as_json:
            events = _events(reader, stored.id, attempt)
            _print_json(event.model_dump(mode="json") for event in events)
        elif attempt is not None:
            _print_transcript(_events(reader, stored.id, attempt))
        else:
            _print_solve(stored, reader.attempts(stored.id, plans=True), _decisions(reader, stored))


def _events(reader: JournalReader, solve_id: str, attempt: int | None) -> Iterator[Event]:
    """Yield the events of a solve, or of one attempt."""
    for event in reader.events(solve_id=solve_id):
        if attempt is None or (isinstance(event, AttemptEvent) and event.attempt == attempt):
            yield event


def _print_transcript(events: Iterable[Event]) -> None:
    console = Console()
    for piece in transcript(events):
        console.print(piece, end="", soft_wrap=True)
    console.print()


def _decisions(reader: JournalReader, stored: StoredSolve) -> list[BudgetDecided]:
    """Return how long a problem of a run might take, as its budget decided."""
    if stored.run_id is None:
        return []
    events = reader.events(solve_id=stored.id)
    return [event for event in events if isinstance(event, BudgetDecided)]


def _print_solve(
    stored: StoredSolve, attempts: list[StoredAttempt], decisions: list[BudgetDecided]
) -> None:
    console = Console()
    console.print(plain(stored.problem), soft_wrap=True)
    console.print(plain(f"\n{stored.id}, {time_text(stored.created)}, model {stored.model}"))
    console.print(attempts_table(attempts, console.width))
    for line in details(attempts):
        console.print(line, soft_wrap=True)
    if decisions:
        console.print(budget_table(decisions, console.width))
    told = f"answer {stored.answer}: {stored.detail}" if stored.outcome else "in flight"
    console.print(plain(told), soft_wrap=True)


@app.command("runs")
def runs_command(
    *,
    journal: PathOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most runs shown.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List runs, the newest first; `ls --run` lists the solves of one."""
    with _reader(journal) as reader:
        runs, done = reader.runs(min(limit, NO_LIMIT)), reader.runs_done()
    if as_json:
        _print_json(asdict(run) | {"done": done[run.id]} for run in runs)
    else:
        console = Console()
        console.print(runs_table(runs, done, console.width))


@app.command("export")
def export_command(  # noqa: PLR0913 - its options
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    file_format: Annotated[
        ExportFormat, typer.Option("--format", help="Parquet needs the extra `train`.")
    ] = ExportFormat.JSONL,
    journal: PathOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    run: RunOption = None,
    problem_id: ProblemOption = None,
    answer: AnswerOption = None,
    end: EndOption = None,
    text: TextOption = None,
) -> None:
    """Write attempts with their tokens to a file, one row each, for training and replay."""
    wanted = _filter(since, until, run, problem_id, answer, end, text, NO_LIMIT)
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("solves"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with _reader(journal) as reader, progress:
        task = progress.add_task("solves", total=None)

        def observe(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        count = export(reader, target, file_format, wanted, observe)
    # Who reads the rows from a pipe wants nothing else from it.
    typer.echo(f"{target}: {count} attempts", err=is_pipe(target))


@app.command("page")
def page_command(  # noqa: PLR0913 - its options
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write to.")],
    tokens: Annotated[bool, typer.Option("--tokens", help="Attempts token by token too.")] = False,
    vocabulary: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Weights or tokenizer.json, for the tokens' text."),
    ] = None,
    journal: PathOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    problem_id: ProblemOption = None,
    answer: AnswerOption = None,
    end: EndOption = None,
    text: TextOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most solves written.")] = 50,
) -> None:
    """Write solves, their attempts and runs as HTML files, to be read without a server."""
    # Templates and vocabularies take half a second to load; no other command needs them.
    from server.page.export import PageOptions, export_pages  # noqa: PLC0415
    from server.page.solves import Spelling  # noqa: PLC0415
    from server.vocabulary import Vocabulary  # noqa: PLC0415

    spelling = Spelling(Vocabulary.load(vocabulary), None) if vocabulary else Spelling()
    wanted = _filter(since, until, None, problem_id, answer, end, text, limit)
    options = PageOptions(wanted=wanted, tokens=tokens or vocabulary is not None, spelling=spelling)
    with _reader(journal) as reader:
        count = export_pages(reader, out, options)
    typer.echo(f"{out}: {count} files; open {out / 'index.html'}")


@app.command("prune")
def prune_command(
    *,
    journal: PathOption = None,
    keep_days: Annotated[
        float | None,
        typer.Option(min=0, help="Delete what is older; 0 means never; default: the setting."),
    ] = None,
    max_size_mib: Annotated[
        float | None,
        typer.Option(min=LEAST_MIB, help="Delete the oldest above it; default: the setting."),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Do it; without, only say what would go.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old solves and give their space back; without --delete only say which."""
    bounds = bounds_of(load_settings().journal, keep_days, max_size_mib)
    with _changing(journal) as connection:
        going = list(retention.plan(connection, bounds, time.time()))
        runs = retention.empty_runs(connection, bounds, time.time())
        if delete:
            for solve in going:
                retention.delete(connection, solve.solve_id)
            retention.delete_runs(connection, runs)
            for _ in retention.give_back(connection):
                pass
    if as_json:
        _print_json(asdict(solve) | {"deleted": delete} for solve in going)
        return
    if going:
        console = Console()
        console.print(prunable_table(going, console.width))
    verb = "deleted" if delete else "would be deleted; --delete does it"
    typer.echo(f"{len(going)} solves, {sum(s.size for s in going) / MIB:.1f} MiB: {verb}")
    if runs:
        typer.echo(f"{len(runs)} runs without a solve: {verb}")


@app.command("check")
def check_command(
    *,
    journal: PathOption = None,
    rebuild_listing: Annotated[
        bool, typer.Option("--rebuild", help="Make the listing again from the events first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the file, its events, and that every attempt's tokens are all there."""
    if rebuild_listing:
        with _changing(journal) as connection:
            count = rebuild(connection)
        if not as_json:
            typer.echo(f"made again from the events: {count} solves")
    with _reader(journal) as reader:
        findings = list(checks.check(reader))
    if as_json:
        _print_json(asdict(finding) for finding in findings)
    else:
        console = Console()
        for finding in findings:
            console.print(plain(f"{finding.subject}: {finding.detail}"), soft_wrap=True)
        typer.echo(f"{_path(journal)}: {len(findings) or 'no'} faults")
        if any(finding.subject == checks.PAGES for finding in findings):
            typer.echo(REPAIR)
    if findings:
        raise typer.Exit(1)


def _path(named: Path | None) -> Path:
    return named or load_settings().journal_path


def _reader(named: Path | None) -> JournalReader:
    return JournalReader(_path(named))


@contextmanager
def _changing(named: Path | None) -> Iterator[sqlite3.Connection]:
    """Open a journal to change it, a server writing it at the same time or not."""
    path = _path(named)
    # Sees that there is a journal of this version.
    with JournalReader(path), reading(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None
        )
        with closing(connection):
            connection.execute(f"PRAGMA busy_timeout = {5 * BUSY_MS}")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection


def _filter(
    since: str | None,
    until: str | None,
    run: str | None,
    problem_id: str | None,
    answer: str | None,
    end: SolveEnd | None,
    text: str | None,
    limit: int,
) -> SolveFilter:
    return SolveFilter(
        since=None if since is None else moment(since),
        until=None if until is None else moment(until),
        run=run,
        problem_id=problem_id,
        answer=answer,
        outcome=None if end is None else end.value,
        text=text,
        limit=min(limit, NO_LIMIT),
    )


def _print_json(objects: Iterator[dict[str, Any]]) -> None:
    for value in objects:
        typer.echo(orjson.dumps(value).decode())
