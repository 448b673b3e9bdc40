"""How much of the bare engine's speed reaches the caller through the whole stack.

    make bench NAME=engine_use

Each round has the gateway solve one problem with 4 attempts over HTTP, and has a second, equal
llama.cpp process serve the same four streams to plain HTTP readers: the same prompt, seeds, lengths
and appended ids, turn by turn, as the gateway's own events recorded them. Each side goes on from
the tokens that it has sampled itself, so neither prefills what it holds. The order alternates; both
hold the prompt already. Figure: generated tokens per second, all streams together, gateway over
bare. `--strategy tir` adds tool calls, whose cells then run on the engine's cores: reported, no
target.
"""

import statistics
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import anyio
import httpx
import orjson
import typer
from rich.progress import track

from benchmarks.bare_engine import bare_engine
from benchmarks.report import Result, finish, print_table
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.schema import AttemptSegment, SegmentKind, SolveRequest
from server.engine.llamacpp_http import completion_body
from server.settings import Settings, load_settings
from server.solve.plan import SolvePlan, make_plan

ATTEMPTS = 4
PAIRS = 20
#: Tokens an attempt: about 12 seconds a solve at 35 tokens/s.
TOKENS = 96
PROBLEM = "How many positive integers less than 10000 have digits that add up to 17? Explain."


@dataclass(slots=True)
class AttemptStreams:
    """One attempt's requests: the ids appended before each, and the number of tokens sampled.

    What was sampled is not replayed: each side goes on from its own tokens. llama.cpp samples
    others in another batch, and a prompt that continues somebody else's has to be prefilled again
    from the first that differs.
    """

    requests: list[tuple[list[int], int]] = field(default_factory=list)
    _appended: list[int] = field(default_factory=list)
    _sampling: bool = False

    def take(self, segment: AttemptSegment) -> None:
        """Add a recorded segment; sampled ones in a row are one request's."""
        sampled = segment.kind is SegmentKind.SAMPLED
        if not sampled:
            self._appended.extend(segment.token_ids)
        elif self._sampling:
            appended, count = self.requests[-1]
            self.requests[-1] = (appended, count + len(segment.token_ids))
        else:
            self.requests.append((self._appended, len(segment.token_ids)))
            self._appended = []
        self._sampling = sampled


def main(
    pairs: Annotated[int, typer.Option(help="rounds, each with both sides")] = PAIRS,
    strategy: Annotated[str, typer.Option(help="strategy of the solves")] = "majority_vote",
    tokens: Annotated[int, typer.Option(help="sampled tokens an attempt")] = TOKENS,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    finish(anyio.run(_measure, pairs, strategy, tokens))


async def _measure(pairs: int, strategy: str, tokens: int) -> list[Result]:
    settings = load_settings()
    rows: list[tuple[float, float]] = []
    async with (
        local_server() as server,
        AsyncQuorumClient(server.url) as client,
        bare_engine(settings) as bare,
    ):
        await wait_ready(client, lambda _: None)
        for number in track(range(pairs + 1), description="pairs"):
            request = SolveRequest(
                problem=PROBLEM,
                strategy=strategy,
                attempts=ATTEMPTS,
                agree=ATTEMPTS,
                max_tokens=tokens,
                seed=100 * number,
                tokens=True,
            )
            row = await _pair(client, bare, request, settings, bare_first=number % 2 == 1)
            if number:  # the first round fills both prompt caches
                rows.append(row)
    return _report(rows, strategy)


async def _pair(
    client: AsyncQuorumClient,
    bare: httpx.AsyncClient,
    request: SolveRequest,
    settings: Settings,
    *,
    bare_first: bool,
) -> tuple[float, float]:
    """Return tokens per second of gateway and bare engine; the streams are recorded beforehand."""
    plan = make_plan(request, settings.solve, cell_timeout_s=settings.sandbox.cell_timeout_s)
    if bare_first:
        # The streams of this seed have to be known first, so they are recorded outside the clock.
        _, streams = await _through_gateway(client, request)
        direct = await _direct(bare, streams, plan)
        through, _ = await _through_gateway(client, request)
        return through, direct
    through, streams = await _through_gateway(client, request)
    return through, await _direct(bare, streams, plan)


async def _through_gateway(
    client: AsyncQuorumClient, request: SolveRequest
) -> tuple[float, list[AttemptStreams]]:
    streams = [AttemptStreams() for _ in range(ATTEMPTS)]
    begun = anyio.current_time()
    async with client.stream(request) as events:
        async for event in events:
            if isinstance(event, AttemptSegment):
                streams[event.attempt].take(event)
    seconds = anyio.current_time() - begun
    sampled = sum(count for stream in streams for _, count in stream.requests)
    return sampled / seconds, streams


async def _direct(bare: httpx.AsyncClient, streams: list[AttemptStreams], plan: SolvePlan) -> float:
    received = [0] * len(streams)
    begun = anyio.current_time()
    async with anyio.create_task_group() as group:
        for index in range(len(streams)):
            group.start_soon(partial(_play, bare, streams[index], plan, index, received))
    return sum(received) / (anyio.current_time() - begun)


async def _play(
    bare: httpx.AsyncClient,
    streams: AttemptStreams,
    plan: SolvePlan,
    index: int,
    received: list[int],
) -> None:
    ids: list[int] = []
    for number, (appended, count) in enumerate(streams.requests):
        ids += appended
        body = completion_body(ids, plan.sampling(index, number, count), index)
        async with bare.stream("POST", "/completion", content=orjson.dumps(body)) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: "):
                    sampled = orjson.loads(line[6:])["tokens"]
                    received[index] += len(sampled)
                    ids += sampled


def _report(rows: list[tuple[float, float]], strategy: str) -> list[Result]:
    ratios = [through / direct for through, direct in rows]
    print_table(
        f"{strategy}, {ATTEMPTS} attempts, tokens/s of all streams together",
        ["pair", "gateway", "bare engine", "ratio"],
        [
            (number, f"{through:.1f}", f"{direct:.1f}", f"{through / direct:.3f}")
            for number, (through, direct) in enumerate(rows, start=1)
        ],
    )
    target = 0.95 if strategy == "majority_vote" else None
    return [
        Result("gateway_rate", statistics.median(r[0] for r in rows), "tokens/s"),
        Result("bare_rate", statistics.median(r[1] for r in rows), "tokens/s"),
        Result("pairs", len(rows), "pairs", least=20 if target else None),
        Result("gateway_over_bare", statistics.median(ratios), "ratio", least=target),
    ]


if __name__ == "__main__":
    typer.run(main)
