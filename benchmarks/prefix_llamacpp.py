"""How much of each prompt llama.cpp finds in its slots: `benchmarks.prefix` with real weights.

As many sessions as slots, each a token list that grows from turn to turn, all at work at once.
llama.cpp says of every request what it had in its cache (`return_progress`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import orjson

from benchmarks.report import Result, print_table
from server.engine.base import Sampling
from server.engine.llamacpp import LlamaCppEngine, LlamaCppOptions, open_llamacpp
from server.vocabulary import Vocabulary
from server.weights import DEFAULT, resolve

SESSIONS, TURNS = 4, 5
#: Tokens that a turn samples, and about as many that a tool's result adds.
SAMPLED = 16
RESULT = "\n```output\n[{number}, 1024, 3.14159]\n```\n"
PROMPT = (
    "Session {number}: count the lattice points under the hyperbola, and name them one by one. "
)
#: llama.cpp computes no keys and values for the last token that it samples.
MOST_MISSING = 1

Complete = Callable[[dict[str, Any], float], AbstractAsyncContextManager[AsyncIterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One request: tokens of its prompt, those that were there the turn before, those cached."""

    prompt: int
    before: int
    cached: int


async def measure_llamacpp() -> list[Result]:
    """Measure and print."""
    path = resolve(DEFAULT.name)
    vocabulary = Vocabulary.load(path)
    options = LlamaCppOptions(model_path=path, slots=SESSIONS, context_tokens=1024, threads=2)
    turns: list[Turn] = []
    async with open_llamacpp(options, vocabulary) as engine:
        await engine.wait_ready()
        async with anyio.create_task_group() as group:
            cached = told_cached(engine)
            for number in range(SESSIONS):
                group.start_soon(_session, engine, vocabulary, number, cached, turns)
        slots = engine.info.slots
    missing = [turn.before - turn.cached for turn in turns]
    share = 100 * sum(turn.cached for turn in turns) / sum(turn.before for turn in turns)
    print_table(
        f"Later turns of {SESSIONS} sessions on {slots} slots of llama.cpp",
        ["turns", "prompt tokens", "from before", "cached", "most missing"],
        [(len(turns), sum(t.prompt for t in turns), sum(t.before for t in turns),
          f"{share:.2f} %", max(missing))],
    )  # fmt: skip
    return [
        Result("llamacpp_turns", len(turns), "turns", least=SESSIONS * (TURNS - 1)),
        Result("llamacpp_cached_of_before", share, "%"),
        Result("llamacpp_most_missing", max(missing), "tokens", most=MOST_MISSING),
        Result("llamacpp_slots_for_running", slots / SESSIONS, "ratio", least=1),
    ]


async def _session(
    engine: LlamaCppEngine,
    vocabulary: Vocabulary,
    number: int,
    cached: dict[tuple[int, ...], int],
    turns: list[Turn],
) -> None:
    ids = vocabulary.encode(PROMPT.format(number=number) * 3)
    before = 0
    sampling = Sampling(max_tokens=SAMPLED, temperature=1, seed=number)
    for turn in range(TURNS):
        prompt = tuple(ids)
        async with engine.generate(ids, sampling, session=f"s-{number}") as stream:
            ids = ids + [token_id async for chunk in stream for token_id in chunk.token_ids]
        if turn:
            turns.append(Turn(len(prompt), before, cached[prompt]))
        before = len(ids)
        ids = ids + vocabulary.encode(RESULT.format(number=turn))
    engine.release(f"s-{number}")


def told_cached(engine: LlamaCppEngine) -> dict[tuple[int, ...], int]:
    """Have llama.cpp tell, of each prompt from now on, what it had in its cache."""
    found: dict[tuple[int, ...], int] = {}
    server = engine.server
    complete: Complete = server.complete

    @asynccontextmanager
    async def asked(body: dict[str, Any], read_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        async with complete(body | {"return_progress": True}, read_s) as lines:
            yield _without_progress(lines, tuple(body["prompt"]), found)

    server.complete = asked  # type: ignore[method-assign]
    return found


async def _without_progress(
    lines: AsyncIterator[bytes], prompt: tuple[int, ...], found: dict[tuple[int, ...], int]
) -> AsyncIterator[bytes]:
    async for line in lines:
        progress = orjson.loads(line).get("prompt_progress")
        if progress is None:
            yield line
        else:
            found.setdefault(prompt, int(progress["cache"]))
