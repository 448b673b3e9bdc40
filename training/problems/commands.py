"""`quorum train problems`: problems with answers, and which of them may be trained on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from client.http import DEFAULT_URL
from client.sandbox import LeasedKernel, SandboxClient
from client.schema import CellStatus, LeaseRequest
from training.corpus.store import ENTRIES, PROMPTS, read_entries
from training.errors import BadTraces, EmptyCorpus
from training.files import refuse_folder, whole_file, write_json
from training.problems.absent import search
from training.problems.alike import copies
from training.problems.overlap import contaminated
from training.problems.rate import Rate, rates, write_table
from training.problems.read import Problem, read_problems
from training.problems.sources import Wanted, files, load
from training.problems.variants import ProgramFailed, ProgramHung, load_family, make, modulo
from training.provenance import provenance
from training.text import open_decoder

app = typer.Typer(
    help="Problems with answers: load, rate, vary, and keep evaluations out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
TargetOption = Annotated[Path, typer.Option("--to", help="The file of JSON lines to write.")]
ProblemsArgument = Annotated[Path, typer.Argument(help="Problems: JSON lines or CSV.")]
#: Seconds for a program of a family.
PROGRAM_S = 60.0
#: Kernels for programs, with other random numbers each.
_SOLVING, _CHECKING = (
    LeaseRequest(seed=seed, owner="quorum train problems vary") for seed in (1, 2)
)


@app.command("load")
def load_command(  # noqa: PLR0913 - its options
    source: Annotated[str, typer.Argument(help="The published set, such as numinamath-cot.")],
    paths: Annotated[
        list[Path], typer.Argument(help="Its files, or their folder: Parquet, JSON lines or CSV.")
    ],
    *,
    target: TargetOption,
    integer: Annotated[
        bool, typer.Option("--integer", help="Only integer answers from 0 to 99999.")
    ] = False,
    origin: Annotated[
        list[str] | None, typer.Option(help="Only of this source within the set; repeatable.")
    ] = None,
    subject: Annotated[
        list[str] | None, typer.Option(help="Only of this subject, such as Algebra; repeatable.")
    ] = None,
    least_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest solve rate that the set states.")
    ] = 0.0,
    most_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Highest solve rate that the set states.")
    ] = 1.0,
    least_level: Annotated[int | None, typer.Option(help="Lowest level.")] = None,
    most_level: Annotated[int | None, typer.Option(help="Highest level.")] = None,
) -> None:
    """Read a published set of problems, with its licence, into the common form."""
    wanted = Wanted(
        integer, frozenset(origin or ()), least_level, most_level,
        frozenset(each.casefold() for each in subject or ()), least_rate, most_rate,
    )  # fmt: skip
    problems = list(load(source, paths, wanted))
    settings = {"source": source, **asdict(wanted)}
    settings |= {name: sorted(settings[name]) for name in ("origins", "subjects")}
    _write(target, problems, "problems load", settings, list(files(paths)))


@app.command("rate")
def rate_command(
    problems: ProblemsArgument,
    traces: Annotated[list[Path], typer.Argument(help="Traces of attempts at them.")],
    *,
    target: TargetOption,
    least: Annotated[float, typer.Option(min=0, max=1, help="Lowest solve rate kept.")] = 0.0,
    most: Annotated[float, typer.Option(min=0, max=1, help="Highest solve rate kept.")] = 1.0,
) -> None:
    """Write problems with their solve rates and wrong answers, as JSON lines and as CSV."""
    refuse_folder(target)
    table = target.with_suffix(".csv")
    if table.resolve() in {path.resolve() for path in (target, problems, *traces)}:
        raise BadTraces(
            f"{target}: the table beside it is {table}, which must be another file than the output "
            "and the inputs; name another output, as in rated.jsonl"
        )
    known = read_problems(problems)
    found = rates(known, traces)
    kept = [each for each in known if _within(found.get(each.id), least, most)]
    write_table(table, kept, found)
    more = {
        name: {"solve_rate": rate.solve_rate, "attempts": rate.attempts, "failures": rate.failures}
        for name, rate in found.items()
    }
    settings = {"least": least, "most": most}
    _write(target, kept, "problems rate", settings, [problems, *traces], more)


@app.command("vary")
def vary_command(
    families: Annotated[list[Path], typer.Argument(help="Families: TOML files.")],
    *,
    target: TargetOption,
    count: Annotated[int, typer.Option(min=1, help="Variants of each family.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the parameters.")] = 0,
    url: Annotated[
        str, typer.Option(envvar="QUORUM_URL", help="The server whose sandbox runs programs.")
    ] = DEFAULT_URL,
) -> None:
    """Make variants of problems; their answers come from programs run in the sandbox."""
    made: list[Problem] = []
    known = [load_family(path) for path in families]  # all of them, before the first is run
    twice = [name for name, count in Counter(each.id for each in known).items() if count > 1]
    if twice:
        raise BadTraces(f"the family {twice[0]} is there twice; rename one")
    with SandboxClient(url) as client:
        for family in known:
            with client.lease(_SOLVING) as one, client.lease(_CHECKING) as other:
                runs = _runner(one), _runner(other)
                variants, left = make(family, count, runs, seed=seed)
            made += variants
            typer.echo(f"{family.id}: {len(variants)} variants, {len(left)} left out")
            for each in left:
                typer.echo(f"  {each.parameters}: {each.reason}")
    _write(target, made, "problems vary", {"count": count, "seed": seed}, families)


@app.command("unique")
def unique_command(
    sources: Annotated[list[Path], typer.Argument(help="Problems: JSON lines or CSV; repeatable.")],
    *,
    target: TargetOption,
    most_overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Most that two statements may have in common.")
    ] = 0.8,
) -> None:
    """Join files of problems, without the copies that sets have of one another's problems."""
    known = [each for path in sources for each in read_problems(path)]
    counts = Counter(each.id for each in known)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise BadTraces(f"the id {twice[0]} is in two files; rename one")
    found = {each.id: (first, share) for each, first, share in copies(known, most_overlap)}
    for name, (first, share) in found.items():
        typer.echo(f"{name}: {100 * share:.0f} % in common with {first.id}")
    kept = [each for each in known if each.id not in found]
    left_out = {name: first.id for name, (first, _) in found.items()}
    settings = {"most_overlap": most_overlap, "left_out": left_out}
    _write(target, kept, "problems unique", settings, sources)


@app.command("absent")
def absent_command(
    originals: Annotated[Path, typer.Argument(help="Problems with the answers to look for.")],
    corpus: Annotated[Path, typer.Argument(help="The folder of a corpus of their variants.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The proof to write, as JSON.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json or .tiktoken; else the server is asked.")
    ] = None,
    url: Annotated[
        str, typer.Option(envvar="QUORUM_URL", help="The server that reads token ids.")
    ] = DEFAULT_URL,
) -> None:
    """Prove that no entry of a corpus has an original's answer or statement; exit 1 if one has."""
    known = read_problems(originals)
    without = [each.id for each in known if not (each.answer or "").strip()]
    if without:
        raise BadTraces(f"{originals}: {without[0]} has no answer to look for; add it")
    with open_decoder(tokenizer, url) as decoder:
        if decoder is None:
            raise AssertionError("a server is asked for want of a tokenizer")
        count, found = search(known, read_entries(corpus), decoder)
    if not count:
        raise EmptyCorpus(f"{corpus}: has no entries; nothing can be shown of it")
    told = provenance(
        "problems absent",
        {"decoded_by": "the server" if tokenizer is None else "the tokenizer"},
        [originals, corpus / ENTRIES, corpus / PROMPTS, *([tokenizer] if tokenizer else ())],
    )
    told["figures"] = {"originals": len(known), "entries": count, "found": len(found)}
    told["originals"] = {
        each.id: "present" if any(one.original == each.id for one in found) else "absent"
        for each in known
    }
    told["found"] = [asdict(each) for each in found]
    write_json(target, told)
    for each in found:
        typer.echo(
            f"{each.original}: its {each.what} is in entry {each.entry} of {each.problem_id}"
            + (f": {each.around}" if each.around else "")
        )
    typer.echo(f"{target}: {count} entries, {len(found) or 'no'} traces of {len(known)} originals")
    if found:
        raise typer.Exit(1)


@app.command("mod")
def mod_command(
    problems: ProblemsArgument,
    *,
    target: TargetOption,
    modulus: Annotated[int, typer.Option(min=2, help="What answers are taken modulo.")] = 99_991,
) -> None:
    """Ask for large integer answers modulo a number; others are left out."""
    known = read_problems(problems)
    made = [each for each in (modulo(problem, modulus) for problem in known) if each is not None]
    _write(target, made, "problems mod", {"modulus": modulus}, [problems])


@app.command("clean")
def clean_command(
    problems: ProblemsArgument,
    evaluation: Annotated[list[Path], typer.Argument(help="Problems of evaluations.")],
    *,
    target: TargetOption,
) -> None:
    """Leave out problems that share thirteen words in a row with one of an evaluation."""
    known = read_problems(problems)
    held = [each for path in evaluation for each in read_problems(path)]
    found = contaminated(known, held)
    for name, other in found.items():
        typer.echo(f"{name}: shares words with {other}")
    kept = [each for each in known if each.id not in found]
    settings = {"left_out": found}
    _write(target, kept, "problems clean", settings, [problems, *evaluation])


def _runner(kernel: LeasedKernel) -> Any:  # noqa: ANN401 - a `Run`
    def run(program: str) -> str:
        result = kernel.execute(program, PROGRAM_S)
        if result.status is not CellStatus.OK:
            failed = ProgramFailed if result.status is CellStatus.ERROR else ProgramHung
            raise failed(f"its program ended with {result.status}: {result.output[-200:]}")
        return result.output

    return run


def _within(rate: Rate | None, least: float, most: float) -> bool:
    share = None if rate is None else rate.solve_rate
    return (least, most) == (0.0, 1.0) if share is None else least <= share <= most


def _write(
    target: Path,
    problems: Sequence[Problem],
    step: str,
    settings: dict[str, Any],
    inputs: Sequence[Path],
    more: dict[str, dict[str, Any]] | None = None,
) -> None:
    """Write problems as JSON lines, and where they come from beside them."""
    if not problems:
        raise EmptyCorpus(f"{target}: no problem is left; loosen what is asked for")
    with whole_file(target) as partial, partial.open("wb") as file:
        for each in problems:
            row = {
                "id": each.id, "problem": each.statement, "answer": each.answer,
                "source": each.source, "licence": each.licence, **each.more,
                **(more or {}).get(each.id, {}),
            }  # fmt: skip
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    write_json(target.with_suffix(".origin.json"), provenance(step, settings, inputs))
    typer.echo(f"{target}: {len(problems)} problems")
