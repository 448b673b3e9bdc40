"""How fast attempts are decoded together when the slots between them have nothing to decode.

    make bench NAME=slot_gaps

Attempts that wait for a tool, or have ended, leave gaps between the slots at work. Given a cache
for each slot, llama.cpp decodes together only slots whose numbers follow each other; the gateway
has it keep one cache for all. Both kinds run as processes of their own, one at a time, the order
alternating: the same prompts, which they hold already, the same slots, the same number of tokens.
Figure: generated tokens per second of all streams together, one cache over separate ones.
"""

import statistics
from functools import partial
from typing import Annotated

import anyio
import httpx
import orjson
import typer
from rich.progress import track

from benchmarks.bare_engine import bare_engine
from benchmarks.report import Result, finish, print_table
from server.engine.base import Sampling
from server.engine.llamacpp_http import completion_body
from server.settings import load_settings

ROUNDS = 5
SLOTS = 8
#: As many as the prompt of a short problem has.
PROMPT_TOKENS = 250
TOKENS = 24
#: Which slots are at work.
CASES = {
    "every other": (0, 2, 4, 6),
    "one of four waits": (0, 2, 3),
    "four in a row": (0, 1, 2, 3),
    "all": tuple(range(SLOTS)),
}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="of each case, both sides")] = ROUNDS,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    finish(anyio.run(_measure, rounds))


async def _measure(rounds: int) -> list[Result]:
    settings = load_settings()
    rates: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
    async with (
        bare_engine(settings, slots=SLOTS) as shared,
        bare_engine(settings, slots=SLOTS, module="benchmarks.separate_caches") as separate,
    ):
        for side in (shared, separate):  # both hold the prompts from here on
            await _rate(side, CASES["all"], tokens=1)
        for number in track(range(rounds), description="rounds"):
            for case, slots in CASES.items():
                sides = (shared, separate)[:: -1 if number % 2 else 1]
                pair = [await _rate(side, slots) for side in sides][:: -1 if number % 2 else 1]
                rates[case].append((pair[0], pair[1]))
    return _report(rates)


async def _rate(engine: httpx.AsyncClient, slots: tuple[int, ...], tokens: int = TOKENS) -> float:
    begun = anyio.current_time()
    async with anyio.create_task_group() as group:
        for slot in slots:
            group.start_soon(partial(_generate, engine, slot, tokens))
    return len(slots) * tokens / (anyio.current_time() - begun)


async def _generate(engine: httpx.AsyncClient, slot: int, tokens: int) -> None:
    prompt = [1_000 + (7 * place + 31 * slot) % 5_000 for place in range(PROMPT_TOKENS)]
    sampling = Sampling(max_tokens=tokens, temperature=0.7, seed=slot)
    body = completion_body(prompt, sampling, slot) | {"ignore_eos": True}
    async with engine.stream("POST", "/completion", content=orjson.dumps(body)) as reply:
        reply.raise_for_status()
        async for _ in reply.aiter_lines():
            pass


def _report(rates: dict[str, list[tuple[float, float]]]) -> list[Result]:
    medians = {
        case: [statistics.median(side) for side in zip(*pairs, strict=True)]
        for case, pairs in rates.items()
    }
    ratios = {case: statistics.median(a / b for a, b in pairs) for case, pairs in rates.items()}
    print_table(
        f"{SLOTS} slots, tokens/s of all streams together",
        ["slots at work", "one cache", "separate caches", "ratio"],
        [
            (f"{case} {CASES[case]}", f"{one:.1f}", f"{many:.1f}", f"{ratios[case]:.2f}")
            for case, (one, many) in medians.items()
        ],
    )
    return [
        Result("every_other_slot", ratios["every other"], "x_separate", least=1.5),
        Result("one_of_four_waits", ratios["one of four waits"], "x_separate", least=1.0),
        Result("four_in_a_row", ratios["four in a row"], "x_separate"),
        Result("all_slots", ratios["all"], "x_separate"),
    ]


if __name__ == "__main__":
    typer.run(main)
