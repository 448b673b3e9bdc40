"""The API under load and under nonsense: real gateway processes on the rehearsal engine.

    python -m benchmarks.api                      all parts, a minute of nonsense
    python -m benchmarks.api --nonsense 600       ten minutes of it, as the target asks
    python -m benchmarks.api --part load          one part alone

Load: while 16 attempts stream as from an H100, 500 requests a second (one solve, the list, in
turns) at a fixed rate; each is timed from when it was due, so that a server that falls behind
cannot hide it. The limit beside it is a route that does nothing (`/health`), asked in the same
turns.

One: a connection that asks for a solve again and again, each time when it has the answer. The limit
beside it is a server that does nothing but answer, in the same turns.

Readers: 1,000 followers of a solve that waits; all must be connected, and get its last event.

Nonsense: schemathesis over the whole description with its checks, but four that ask what a
description cannot say or what is not meant: that every value of another form is refused (a text of
digits is a number in a query), that every value of the right form is taken (`agree` is at most
`attempts`; a policy is a small language), that what was never made is gone after DELETE, and that a
deleted run cannot be read (it is cancelled, and its results stay).
"""

import argparse
import asyncio
import math
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import anyio
import httpx
import orjson

from benchmarks.report import Result, finish, print_table

#: Requests a second, and for how many seconds.
RATE = 500
SECONDS = 20.0
ATTEMPTS = 16
READERS = 1_000
#: Readers that connect at once, and the pause after them, in seconds.
BURST, BURST_S = 50, 0.05
CONNECTIONS = 32
#: Idle connections are dropped before the server drops them (uvicorn: 5 s), in seconds.
KEPT_S = 2.0
P99_MS = 50.0
#: Requests of one connection, and the milliseconds that half of them may take at most.
ONE_BY_ONE = 500
ONE_P50_MS = 5.0
LENGTH = re.compile(rb"content-length: (\d+)")
#: Longest wait for the gateway, and for all readers.
START_S = 60.0
READERS_S = 60.0
#: Checks of schemathesis that are left out, as said above.
LEFT_OUT = (
    "negative_data_rejection", "positive_data_acceptance",
    "ensure_resource_availability", "use_after_free",
)  # fmt: skip
SOLVES = "/v1/solves"
QUICK = {"problem": "Quick", "attempts": 2, "agree": 2, "max_tokens": 20, "time_limit_s": 20}
#: An H100 with gpt-oss-120b (see server/engine/rehearsal/machines.toml) that needs no loading and
#: whose attempts are long and call few tools: what is measured is the API, not the kernels.
MACHINE = """
load_s = 0.0
step_s = 0.00875
step_s_per_stream = 0.00042
prefill_tokens_s = 10000.0
kv_tokens = 2000000
most_running = 256
[habits]
tokens_median = 60000
tokens_sigma = 0.1
tokens_most = 70000
calls_median = 1
"""
#: Files that may be open at once: two for each reader in one process.
FILES = 8_192


@contextmanager
def gateway(folder: Path, machine: str, *flags: str) -> Iterator[tuple[str, int]]:
    """Serve the rehearsal engine in a process of its own; yields the URL and the process's id."""
    folder.mkdir()
    ready, child_ready = os.pipe()
    command = [
        *(sys.executable, "-m", "client.main", "serve", "--gateway-port", "0"),
        *("--ready-fd", str(child_ready), "--engine-kind", "rehearsal"),
        *("--engine-context-tokens", "81920", "--engine-slots", str(ATTEMPTS)),
        *("--rehearsal-machine", machine, "--journal-path", str(folder / "journal.sqlite")),
        *("--engine-log", str(folder / "engine.log"), "--log-level", "warning", *flags),
    ]
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(child_ready,), stdout=log, stderr=log)
    os.close(child_ready)
    try:
        with os.fdopen(ready) as pipe:
            line = pipe.readline()
        if not line:
            sys.exit(f"the gateway did not start: {(folder / 'gateway.log').read_text()}")
        url = str(orjson.loads(line)["url"])
        until = time.monotonic() + START_S
        while not httpx.get(f"{url}/ready", trust_env=False).is_success:
            if time.monotonic() > until:
                sys.exit(f"the gateway is not ready: {(folder / 'gateway.log').read_text()}")
            time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
        told = (folder / "gateway.log").read_text()
        if told:
            print(f"the gateway's log ended with\n{told[-2_000:]}")


async def paced(url: str, paths: list[str], seconds: float) -> dict[str, list[float]]:
    """Send RATE requests a second to the paths in turn; return the milliseconds of each by path.

    Each is timed from when it was due. The connections are plain streams: a client with a pool
    takes more of the machine than the server does.
    """
    took: dict[str, list[float]] = {path: [] for path in paths}
    parts = urlsplit(url)
    began = time.perf_counter()
    numbers = iter(range(int(RATE * seconds)))

    async def lane() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in numbers:
            path, due = paths[number % len(paths)], began + number / RATE
            await anyio.sleep(max(due - time.perf_counter(), 0))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(LENGTH.findall(head)[0]))
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"GET {path}: {head.decode()}")
            took[path].append((time.perf_counter() - due) * 1e3)
        writer.close()

    async with anyio.create_task_group() as group:
        for _ in range(CONNECTIONS):
            group.start_soon(lane)
    return took


async def one_connection(url: str) -> list[Result]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        reply = await http.post(SOLVES, json=QUICK)
        reply.raise_for_status()
        path = f"{SOLVES}/{reply.json()['solve_id']}"
        limit = await asyncio.start_server(_bare, "127.0.0.1", 0)
        async with limit:
            bare = limit.sockets[0].getsockname()[:2]
            parts = urlsplit(url)
            took: dict[str, list[float]] = {"gateway": [], "limit": []}
            # In turns, so that no side has the quieter machine.
            for _ in range(5):
                took["gateway"] += await _one_by_one((parts.hostname or "", parts.port or 0), path)
                took["limit"] += await _one_by_one(bare, "/")
    rows = [(side, f"{median(ms):.2f}", f"{quantile(ms, 0.99):.2f}") for side, ms in took.items()]
    print_table("One connection, milliseconds", ("side", "median", "p99"), rows)
    p50 = median(took["gateway"])
    return [
        Result("one_connection_p50", p50, "ms", most=ONE_P50_MS),
        Result("one_connection_over_limit", p50 / median(took["limit"]), "ratio"),
        Result("one_connection", 1e3 * ONE_BY_ONE / sum(took["gateway"]), "requests/s"),
    ]


async def _one_by_one(address: tuple[str, int], path: str) -> list[float]:
    """Return the milliseconds of a fifth of the requests."""
    reader, writer = await asyncio.open_connection(*address)
    took = []
    for _ in range(ONE_BY_ONE // 5):
        began = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(LENGTH.findall(head)[0]))
        took.append((time.perf_counter() - began) * 1e3)
    writer.close()
    await writer.wait_closed()
    await anyio.sleep(0.01)  # the other end notices
    return took


async def _bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer whatever is asked, with the head and the body in two writes."""
    with suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            writer.write(b"{}")
    writer.close()


async def start(http: httpx.AsyncClient, **body: object) -> str:
    """Begin a solve; return its name."""
    reply = await http.post(SOLVES, json=body, headers={"Prefer": "respond-async"})
    reply.raise_for_status()
    return str(reply.json()["solve_id"])


def cpu_s(process: int) -> float:
    """Return the CPU seconds of a process until now, its children not counted."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def under_load(url: str, process: int, seconds: float) -> list[Result]:
    limits = httpx.Limits(
        max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=KEPT_S
    )
    async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False, timeout=60) as http:
        done = ""
        for number in range(20):
            reply = await http.post(SOLVES, json={**QUICK, "seed": number})
            reply.raise_for_status()
            done = str(reply.json()["solve_id"])
        name = await start(http, problem="Load", attempts=ATTEMPTS, agree=ATTEMPTS)
        followed = anyio.Event()
        told = 0

        async def follow() -> None:
            nonlocal told
            async with http.stream("GET", f"{SOLVES}/{name}/events") as reply:
                async for line in reply.aiter_lines():
                    told += line.startswith("data:")
                    followed.set()

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await followed.wait()
            before = told
            paths = [f"{SOLVES}/{done}", f"{SOLVES}?limit=20", "/health"]
            used = cpu_s(process)
            took = await paced(url, paths, seconds)
            used = cpu_s(process) - used
            streamed = (told - before) / seconds
            await http.delete(f"{SOLVES}/{name}")
    ours = [ms for path in paths[:2] for ms in took[path]]
    rows = [(p, f"{median(took[p]):.1f}", f"{quantile(took[p], 0.99):.1f}") for p in paths]
    print_table(f"{RATE} requests a second, milliseconds", ("path", "median", "p99"), rows)
    print(f"events of the {ATTEMPTS} attempts meanwhile: {streamed:.0f} a second")
    limit = quantile(took["/health"], 0.99)
    return [
        Result("status_and_list_p99", quantile(ours, 0.99), "ms", most=P99_MS),
        Result("status_and_list_over_limit_p99", quantile(ours, 0.99) / limit, "ratio"),
        Result("events_streamed", streamed, "1/s"),
        Result("gateway_cpu", 100 * used / seconds, "% of a core"),
    ]


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(math.ceil(share * len(values)), len(values)) - 1]


async def idle_readers(url: str) -> list[Result]:
    parts = urlsplit(url)
    last = connected = 0
    all_there = anyio.Event()

    async def read(path: str) -> None:
        nonlocal connected, last
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        async for line in reader:
            if line.startswith(b"event: solve.queued"):
                connected += 1
                if connected == READERS:
                    all_there.set()
            elif line.startswith(b"event: solve.finished"):
                last += 1
                break
        writer.close()

    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120) as http:
        works = await start(http, problem="Work", attempts=1)
        name = await start(http, problem="Wait", attempts=1)
        began = time.perf_counter()
        with anyio.move_on_after(2 * READERS_S):
            async with anyio.create_task_group() as group:
                for number in range(READERS):
                    group.start_soon(read, f"{SOLVES}/{name}/events")
                    if number % BURST == BURST - 1:
                        await anyio.sleep(BURST_S)
                with anyio.move_on_after(READERS_S):
                    await all_there.wait()
                connecting = time.perf_counter() - began
                took = await paced(url, ["/health"], 3.0)
                await http.delete(f"{SOLVES}/{name}")
        await http.delete(f"{SOLVES}/{works}")
    print(f"{connected} idle readers in {connecting:.1f} s; {last} got the last event")
    return [
        Result("idle_readers", float(min(connected, last)), "readers", least=float(READERS)),
        Result("health_p99_with_idle_readers", quantile(took["/health"], 0.99), "ms"),
    ]


def nonsense(url: str, folder: Path, seconds: float) -> list[Result]:
    """Run schemathesis until the time is over, a new seed each round."""
    until, rounds, failed, cases = time.monotonic() + seconds, 0, 0, 0
    while True:
        left = until - time.monotonic()
        if rounds and left < 1:
            break
        told = folder / f"nonsense-{rounds}.ndjson"
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--url", url, "--checks", "all", "--max-examples", "20", "--continue-on-failure"),
            *("--exclude-checks", ",".join(LEFT_OUT)),
            *("--seed", str(rounds), "--request-timeout", "30", "--workers", "1"),
            *("--report-ndjson-path", str(told), "--no-color"),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=max(left, 30), check=False
            )
            if done.returncode:
                print(done.stdout[-6_000:], done.stderr[-2_000:])
        except subprocess.TimeoutExpired:
            pass
        found, bad = count_cases(told)
        cases, failed = cases + found, failed + bad
        rounds += 1
    print(f"{rounds} rounds, {cases} cases in {seconds:.0f} s")
    return [
        Result("failed_scenarios", float(failed), "scenarios", most=0.0),
        Result("nonsense_cases", float(cases), "requests", least=1.0),
    ]


def count_cases(path: Path) -> tuple[int, int]:
    """Return the requests of a report, cut or whole, and the scenarios in which a check failed."""
    cases = failed = 0
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            scenario = orjson.loads(line).get("ScenarioFinished", {})
        except orjson.JSONDecodeError:
            continue  # cut by the end of the time
        cases += len(scenario.get("recorder", {}).get("interactions", ()))
        failed += scenario.get("status") in ("failure", "error")
    return cases, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", choices=("one", "load", "readers", "nonsense", "all"), default="all"
    )
    parser.add_argument("--nonsense", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of load")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    results: list[Result] = []
    with TemporaryDirectory(prefix="quorum-api-") as name:
        folder = Path(name)
        machine = folder / "machine.toml"
        machine.write_text(MACHINE, encoding="utf-8")
        limits = ("--solve-max-tokens", "100000", "--solve-time-limit-s", "600")
        if given.part in ("one", "all"):
            with gateway(folder / "one", str(machine), *limits) as (url, _):
                results += anyio.run(one_connection, url)
        if given.part in ("load", "all"):
            with gateway(folder / "load", str(machine), *limits) as (url, process):
                results += anyio.run(partial(under_load, url, process, given.seconds))
        if given.part in ("readers", "all"):
            with gateway(folder / "readers", str(machine), *limits) as (url, _):
                results += anyio.run(idle_readers, url)
        if given.part in ("nonsense", "all"):
            quick = ("--gateway-max-running", "4", "--solve-time-limit-s", "5")
            with gateway(folder / "nonsense", "instant", *quick) as (url, _):
                results += nonsense(url, folder, given.nonsense)
    finish(results)


if __name__ == "__main__":
    main()
