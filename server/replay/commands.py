"""`quorum replay`: recorded attempts under other policies."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from server.replay.combinations import DEFAULT_COMBINATIONS, read_combination, read_machine
from server.replay.errors import LibraryUnwritten, PicturesUnavailable
from server.replay.load import load_records
from server.replay.observe import Progress
from server.replay.page import page
from server.replay.plots import pictures
from server.replay.study import Study, as_json
from server.replay.tables import tables
from server.replay.work import Request, carry_out, learn
from voting.library import RecordedPaths
from voting.replay.records import RecordedProblem, machine_of, with_attempts
from voting.replay.synthetic import Population, draw_population

#: The machine that the attempts' own times tell of.
RECORDED = "recorded"

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="Recorded attempts, JSON lines: `quorum journal export`, or a table."),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with", metavar="POLICIES", help="Policies to replay: 'attempts=8; agree=4; …'."
    ),
]
HoursOption = Annotated[
    list[float] | None,
    typer.Option(min=0.001, help="Compare budgets on runs under a clock of so many hours."),
]


def replay_command(  # noqa: PLR0913 - its options
    files: FilesArgument = None,
    *,
    with_: WithOption = None,
    answers: Annotated[
        Path | None, typer.Option(help="Right answers: JSON lines with id and answer.")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(help="The attempts' cells, to see what their code printed.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Replay made-up attempts; the table says so.")
    ] = False,
    least: Annotated[
        int, typer.Option(min=1, help="Leave out problems with fewer recorded attempts.")
    ] = 8,
    machine: Annotated[
        str, typer.Option(help="h100, two-cores, recorded, or a file that describes one.")
    ] = "h100",
    rounds: Annotated[int, typer.Option(min=1, help="Solves of each problem.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")] = 0,
    tune_share: Annotated[
        float | None,
        typer.Option("--tune", min=0.01, help="Tune for at most so many of the first's tokens."),
    ] = None,
    splits: Annotated[int, typer.Option(min=1, help="Halves that --tune tries.")] = 100,
    hours: HoursOption = None,
    problems: Annotated[int, typer.Option(min=1, help="Problems of a run.")] = 50,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of runs for each clock.")] = 10,
    library: Annotated[
        Path | None,
        typer.Option(help="Write what budgets learn from to this file, for runs.library."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write pictures to this folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
) -> None:
    """Replay recorded attempts under other policies, and compare what they cost and win."""
    source, recorded, notes = _recorded(files or [], answers, cells, synthetic, least, seed)
    request = Request(
        source=source,
        notes=notes,
        problems=tuple(recorded),
        combinations=tuple(
            read_combination(text, attempts=8, agree=4) for text in with_ or DEFAULT_COMBINATIONS
        ),
        machine=machine_of(recorded) if machine == RECORDED else read_machine(machine),
        rounds=rounds,
        seed=seed,
        tune_share=tune_share,
        splits=splits,
        hours=tuple(hours or ()),
        run_problems=problems,
        pairs=pairs,
    )
    with Progress() as progress:
        study = carry_out(request, progress)
    _print(study, json=json)
    if library is not None:
        _write_library(learn(request), library)
    _write(study, html, png)


def _recorded(
    files: list[Path],
    answers: Path | None,
    cells: Path | None,
    synthetic: bool,
    least: int,
    seed: int,
) -> tuple[str, list[RecordedProblem], tuple[str, ...]]:
    """Return what is replayed: a sentence, the problems, and what must be known of them."""
    if synthetic == bool(files):
        raise typer.BadParameter("name files of recorded attempts, or --synthetic, not both")
    if synthetic:
        population = Population()
        drawn = draw_population(population, seed)
        return f"Not recorded: {population.stated()}", with_attempts(drawn, least), ()
    records = load_records(files, answers, cells)
    kept = with_attempts(records.problems, least)
    attempts = sum(len(problem.attempts) for problem in kept)
    source = (
        f"{', '.join(file.name for file in files)}: {attempts} attempts at {len(kept)} of "
        f"{len(records.problems)} problems, those with at least {least}"
    )
    return source, kept, records.notes


def _print(study: Study, *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(as_json(study)).decode())
        return
    console = Console()
    console.print(study.source, markup=False, highlight=False, soft_wrap=True)
    for note in study.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    for table in tables(study):
        console.print(table.rich())


def _write_library(learned: RecordedPaths, file: Path) -> None:
    """Write a library that `runs.library` can name.

    Raises:
        LibraryUnwritten: the file cannot be written.
    """
    try:
        file.write_bytes(orjson.dumps(learned.as_json(), option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise LibraryUnwritten(
            f"{file}: cannot be written ({error.strerror or error}); free space, or name a path "
            "that can be written"
        ) from error


def _write(study: Study, html: Path | None, png: Path | None) -> None:
    """Write the pictures and the page that were asked for.

    Raises:
        PicturesUnavailable: matplotlib is not installed, or a file cannot be written.
    """
    if html is None and png is None:
        return
    drawn = list(pictures(study))
    try:
        if png is not None:
            png.mkdir(parents=True, exist_ok=True)
            for picture in drawn:
                (png / f"{picture.name}.png").write_bytes(picture.png)
        if html is not None:
            html.write_text(page(study, drawn), encoding="utf-8")
    except OSError as error:
        raise PicturesUnavailable(
            f"{error.filename}: cannot be written ({error.strerror or error}); free space, or name "
            "a path that can be written"
        ) from error
