"""How much of each attempt's prompt the engine finds in its cache where another model planned.

    make bench NAME=two_models

A planner and a coder of different families, both rehearsed, under the recipe `plan_then_code`. The
attempts of a problem are asked in different ways (`solve.mix`), and must begin with the same tokens
up to the plan's end. What the coder's engine itself counts as cached (`cached_tokens`, in pages of
64 as SGLang's) must be all of that but less than a page, for every attempt but the first.

Then llama.cpp with the default weights in two processes: what it tells of each prompt
(`prompt_progress.cache`) must be all that attempts share but one token, which it computes always.
"""

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import anyio
import typer

from benchmarks.prefix_llamacpp import told_cached
from benchmarks.report import Result, finish, print_table
from client.schema import AttemptEnd, AttemptSegment, SolveRequest
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.dialect.catalogue import open_dialect
from server.engine.llamacpp import LlamaCppOptions, open_llamacpp
from server.engine.named import NamedEngine
from server.engine.rehearsal.scheduler import PAGE_TOKENS
from server.engine.rehearsal_process import OWN_VOCABULARIES, RehearsalOptions, open_rehearsal
from server.engine.sglang import SglangEngine, SglangLimits
from server.engine.slots import common_prefix
from server.sections.solve import SolveSettings
from server.solve.events import EventLog
from server.solve.plan import make_plan
from server.solve.solver import Solver, SolverParts
from server.vocabulary import Vocabulary
from server.weights import DEFAULT, resolve

ATTEMPTS = 8
PAIRS = (("harmony", "qwen"), ("qwen", "harmony"))
MIX = "; variant=check; variant=concise; variant=small_cases"
#: Of the embedded model, so many attempts with so many tokens: prefills are what is measured.
SMALL_ATTEMPTS, SMALL_TOKENS = 4, 48


@dataclass(frozen=True, slots=True)
class Shared:
    """One attempt's first prompt: its tokens, those that all attempts share, those cached."""

    prompt: int
    shared: int
    cached: int


def main(
    solves: Annotated[int, typer.Option(help="problems a pair of families")] = 4,
    llamacpp: Annotated[bool, typer.Option(help="measure the embedded model too")] = True,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    finish(anyio.run(_measure, solves, llamacpp))


async def _measure(solves: int, llamacpp: bool) -> list[Result]:
    results: list[Result] = []
    async with KernelPool(PoolSettings(kernels=ATTEMPTS)) as pool:
        for planner, coder in PAIRS:
            found = await _rehearse(planner, coder, pool, solves)
            results += _report(f"{planner}_plans_{coder}_codes", found, PAGE_TOKENS - 1)
        if llamacpp:
            results += _report("llamacpp_twice", await _embedded(pool), 1)
    return results


async def _rehearse(planner: str, coder: str, pool: KernelPool, solves: int) -> list[Shared]:
    found: list[Shared] = []
    async with AsyncExitStack() as stack:
        by, codes = [
            await stack.enter_async_context(_family(family)) for family in (planner, coder)
        ]
        for number in range(solves):
            before = len(await _prefills(codes))
            firsts = await _firsts(by, codes, pool, number, attempts=ATTEMPTS)
            counts: dict[int, list[int]] = defaultdict(list)
            for length, cached in (await _prefills(codes))[before:]:
                counts[length].append(cached)
            found += _compared(firsts, [counts[len(ids)].pop(0) for ids in firsts])
    return found


@asynccontextmanager
async def _family(family: str) -> AsyncIterator[NamedEngine]:
    """Open a rehearsal of a family; it is ready."""
    path = OWN_VOCABULARIES[family]
    vocabulary = Vocabulary.load(path)
    limits = SglangLimits(slots=ATTEMPTS, context_tokens=32_768)
    options = RehearsalOptions(model_path=path, limits=limits)
    async with open_rehearsal(options, vocabulary) as engine:
        await engine.wait_ready()
        yield NamedEngine(family, engine, open_dialect(family, vocabulary), vocabulary, path)


async def _prefills(named: NamedEngine) -> list[tuple[int, int]]:
    """Return the tokens of each prompt that a rehearsal had, and how many were cached."""
    engine = named.engine
    assert isinstance(engine, SglangEngine)  # noqa: S101 - as `_family` opened it
    told: list[tuple[int, int]] = (await engine.server.get("/server_info"))["rehearsal"]["prefills"]
    return told


async def _embedded(pool: KernelPool) -> list[Shared]:
    """Have the default model plan for itself, in two processes."""
    path = resolve(DEFAULT.name)
    vocabulary = Vocabulary.load(path)
    dialect = open_dialect("auto", vocabulary)
    async with AsyncExitStack() as stack:
        opened = []
        for slots in (1, SMALL_ATTEMPTS):
            options = LlamaCppOptions(model_path=path, slots=slots, context_tokens=2048, threads=2)
            engine = await stack.enter_async_context(open_llamacpp(options, vocabulary))
            await engine.wait_ready()
            opened.append(NamedEngine(f"of {slots}", engine, dialect, vocabulary, path))
            cached = told_cached(engine)
        by, codes = opened
        firsts = await _firsts(by, codes, pool, 0, attempts=SMALL_ATTEMPTS, max_tokens=SMALL_TOKENS)
        return _compared(firsts, [cached[tuple(ids)] for ids in firsts])


async def _firsts(
    by: NamedEngine, codes: NamedEngine, pool: KernelPool, number: int, **asked: int
) -> list[list[int]]:
    """Solve a problem, and return the first prompt of each attempt."""
    request = SolveRequest.model_validate(
        {
            "problem": f"How many numbers below 1000 leave {number} when divided by 7?",
            "agree": asked["attempts"],
            "time_limit_s": 240.0,
            "seed": number,
            "recipe": "plan_then_code(tokens=400)",
            "tokens": True,
            **asked,
        }
    )
    plan = make_plan(request, SolveSettings(mix=MIX), cell_timeout_s=6.0, engines=["planner"])
    log = EventLog(f"two-{number}", itertools.count(1).__next__)
    parts = SolverParts(codes.engine, codes.dialect, codes.vocabulary, pool, others={"planner": by})
    result = await Solver(parts, plan, log).run()
    if any(report.end is not AttemptEnd.PLANNED for report in result.plans):
        raise RuntimeError(f"there was no plan: {result.plans}")
    segments = [event for event in log.events if isinstance(event, AttemptSegment)]
    firsts = []
    for report in result.attempts:
        own = [each.token_ids for each in segments if each.attempt == report.attempt]
        firsts.append(list(itertools.chain.from_iterable(own))[: report.tokens.prompt])
    return firsts


def _compared(firsts: Sequence[Sequence[int]], cached: Sequence[int]) -> list[Shared]:
    """Return all attempts but the one that had nothing to find."""
    shared = min(common_prefix(firsts[0], ids) for ids in firsts[1:])
    found = [Shared(len(ids), shared, count) for ids, count in zip(firsts, cached, strict=True)]
    first = min(found, key=lambda each: each.cached)
    return [each for each in found if each is not first]


def _report(name: str, found: Sequence[Shared], most_missing: int) -> list[Result]:
    missing = max(each.shared - each.cached for each in found)
    share = 100 * sum(min(x.cached, x.shared) for x in found) / sum(x.shared for x in found)
    print_table(
        f"First prompts of later attempts: {name}",
        ["attempts", "prompt tokens", "shared by all", "cached", "most missing"],
        [(len(found), sum(x.prompt for x in found), sum(x.shared for x in found),
          f"{share:.1f} %", missing)],
    )  # fmt: skip
    least = min(each.shared / each.prompt for each in found)
    return [
        Result(f"{name}_cached_of_shared", share, "%"),
        Result(f"{name}_most_missing", missing, "tokens", most=most_missing),
        Result(f"{name}_least_shared_of_prompt", 100 * least, "%"),
    ]


if __name__ == "__main__":
    typer.run(main)
