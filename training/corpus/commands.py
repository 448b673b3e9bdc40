"""`quorum train corpus`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from training.corpus.build import Compared, build
from training.corpus.exclusion import read_excluded
from training.corpus.rules import Kind, Order, Rules
from training.errors import BadTraces
from training.text import open_decoder
from training.traces.answers import given_answers


def corpus_command(  # noqa: PLR0913 - its options
    sources: Annotated[
        list[Path], typer.Argument(help="Traces: journal exports, or imported ones.")
    ],
    *,
    target: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="tokenizer.json or .tiktoken: writes corpus.csv, checks characters."),
    ] = None,
    decode_url: Annotated[
        str | None, typer.Option(help="The server that reads token ids, for want of a tokenizer.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Right answers: JSON lines or CSV with id and answer.")
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Problems to keep out: JSON lines with id, problem or both.")
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Take wrong answers as well.")] = False,
    shortest: Annotated[int, typer.Option(min=1, help="Fewest tokens of a trace.")] = 1,
    longest: Annotated[int | None, typer.Option(min=1, help="Most tokens of a trace.")] = None,
    per_problem: Annotated[
        int | None, typer.Option(min=1, help="Most entries of one problem.")
    ] = None,
    order: Annotated[Order, typer.Option(help="Which of a problem come first.")] = Order.SHORTEST,
    per_cluster: Annotated[
        int | None,
        typer.Option(min=1, help="Most entries of problems that differ in numbers or few words."),
    ] = None,
    most_overlap: Annotated[
        float,
        typer.Option(min=0, max=1, help="Most that two of a problem may have in common."),
    ] = 1.0,
    most_overlap_across: Annotated[
        float,
        typer.Option(min=0, max=1, help="Most that any two may have in common."),
    ] = 1.0,
    most_tool_errors: Annotated[
        int | None, typer.Option(min=0, help="Most errors in a trace's code.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=0, help="Preference pairs of a problem, right and wrong.")
    ] = 0,
    lines: Annotated[bool, typer.Option("--lines", help="Write tokens.jsonl as well.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the order `random`.")] = 0,
    kinds: Annotated[
        list[Kind] | None, typer.Option("--kind", help="Only entries of this kind; repeatable.")
    ] = None,
    alternates: Annotated[
        list[Path] | None, typer.Option(help="Alternates of the traces; repeatable.")
    ] = None,
    reflections: Annotated[
        list[Path] | None, typer.Option(help="What was said of them: reflections.csv; repeatable.")
    ] = None,
) -> None:
    """Choose traces and write them as a corpus: token ids, masks, a table and a data card."""
    rules = Rules(
        least_reward=0.0 if wrong else 1.0,
        shortest=shortest,
        longest=longest,
        per_problem=per_problem,
        order=order,
        per_cluster=per_cluster,
        most_overlap=most_overlap,
        most_overlap_across=most_overlap_across,
        most_tool_errors=most_tool_errors,
        seed=seed,
        kinds=tuple(kinds or ()),
    )
    if bool(alternates) != bool(reflections):
        raise BadTraces(
            "corpus: --alternates and --reflections go together: continuations are taken by what "
            "annotators said of them"
        )
    with open_decoder(tokenizer, decode_url) as decoder, given_answers(answers) as known:
        figures = build(
            sources,
            target,
            rules,
            decoder=decoder,
            answers=known,
            excluded=read_excluded(exclude),
            pairs_per_problem=pairs,
            lines=lines,
            compared=Compared(tuple(alternates or ()), tuple(reflections or ())),
        )
    typer.echo(
        f"{target}: {figures['entries']} entries of {figures['problems']} problems from "
        f"{figures['traces']} traces, {figures['trained_tokens']} tokens to train on, "
        f"{figures['pairs']} pairs"
    )
    for reason, count in figures["reason"].items():
        typer.echo(f"  {count} times {reason}")
    _tell_exclusion(figures)
    if decoder is None:
        typer.echo(
            f"  entries over {rules.most_characters} characters were not looked for: name "
            "--tokenizer or --decode-url"
        )


def _tell_exclusion(figures: dict[str, Any]) -> None:
    """Say what --exclude did not meet: an id that is spelled otherwise keeps nothing out."""
    absent = figures.get("excluded_absent", [])
    if absent:
        named = ", ".join(absent[:_NAMED]) + (", …" if len(absent) > _NAMED else "")
        typer.echo(f"  {len(absent)} problems of --exclude are of no trace: {named}")
    if figures.get("nameless"):
        typer.echo(
            f"  {figures['nameless']} traces name no problem and were not compared with --exclude: "
            "give it statements, and name --tokenizer or --decode-url"
        )


#: Problems that are told by name.
_NAMED = 10
