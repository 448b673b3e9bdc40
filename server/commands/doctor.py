"""`quorum doctor`: what is here, what is missing, and what to do about it."""

import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import anyio
import psutil
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox.errors import SandboxError
from sandbox.pool import KernelPool
from sandbox.types import CellStatus, PoolStatus
from server.engine.memory import embedded_bytes
from server.engine.opening import model_path, starts_here
from server.errors import QuorumServerError
from server.listing import fields, is_narrow
from server.parts import pool_settings
from server.settings import Settings, load_settings
from server.weights import KNOWN, weights_folder

GIB = 2**30
#: The default model, its context for four attempts and the kernels: measured at 2.6 GiB.
NEEDED_MEMORY_GIB = 4.0
#: The default weights take 1.1 GB, and as much again while they are fetched.
NEEDED_DISK_GIB = 2.5
#: Bounds of the checks that start processes, in seconds.
GPU_QUERY_S = 10.0


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` says what to do where something is to be done."""

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list of what was found.")
    ] = False,
) -> None:
    """Look at what is here: engine, weights, kernels, memory, GPU, and what to do."""
    findings = list(examine())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print(findings)
    if any(finding.verdict is Verdict.MISSING for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yield the findings; a check that fails in an unforeseen way is a finding too."""
    try:
        settings = load_settings()
    except QuorumServerError as error:
        yield Finding("settings", Verdict.MISSING, str(error), "correct the setting")
        return
    checks: list[Callable[[Settings], Finding]] = [
        _python, _engine, _weights, _kernels, _memory, _disk, _gpu, _port,
    ]  # fmt: skip
    for check in checks:
        try:
            yield check(settings)
        except Exception as error:  # noqa: BLE001 - the other checks still have something to say
            subject = check.__name__.strip("_")
            yield Finding(
                subject, Verdict.MISSING, f"the check failed: {type(error).__name__}: {error}",
                "please report it",
            )  # fmt: skip
    yield from _further_engines(settings)


def _further_engines(settings: Settings) -> Iterator[Finding]:
    """Yield engine and weights of each section `engines.NAME`."""
    for name in settings.engines:
        own = settings.for_engine(name)
        for check in (_engine, _weights):
            found = check(own)
            yield replace(found, subject=f"{found.subject} {name}")


def _python(settings: Settings) -> Finding:
    del settings
    cores = os.cpu_count() or 1
    text = f"Python {platform.python_version()}, {platform.system()}, {cores} cores"
    return Finding("machine", Verdict.OK, f"{text}, quorum-aimo {version('quorum-aimo')}")


def _engine(settings: Settings) -> Finding:
    engine = settings.engine
    if engine.kind == "rehearsal":
        return Finding("engine", Verdict.OK, f"a rehearsal of {settings.rehearsal.machine}")
    if engine.kind == "none":
        return Finding("engine", Verdict.NOTE, "none: the sandbox alone is served")
    if engine.url_list:
        return Finding("engine", Verdict.OK, f"{engine.kind} at {', '.join(engine.url_list)}")
    if engine.kind != "sglang":
        return _package("xllamacpp", "pip install 'quorum-aimo[embedded]'", "llama.cpp, ")
    if engine.python != "auto":
        text = f"sglang of {engine.python}, which the server looks at"
        return Finding("engine", Verdict.OK, text)
    remedy = "pip install 'quorum-aimo[sglang]', or name its interpreter in engine.python"
    return _package("sglang", remedy)


def _package(name: str, remedy: str, engine: str = "") -> Finding:
    """Tell whether the package of an engine is installed, and which version."""
    if importlib.util.find_spec(name) is None:
        return Finding("engine", Verdict.MISSING, f"{name} is not installed", remedy)
    return Finding("engine", Verdict.OK, f"{engine}{name} {version(name)}")


def _weights(settings: Settings) -> Finding:
    if not settings.has_engine:
        return Finding("weights", Verdict.OK, "none are needed")
    try:
        path = model_path(settings)
    except QuorumServerError as error:
        fetched = settings.engine.model in KNOWN
        remedy = "quorum weights pull" if fetched else "correct engine.model"
        return Finding("weights", Verdict.MISSING, str(error), remedy)
    if path.is_dir():
        return Finding("weights", Verdict.OK, str(path))
    if settings.engine.kind == "sglang" and starts_here(settings):
        return Finding(
            "weights", Verdict.MISSING, f"{path}: sglang serves a folder of a model, not a file",
            "name one in engine.model",
        )  # fmt: skip
    return Finding("weights", Verdict.OK, f"{path} ({path.stat().st_size / 1e9:.2f} GB)")


def _kernels(settings: Settings) -> Finding:
    try:
        took, status = anyio.run(_try_kernel, settings)
    except (SandboxError, TimeoutError) as error:
        return Finding("kernels", Verdict.MISSING, str(error), "see sandbox.* settings")
    detail = (
        f"a kernel with the mathematics imports is ready in {took:.1f} s; confinement:"
        f" {status.tier}"
    )
    if status.start_detail:
        detail += f"; {status.start_detail}"
    if not status.not_guaranteed:
        return Finding("kernels", Verdict.OK, detail)
    holes = "; ".join(f"{name}: {hole}" for name, hole in status.not_guaranteed.items())
    remedy = "; ".join(status.confinement_notes) or "see docs/reference/confinement.md"
    return Finding("kernels", Verdict.NOTE, f"{detail} (got through: {holes})", remedy)


async def _try_kernel(settings: Settings) -> tuple[float, PoolStatus]:
    """Start one kernel and have it compute; returns how long the start took, in seconds."""
    one = settings.model_copy(
        update={"sandbox": settings.sandbox.model_copy(update={"kernels": 1, "spares": 1})}
    )
    with anyio.fail_after(settings.sandbox.start_timeout_s + 10):
        async with KernelPool(pool_settings(one)) as pool:
            started = anyio.current_time()
            async with pool.lease(seed=0, owner="doctor") as kernel:
                ready = anyio.current_time() - started
                result = await kernel.execute("import sympy; sympy.factorint(2**32 + 1)", 30.0)
            status = pool.status()
    if result.status is not CellStatus.OK:
        raise SandboxError(f"a test cell ended with {result.status.value}: {result.output[:200]}")
    return ready, status


def _memory(settings: Settings) -> Finding:
    free = psutil.virtual_memory().available / GIB
    needed = NEEDED_MEMORY_GIB + _further_memory_gib(settings)
    detail = f"{free:.1f} GiB available, {needed:.2g} wanted"
    if free < needed:
        return Finding(
            "memory", Verdict.NOTE, detail,
            "close programs, or lower engine.context_tokens and sandbox.kernels",
        )  # fmt: skip
    return Finding("memory", Verdict.OK, detail)


def _further_memory_gib(settings: Settings) -> float:
    """Return what further engines take here; weights that are missing are told elsewhere."""
    total = 0.0
    for name in settings.engines:
        own = settings.for_engine(name)
        if own.engine.kind != "llamacpp":
            continue
        with suppress(QuorumServerError):
            total += embedded_bytes(
                model_path(own),
                slots=own.engine_slots,
                context_tokens=own.engine.context_tokens,
            )
    return total / GIB


def _disk(settings: Settings) -> Finding:
    folder = weights_folder()
    existing = next(p for p in (folder, *folder.parents) if os.access(p, os.F_OK))
    free = shutil.disk_usage(existing).free / GIB
    needed = 0.0
    if settings.has_engine and settings.engine.model in KNOWN:
        try:
            model_path(settings)
        except QuorumServerError:
            needed = NEEDED_DISK_GIB
    if free < needed:
        return Finding(
            "disk", Verdict.MISSING, f"{free:.1f} GiB free at {existing}, {needed:g} wanted",
            "free some, or set QUORUM_CACHE to a larger disk",
        )  # fmt: skip
    return Finding("disk", Verdict.OK, f"{free:.1f} GiB free at {existing}")


def _gpu(settings: Settings) -> Finding:
    del settings
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", Verdict.NOTE, "none found; the embedded engine runs on the CPU")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        reply = subprocess.run(
            query, capture_output=True, text=True, timeout=GPU_QUERY_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("GPU", Verdict.NOTE, f"nvidia-smi fails: {error}", "check the driver")
    return Finding("GPU", Verdict.OK, "; ".join(reply.stdout.strip().splitlines()))


def _port(settings: Settings) -> Finding:
    host, port = settings.gateway.host, settings.gateway.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (socket.gaierror, ValueError) as error:
            return Finding(
                "port", Verdict.MISSING, f"{host} is no address to listen on ({error})",
                "correct gateway.host",
            )  # fmt: skip
        except OSError as error:
            return Finding(
                "port", Verdict.NOTE, f"{host}:{port} is taken ({error.strerror})",
                "fine when a Quorum server runs there; else set QUORUM_GATEWAY_PORT",
            )  # fmt: skip
    return Finding("port", Verdict.OK, f"{host}:{port} is free")


def _print(findings: list[Finding]) -> None:
    colours = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.MISSING: "red"}
    names = ("", "what", "found", "what to do")
    rows = [
        (
            Text(finding.verdict.value, colours[finding.verdict]),
            *map(Text, (finding.subject, finding.detail, finding.remedy)),
        )
        for finding in findings
    ]
    console = Console(file=sys.stdout)
    if is_narrow(names, console.width):
        console.print(fields(names, rows))
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in names:
        # Folded, a path or a command that is too long for its column is still whole.
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
