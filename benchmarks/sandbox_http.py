"""Load on the sandbox over HTTP: is everybody served, rightly, and in their turn?

    make bench NAME=sandbox_http

`quorum serve --no-engine` in a process of its own; here, 64 clients share its 16 kernels for three
minutes. Each takes a lease, runs a few cells whose output is known, gives it back and takes the
next. A refusal that the API describes (429, 503) is waited out as it says; anything else that is
not the right output is an error. The fair share is the number of cells of the client served worst,
over that of the median client: nobody starves when leases are given in order of arrival. The wait
runs from the first request for a lease to its grant, refusals in between included.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated

import anyio
import typer
from rich.progress import Progress

from benchmarks.report import Result, finish, print_table
from client.errors import QuorumClientError, SandboxBusy, SandboxUnavailable
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.sandbox import AsyncLeasedKernel, AsyncSandboxClient
from client.schema import CellFinished, CellResult, LeaseRequest

CLIENTS = 64
KERNELS = 16
SECONDS = 180.0
#: The worst-served client may have half of what the median one has: with few leases a client, one
#: lease more or less is a large part.
LEAST_SHARE = 0.5
#: Longer than the queue: 48 clients wait for 16 kernels that take about a second of a core each.
WAIT_S = 120.0
TTL_S = 15.0
CELL_TIMEOUT_S = 30.0
#: Seconds to wait before asking again where a refusal names none.
PAUSE_S = 1.0

#: Cells of a lease and what each must answer; N is the lease's own number. State must be the
#: lease's own, errors must be told, long output must be cut.
CELLS = (
    ("total = N", ""),
    ("total * 7", "{7N}\n"),
    ("import sympy; sympy.factorint(2**64 + 1)", "{274177: 1, 67280421310721: 1}\n"),
    ("for digit in range(3): print(digit)", "0\n1\n2\n"),
    ("total - N", "0\n"),
)


@dataclass
class Client:
    """What one client has seen."""

    number: int
    cells: int = 0
    leases: int = 0
    waits_s: list[float] = field(default_factory=list)
    cells_s: list[float] = field(default_factory=list)
    #: Of each cell's time, what the kernel did not take.
    overheads_s: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


def main(
    seconds: Annotated[float, typer.Option(help="length of the load")] = SECONDS,
    clients: Annotated[int, typer.Option(help="callers at once")] = CLIENTS,
    kernels: Annotated[int, typer.Option(help="kernels that they share")] = KERNELS,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    seen, left, took_s = anyio.run(_load, seconds, clients, kernels)
    for error in [error for client in seen for error in client.errors][:10]:
        print(f"error: {error}")
    finish(_results(seen, left, took_s))


async def _load(seconds: float, clients: int, kernels: int) -> tuple[list[Client], int, float]:
    """Return what the clients saw, how many leases were left, and the seconds that it all took."""
    flags = ["--no-engine", "--sandbox-kernels", str(kernels), "--sandbox-spares", str(kernels)]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(local_server(flags))
        state = await stack.enter_async_context(AsyncQuorumClient(server.url))
        await wait_ready(state, lambda _waiting: None)
        seen = [Client(number) for number in range(clients)]
        end = anyio.current_time() + seconds
        with Progress(transient=True) as progress:
            bar = progress.add_task("load", total=seconds)
            async with anyio.create_task_group() as group:
                for client in seen:
                    group.start_soon(_use, client, server.url, end)
                while (left_s := end - anyio.current_time()) > 0:
                    progress.update(bar, completed=seconds - left_s)
                    await anyio.sleep(min(1.0, left_s))
        # Whoever waited at the end was still served.
        took_s = seconds + anyio.current_time() - end
        sandbox = await stack.enter_async_context(AsyncSandboxClient(server.url))
        listed = await sandbox.leases()
        return seen, len(listed.leases) + listed.waiting, took_s


async def _use(client: Client, url: str, end: float) -> None:
    """Take leases one after the other until the end."""
    async with AsyncSandboxClient(url) as sandbox:
        asked = anyio.current_time()
        while anyio.current_time() < end:
            seed = client.number * 10_000 + client.leases
            request = LeaseRequest(
                seed=seed, owner=f"client {client.number}", ttl_s=TTL_S, wait_s=WAIT_S
            )
            try:
                async with sandbox.lease(request) as kernel:
                    client.waits_s.append(anyio.current_time() - asked)
                    client.leases += 1
                    await _run_cells(client, kernel, seed)
            except (SandboxBusy, SandboxUnavailable) as refusal:
                client.refusals[type(refusal).__name__] += 1
                await anyio.sleep(refusal.retry_after_s or PAUSE_S)
                continue
            except QuorumClientError as error:
                client.errors.append(f"{type(error).__name__}: {error}")
            asked = anyio.current_time()


async def _run_cells(client: Client, kernel: AsyncLeasedKernel, number: int) -> None:
    for position, (template, answer) in enumerate(CELLS):
        code = template.replace("N", str(number))
        begun = anyio.current_time()
        if position % 2:
            result = await _streamed(kernel, code)
        else:
            result = await kernel.execute(code, CELL_TIMEOUT_S)
        took = anyio.current_time() - begun
        expected = answer.replace("{7N}", str(7 * number))
        if (result.output, result.status) != (expected, "ok"):
            client.errors.append(f"{code!r} gave {result.status} {result.output!r}")
        client.cells += 1
        client.cells_s.append(took)
        client.overheads_s.append(took - result.seconds)


async def _streamed(kernel: AsyncLeasedKernel, code: str) -> CellResult:
    """Run a cell by the stream; its output is what was told."""
    told: list[str] = []
    async with kernel.stream(code, CELL_TIMEOUT_S) as events:
        async for event in events:
            if isinstance(event, CellFinished):
                return event.result.model_copy(update={"output": "".join(told)})
            told.append(event.text)
    raise RuntimeError("the stream ended without a result; the client must refuse that")


def _results(seen: Sequence[Client], left: int, took_s: float) -> list[Result]:
    waits = sorted(wait for client in seen for wait in client.waits_s)
    cells = sorted(took for client in seen for took in client.cells_s)
    overheads = sorted(took for client in seen for took in client.overheads_s)
    counts = sorted(client.cells for client in seen)
    print_table(
        "Milliseconds", ["", "p50", "p90", "p99", "most"],
        [
            (name, *(f"{1000 * percentile(values, share):,.0f}" for share in (0.5, 0.9, 0.99, 1)))
            for name, values in (
                ("wait for a lease", waits), ("cell, over HTTP", cells), ("of it HTTP", overheads)
            )
        ],
    )  # fmt: skip
    refusals = sum((client.refusals for client in seen), Counter[str]())
    print(f"refusals: {dict(refusals) or 'none'}")
    median = statistics.median(counts)
    return [
        Result("errors", sum(len(client.errors) for client in seen), "errors", most=0),
        Result("starved", counts.count(0), "clients", most=0),
        Result("fair_share", counts[0] / median if median else 0.0, "ratio", least=LEAST_SHARE),
        Result("leases_left", left, "leases", most=0),
        Result("refusals", refusals.total(), "refusals"),
        Result("leases", len(waits) / took_s, "leases/s"),
        Result("cells", len(cells) / took_s, "cells/s"),
        Result("wait_p50", percentile(waits, 0.5), "s"),
        Result("wait_p99", percentile(waits, 0.99), "s"),
        Result("cell_p50", 1000 * percentile(cells, 0.5), "ms"),
        Result("cell_p99", 1000 * percentile(cells, 0.99), "ms"),
    ]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; not a number for none."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


if __name__ == "__main__":
    typer.run(main)
