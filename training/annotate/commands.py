"""`quorum train annotations`: what people and models say of traces."""

import os
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import anyio
import orjson
import typer

from client.errors import UsageError
from client.http import DEFAULT_URL
from training.alternates.record import Position, read_positions
from training.annotate.agreement import comparison_alpha, kappa, shared_spans, token_alpha
from training.annotate.endpoint import Asked, ChatEndpoint
from training.annotate.prompts import wording
from training.annotate.reflections import Span, faults, read_spans, write_spans
from training.annotate.write import (
    COMPARISON_PLACES,
    REFLECTION_PLACES,
    Item,
    Writing,
    comparisons,
    reflection,
    write,
)
from training.errors import BadTraces
from training.provenance import provenance
from training.text import open_decoder
from training.traces.read import read_traces

app = typer.Typer(
    help="Reflections on traces and comparisons: written by a model, joined, checked.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
#: The variables that hold the endpoint's key, the first that is set.
KEY_VARIABLES = ("QUORUM_ANNOTATOR_KEY", "OPENAI_API_KEY")
AlternatesOption = Annotated[
    list[Path] | None, typer.Option(help="The alternates that are compared; may be given again.")
]


@app.command("check")
def check_command(
    reflections: Annotated[Path, typer.Argument(help="A reflections.csv.")],
    traces: Annotated[list[Path], typer.Argument(help="The traces that it is about.")],
    *,
    alternates: AlternatesOption = None,
) -> None:
    """Check reflections by the rules, and print how far their annotators agree."""
    spans = read_spans(reflections)
    found = _faults(spans, traces, alternates or [])
    for fault in found:
        typer.echo(fault)
    for line in _agreement(spans):
        typer.echo(line)
    typer.echo(f"{reflections}: {len(spans)} spans, {len(found) or 'no'} faults")
    if found:
        raise typer.Exit(1)


@app.command("join")
def join_command(
    sources: Annotated[list[Path], typer.Argument(help="Files reflections.csv.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The file to write.")],
) -> None:
    """Write several reflections.csv, of people and of models, as one; rows that are twice once."""
    spans = list(dict.fromkeys(span for path in sources for span in read_spans(path)))
    write_spans(target, spans)
    typer.echo(f"{target}: {len(spans)} spans of {len({span.annotator for span in spans})}")


@app.command("write")
def write_command(  # noqa: PLR0913 - its options
    traces: Annotated[list[Path] | None, typer.Argument(help="Traces to reflect on.")] = None,
    *,
    target: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    endpoint: Annotated[
        str, typer.Option(help="An endpoint of OpenAI's chat completions, such as …/v1.")
    ],
    model: Annotated[str, typer.Option(help="The model that annotates.")],
    alternates: AlternatesOption = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json or .tiktoken; else the server is asked.")
    ] = None,
    url: Annotated[
        str, typer.Option(envvar="QUORUM_URL", help="The server that reads token ids.")
    ] = DEFAULT_URL,
    prompt: Annotated[
        Path | None, typer.Option(help="Another prompt for what is asked about each item.")
    ] = None,
    annotator: Annotated[str, typer.Option(help="The name in the rows; else the model's.")] = "",
    tries: Annotated[int, typer.Option(min=1, help="Times that an item is asked at most.")] = 3,
    parallel: Annotated[int, typer.Option(min=1, help="Items at a time.")] = 4,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=5, help="Of sampling; else the endpoint's.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of a reply.")] = None,
    more: Annotated[
        str, typer.Option(help='JSON that is sent too, as {"reasoning_effort": "high"}.')
    ] = "{}",
) -> None:
    """Have a model reflect on traces, or with --alternates compare continuations."""
    if bool(traces) == bool(alternates):
        raise BadTraces("annotations: must have either traces or --alternates; give one of them")
    plan = _plan(annotator or model, prompt, tries, parallel, compares=bool(alternates))
    asked = Asked(model, temperature, max_tokens, _object(more))
    sources = [*(traces or ()), *(alternates or ())]
    settings = plan.settings() | {"endpoint": endpoint, "model": model, "more": asked.more}
    settings |= {"temperature": temperature, "max_tokens": max_tokens}
    told = provenance("annotations write", settings, sources)
    key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), "")

    items = (
        comparisons(_positions(alternates), plan)
        if alternates
        else _reflections(traces or [], tokenizer, url, plan)
    )

    async def run() -> dict[str, Any]:
        async with ChatEndpoint(endpoint, key, asked) as chat:
            return await write(items, chat, target, plan, told)

    figures = anyio.run(run)
    typer.echo(
        f"{target}: {figures['valid']} of {figures['items']} replies keep the rules "
        f"({figures['asked_again']} asked again), {figures['spans']} spans, "
        f"{figures['completion_tokens']} tokens"
    )
    for fault, count in figures["faults"].items():
        typer.echo(f"  {count} times {fault}")


def _plan(
    annotator: str, prompt: Path | None, tries: int, parallel: int, *, compares: bool
) -> Writing:
    return Writing(
        annotator=annotator,
        reflection=wording("reflection", None if compares else prompt, REFLECTION_PLACES),
        comparison=wording("comparison", prompt if compares else None, COMPARISON_PLACES),
        tries=tries,
        parallel=parallel,
    )


def _reflections(
    sources: list[Path], tokenizer: Path | None, url: str, plan: Writing
) -> list[Item]:
    traces = [trace for path in sources for trace in read_traces(path)]
    with open_decoder(tokenizer, url) as decoder:
        if decoder is None:
            raise AssertionError("a server is asked for want of a tokenizer")
        return [reflection(trace, decoder.pieces(trace.ids.tolist()), plan) for trace in traces]


def _positions(sources: list[Path]) -> list[Position]:
    """Return the positions with something to compare, named ones first, then by priority."""
    found = [each for path in sources for each in read_positions(path) if each.alternates]
    return sorted(found, key=lambda each: (not each.named, -each.priority))


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"--more: not JSON ({error}); write an object") from None
    if not isinstance(value, dict):
        raise UsageError("--more: must be a JSON object")
    return value


def _faults(spans: list[Span], traces: list[Path], alternates: list[Path]) -> list[str]:
    lengths = {
        (str(trace.values.get("solve_id", "")), int(trace.values.get("attempt", 0))): len(trace.ids)
        for path in traces
        for trace in read_traces(path)
    }
    positions = {each.key: each for path in alternates for each in read_positions(path)}
    return faults(spans, lengths, positions)


def _agreement(spans: list[Span]) -> list[str]:
    """Return how far annotators agree: every two, and all together."""
    lines = []
    for one, other in combinations(sorted({span.annotator for span in spans}), 2):
        same, shared = kappa(spans, one, other), shared_spans(spans, one, other)
        told = "no span in common" if same is None else f"kappa {same:.2f}"
        lines.append(
            f"{one}, {other}: {told}"
            + ("" if shared is None else f"; {100 * shared:.0f} % of their spans shared")
        )
    tokens, compared = token_alpha(spans), comparison_alpha(spans)
    if tokens is not None:
        lines.append(f"all, over tokens: Krippendorff's alpha {tokens:.2f}")
    if compared is not None:
        lines.append(f"all, over comparisons: Krippendorff's alpha {compared:.2f}")
    return lines
