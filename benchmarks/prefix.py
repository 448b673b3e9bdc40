"""How much of each prompt the engine finds in its cache, since token lists only grow.

    make bench NAME=prefix

Solves with tools, over a rehearsal in each dialect (small vocabularies are made for those that have
none of their own here). From turn to turn an attempt's prompt is all it had before, to the token,
and a tool's result. The engine's own count of cached tokens (`cached_tokens`, in pages of 64 as
SGLang's) is compared with the tokens of the attempt's request before: the missing ones must be
fewer than a page, in every turn. For comparison: what a gateway would find that renders the
conversation again, whose text is the same but whose tokens are made anew.

Then llama.cpp with the default weights: four sessions in turns, all at once. What it tells of each
prompt itself (`prompt_progress.cache`) must be all of the turns before but one token, since it
never computes the last one that it samples.
"""

import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import anyio
import typer

from benchmarks.prefix_llamacpp import measure_llamacpp
from benchmarks.report import Result, finish, print_table
from client.schema import SolveRequest
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.dialect.catalogue import open_dialect
from server.engine.base import Chunk, EngineInfo, EngineStatus, Sampling, Stream
from server.engine.rehearsal.scheduler import PAGE_TOKENS, PrefixCache
from server.engine.rehearsal.vocabularies.make import OTHERS, write
from server.engine.rehearsal_process import OWN_VOCABULARIES, RehearsalOptions, open_rehearsal
from server.engine.sglang import SglangEngine, SglangLimits
from server.engine.slots import common_prefix
from server.sections.solve import SolveSettings
from server.solve.events import EventLog
from server.solve.plan import make_plan
from server.solve.solver import Solver, SolverParts
from server.vocabulary import Vocabulary

ATTEMPTS = 8
MACHINE = """
load_s = 0
step_s = 0.0002
step_s_per_stream = 0
prefill_tokens_s = 1e6
kv_tokens = 1e6
most_running = 64
[habits]
tokens_median = 1500
tokens_sigma = 0.4
tokens_most = 4000
calls_median = 8
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its prompt, and how much of it is the session's request before and its ids."""

    prompt: list[int]
    grown_from: int


@dataclass(slots=True)
class Watched:
    """An engine that keeps what is asked of it; the most streams that were open at once."""

    engine: SglangEngine
    asked: list[Asked] = field(default_factory=list)
    most_open: int = 0
    _open: int = 0
    _held: dict[str, list[int]] = field(default_factory=dict)

    @property
    def info(self) -> EngineInfo:
        """The engine's."""
        return self.engine.info

    def status(self) -> EngineStatus:
        """The engine's."""
        return self.engine.status()

    async def wait_ready(self) -> None:
        """Wait for the engine."""
        await self.engine.wait_ready()

    def release(self, session: str) -> None:
        """Pass it on."""
        self.engine.release(session)

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Pass it on."""
        return await self.engine.score(ids, start)

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Pass it on, and keep what a session has sampled."""
        prompt = list(prompt_ids)
        before = self._held.get(session, [])
        # What an engine sampled past the end of a call came, and is not gone on with.
        self.asked.append(Asked(prompt, common_prefix(before, prompt)))
        held = self._held[session] = [*prompt]
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        try:
            async with self.engine.generate(prompt, sampling, session=session) as stream:
                yield self._kept(stream, held)
        finally:
            self._open -= 1

    async def _kept(self, stream: Stream, held: list[int]) -> AsyncIterator[Chunk]:
        async for chunk in stream:
            held += chunk.token_ids
            yield chunk


@dataclass(frozen=True, slots=True)
class Turns:
    """What was found of one dialect: later turns, their tokens, and what was missing of each."""

    dialect: str
    turns: int
    tokens: int
    reusable: int
    cached: int
    most_missing: int
    rendered_again: int
    most_open: int


def main(
    solves: Annotated[int, typer.Option(help="solves a dialect")] = 3,
    llamacpp: Annotated[bool, typer.Option(help="measure the embedded model too")] = True,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    finish(anyio.run(_measure, solves, llamacpp))


async def _measure(solves: int, llamacpp: bool) -> list[Result]:
    async with KernelPool(PoolSettings(kernels=ATTEMPTS)) as pool:
        families = [*OWN_VOCABULARIES, *OTHERS]
        found = [await _turns(family, pool, solves) for family in families]
    results = _report(found)
    return results + (await measure_llamacpp() if llamacpp else [])


async def _turns(family: str, pool: KernelPool, solves: int) -> Turns:
    with tempfile.TemporaryDirectory() as folder:
        path = OWN_VOCABULARIES.get(family) or Path(folder) / family
        if family in OTHERS:
            write(family, path)
        vocabulary = Vocabulary.load(path)
        dialect = open_dialect("auto", vocabulary)
        machine = Path(folder) / "machine.toml"
        machine.write_text(MACHINE, encoding="utf-8")
        options = RehearsalOptions(
            model_path=path,
            limits=SglangLimits(slots=ATTEMPTS, context_tokens=32_768),
            machine=str(machine),
        )
        async with open_rehearsal(options, vocabulary) as engine:
            await engine.wait_ready()
            watched = Watched(engine)
            for number in range(solves):
                request = SolveRequest(
                    problem=f"Which number is it? ({number})", strategy="tir", attempts=ATTEMPTS,
                    agree=ATTEMPTS, time_limit_s=120.0, max_tokens=16_000, max_turns=64,
                    seed=number,
                )  # fmt: skip
                plan = make_plan(request, SolveSettings(), cell_timeout_s=6.0)
                log = EventLog(f"prefix-{number}", itertools.count(1).__next__)
                await Solver(SolverParts(watched, dialect, vocabulary, pool), plan, log).run()
            told = (await engine.server.get("/server_info"))["rehearsal"]["prefills"]
    return _compared(dialect.name, watched, told, vocabulary)


def _compared(
    dialect: str, watched: Watched, told: list[tuple[int, int]], vocabulary: Vocabulary
) -> Turns:
    """Match the requests with the engine's counts, by the length of the prompt and in order."""
    cached: dict[int, list[int]] = {}
    for length, count in told:
        cached.setdefault(length, []).append(count)
    later = [asked for asked in watched.asked if asked.grown_from]
    counts = []
    for asked in watched.asked:
        count = cached[len(asked.prompt)].pop(0)
        if asked.grown_from:
            counts.append(count)
    missing = [a.grown_from - count for a, count in zip(later, counts, strict=True)]
    return Turns(
        dialect=dialect,
        turns=len(later),
        tokens=sum(len(asked.prompt) for asked in later),
        reusable=sum(asked.grown_from for asked in later),
        cached=sum(min(a.grown_from, c) for a, c in zip(later, counts, strict=True)),
        most_missing=max(missing, default=0),
        rendered_again=_rendered_again(watched.asked, vocabulary),
        most_open=watched.most_open,
    )


def _rendered_again(asked: Sequence[Asked], vocabulary: Vocabulary) -> int:
    """Return the cached tokens of later turns where each prompt's text is encoded anew."""
    cache = PrefixCache(1e9)
    found = 0
    for each in asked:
        # What the engine holds are the sampled ids; what comes next is made from their text.
        anew = _anew(each.prompt[: each.grown_from], vocabulary)
        found += min(cache.hold([*anew, *each.prompt[each.grown_from :]]), each.grown_from)
        cache.hold(each.prompt)
    return found


def _anew(ids: list[int], vocabulary: Vocabulary) -> list[int]:
    """Encode the text between control tokens again."""
    made: list[int] = []
    start = 0
    for place, token_id in enumerate([*ids, -1]):
        if token_id < 0 or vocabulary.is_control(token_id):
            made += vocabulary.encode(vocabulary.decode(ids[start:place]))
            made += [token_id] * (token_id >= 0)
            start = place + 1
    return made


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "none"


def _report(found: Sequence[Turns]) -> list[Result]:
    print_table(
        f"Later turns of {ATTEMPTS} attempts a solve; a page has {PAGE_TOKENS} tokens",
        ["dialect", "turns", "prompt tokens", "from before", "cached", "most missing",
         "rendered again"],
        [
            (
                each.dialect,
                each.turns,
                f"{each.tokens:,}",
                f"{each.reusable:,}",
                f"{_share(each.cached, each.reusable)}",
                each.most_missing,
                f"{_share(each.rendered_again, each.reusable)}",
            )
            for each in found
        ],
    )  # fmt: skip
    results = []
    for each in found:
        share = 100 * each.cached / max(each.tokens, 1)
        results += [
            Result(f"{each.dialect}_turns", each.turns, "turns", least=20),
            Result(f"{each.dialect}_cached_of_prompts", share, "%"),
            Result(f"{each.dialect}_most_missing", each.most_missing, "tokens", most=PAGE_TOKENS),
            Result(f"{each.dialect}_most_streams", each.most_open, "streams", most=ATTEMPTS),
        ]
    return results


if __name__ == "__main__":
    typer.run(main)
