"""Evaluate on problem sets, score what is recorded, compare with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio
import orjson
import typer
from rich.console import Console
from rich.table import Table

from client.schema import MAX_SEED, MAX_SELECT_S, without_user
from server.evaluation.api import Api
from server.evaluation.arms import DEFAULT_ARM, read_arms
from server.evaluation.catalogue import known_sets
from server.evaluation.errors import EvaluationError, SetUnreadable
from server.evaluation.export import write_report
from server.evaluation.load import load_set
from server.evaluation.observe import ProgressObserver, warnings_on_stderr
from server.evaluation.options import (
    ColumnOption,
    DataOption,
    FirstOption,
    JournalOption,
    JsonOption,
    KindOption,
    MachineOption,
    PageOption,
    PointsOption,
    RoundsOption,
    SeedOption,
    SetOption,
    TrackOption,
    WhereOption,
    WithOption,
    pairs_of,
)
from server.evaluation.overlap_command import overlap_command
from server.evaluation.problem import Kind, ProblemSet
from server.evaluation.report import Report, Request, build, plan_notes
from server.evaluation.scored import ScoredArm, from_records
from server.evaluation.trackers import require_trackers, track
from server.evaluation.work import (
    Wish,
    evaluate,
    folder_of,
    local_url,
    score_folder,
    select,
    side_by_side,
)
from server.replay.combinations import read_combination, read_machine
from server.replay.load import load_records
from server.replay.observe import Progress
from server.settings import load_settings

#: Seconds that a server lets a problem have at the most.
MOST_S = 86_400.0

app = typer.Typer(
    help="Evaluate on problem sets, score what is recorded, compare with intervals.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _prepare(context: typer.Context) -> None:
    """Keep standard output for what is asked for."""
    context.with_resource(warnings_on_stderr())


@app.command("run")
def run_command(  # noqa: PLR0913 - its options
    *,
    set_: SetOption,
    out: Annotated[
        Path | None,
        typer.Option(help="The evaluation's folder; else one in evaluations/, by what is asked."),
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, max=256, help="Attempts at each problem.")] = 4,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            "--policy",
            metavar="POLICIES",
            help="How problems are solved: 'name=…; strategy=…'; each one is compared.",
        ),
    ] = None,
    data: DataOption = None,
    column: ColumnOption = None,
    where: WhereOption = None,
    kind: KindOption = None,
    first: FirstOption = None,
    repeat: Annotated[int, typer.Option(min=1, help="Solve the whole set so many times.")] = 1,
    problem: Annotated[
        list[str] | None, typer.Option("--id", help="Only the problem of this id; repeatable.")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0.1, max=MOST_S, help="Seconds for each problem; else the server's."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Seed of each problem's first attempt.")
    ] = 0,
    parallel: Annotated[int, typer.Option(min=1, help="Problems at once.")] = 1,
    url: Annotated[
        str | None, typer.Option(envvar="QUORUM_URL", help="The server; else this machine's.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Refuse a server that has another model.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="QUORUM_API_KEY", help="The server's API key.")
    ] = None,
    journal: JournalOption = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch the set again.")] = False,
    tracker: TrackOption = None,
) -> None:
    """Have every attempt of a set, each exactly once, and report; run it again to resume."""
    require_trackers(tracker or [])
    chosen = load_set(
        set_, data=data, kind=kind, refresh=refresh,
        columns=pairs_of("column", column), where=pairs_of("where", where),
    )  # fmt: skip
    problems = _chosen(chosen, problem)
    wish = Wish(
        problems=problems.first(first).repeated(repeat),
        arms=read_arms(arm or [DEFAULT_ARM]),
        attempts=attempts,
        seed=seed,
        time_limit_s=time_limit,
        out=out or Path(),
        url=url or local_url(load_settings()),
        key=key,
        model=model,
        parallel=parallel,
    )
    if out is None:
        out = folder_of(wish)
        wish = replace(wish, out=out)
    for note in (*problems.notes(), f"evaluation: {out}"):
        typer.echo(note, err=True)
    with ProgressObserver() as observer:
        standing = anyio.run(evaluate, wish, observer)
    report = _reported([out], journal, Request(page=url and without_user(url)))
    _show(report, out, as_json=False)
    track(report, tracker or [], out)
    if standing.short:
        typer.echo(
            f"{standing.short} attempts could not be had: the engine was lost or the solve "
            "cancelled; run the command again for them",
            err=True,
        )
        raise typer.Exit(1)


@app.command("rescore")
def rescore_command(  # noqa: PLR0913 - its options
    sources: Annotated[
        list[Path], typer.Argument(help="An evaluation's folder, or files of recorded attempts.")
    ],
    *,
    answers: Annotated[
        Path | None, typer.Option(help="Right answers for files: JSON lines with id and answer.")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(help="The attempts' cells, to see what their code printed.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report's files here.")] = None,
    journal: JournalOption = None,
    with_: WithOption = None,
    machine: MachineOption = "two-cores",
    rounds: RoundsOption = 8,
    seed: SeedOption = 0,
    points: PointsOption = 1.0,
    page: PageOption = None,
    as_json: JsonOption = False,
    tracker: TrackOption = None,
) -> None:
    """Score recorded attempts again, under any votes, stops and weights; no model is asked."""
    require_trackers(tracker or [])
    request = Request(
        combinations=tuple(read_combination(text, attempts=4, agree=3) for text in with_ or ()),
        machine=read_machine(machine),
        rounds=rounds,
        seed=seed,
        points=points,
        page=page,
    )
    if all(source.is_dir() for source in sources):
        report = _reported(sources, journal, request)
        target = out or (sources[0] if len(sources) == 1 else None)
    else:
        report, target = _recorded(sources, answers, cells, request), out
    _show(report, target, as_json=as_json)
    if target is not None:
        track(report, tracker or [], target)


@app.command("select")
def select_command(
    folder: Annotated[Path, typer.Argument(help="An evaluation's folder.")],
    *,
    selector: Annotated[
        str, typer.Option(help="By name: genselect, recheck, process_reward, rerun …")
    ],
    time_limit: Annotated[
        float, typer.Option(min=1.0, max=MAX_SELECT_S, help="Seconds for each problem.")
    ] = 60.0,
    url: Annotated[
        str | None, typer.Option(envvar="QUORUM_URL", help="The server that recorded it.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="QUORUM_API_KEY", help="The server's API key.")
    ] = None,
) -> None:
    """Have the server choose again among the recorded attempts; resumes where it was."""

    async def work(observe: Callable[[int, int], None]) -> tuple[int, int]:
        async with Api(url or local_url(load_settings()), key=key) as api:
            return await select(folder, selector, api, time_limit, observe)

    with Progress() as progress:
        chosen, left_out = anyio.run(work, progress.stage(selector))
    typer.echo(f"{chosen} problems chosen by {selector}, {left_out} left out")
    if left_out:
        typer.echo(
            "left out are problems whose attempts are of several solves, and solves that the "
            "server does not have",
            err=True,
        )


@app.command("compare")
def compare_command(
    one: Annotated[Path, typer.Argument(help="An evaluation's folder: what is held against.")],
    other: Annotated[Path, typer.Argument(help="Another one of the same problems.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the report's files here.")] = None,
    journal: JournalOption = None,
    seed: SeedOption = 0,
    points: PointsOption = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Compare two evaluations, paired by problem."""
    request = Request(seed=seed, points=points)
    _show(_reported([one, other], journal, request), out, as_json=as_json)


@app.command("sets")
def sets_command(*, as_json: JsonOption = False) -> None:
    """List the problem sets that are known by name."""
    known = known_sets()
    if as_json:
        typer.echo(orjson.dumps({k: v.model_dump(mode="json") for k, v in known.items()}).decode())
        return
    table = Table("Set", "Problems", "Answers", "Licence", "Source", "What")
    table.columns[0].no_wrap = True
    table.columns[1].justify = "right"
    for name, source in known.items():
        count = "" if source.count is None else f"{source.count}{'' if source.checked else ' ~'}"
        where = source.repo or "a file of yours"
        table.add_row(
            name, count, (source.kind or Kind.TEXT).value, source.licence, where, source.title
        )
    Console().print(table)


app.command("overlap")(overlap_command)


def _chosen(problems: ProblemSet, ids: list[str] | None) -> ProblemSet:
    if not ids:
        return problems
    own = {problem.id: problem for problem in problems.problems}
    unknown = [name for name in ids if name not in own]
    if unknown:
        raise SetUnreadable(
            f"problem {unknown[0][:60]!r}: is not in {problems.name}, which has {len(own)}; name "
            f"one such as {next(iter(own))!r}"
        )
    return problems.having([own[name] for name in ids])


def _reported(folders: Sequence[Path], journal: Path | None, request: Request) -> Report:
    """Score folders, and build their report."""
    own = load_settings().journal_path
    notes: list[str] = []
    pages: list[str] = []
    sides: list[tuple[str, Sequence[ScoredArm]]] = []
    names = [folder.resolve().name for folder in folders]
    for number, folder in enumerate(folders):
        plan, arms = anyio.run(score_folder, folder, journal, own)
        name = "" if len(folders) == 1 else names[number]
        if names.count(names[number]) > 1:
            name = f"{names[number]} {number + 1}"
        sides.append((name, arms))
        notes += plan_notes(plan)
        pages += [plan.url] if plan.url else []
    # Solves of two servers have no page in common.
    if request.page is None and len(set(pages)) == 1:
        request = replace(request, page=pages[0])
    title = f"Evaluation of {' and '.join(names)}"
    with Progress() as progress:
        return build(title, side_by_side(sides), request, notes, progress)


def _recorded(
    files: Sequence[Path], answers: Path | None, cells: Path | None, request: Request
) -> Report:
    records = load_records(files, answers, cells)
    counted = f"{', '.join(file.name for file in files)}: {records.attempts} recorded attempts."
    notes = [counted, *records.notes]
    arm = from_records("recorded", records.problems)
    with Progress() as progress:
        return build("Recorded attempts", [arm], request, notes, progress)


def _show(report: Report, folder: Path | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(report.data(), option=orjson.OPT_SERIALIZE_NUMPY).decode())
    else:
        console = Console()
        for note in report.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        for section in report.sections:
            if section.name == "problems":
                continue
            console.rule(section.title, align="left", style="dim")
            for table in section.tables:
                if table.rows:
                    console.print(table.rich())
    if folder is None:
        return
    try:
        written = write_report(report, folder)
    except EvaluationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if not as_json:
        typer.echo(f"written: {', '.join(str(path) for path in written)}")
