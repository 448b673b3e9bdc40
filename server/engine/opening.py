"""Opens the engine that the settings name."""

import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from server.engine.base import Engine
from server.engine.errors import EngineFailed
from server.engine.llamacpp import LlamaCppOptions, open_llamacpp
from server.engine.openai import OpenaiOptions, open_openai
from server.engine.rehearsal_process import RehearsalOptions, open_rehearsal, rehearsed_model
from server.engine.routed import open_routed
from server.engine.router import RouterOptions
from server.engine.sglang import SglangEngine, SglangLimits, attach_sglang
from server.engine.sglang_process import SglangOptions, open_sglang
from server.engine.spread import SpreadEngine
from server.settings import Settings
from server.vocabulary import Vocabulary
from server.weights import resolve


def model_path(settings: Settings) -> Path:
    """Return the file or folder of the model that the settings name; fetches nothing.

    Raises:
        WeightsError: there is none.
    """
    engine = settings.engine
    own = rehearsed_model(engine.model) if engine.kind == "rehearsal" else None
    return own or resolve(engine.model)


def starts_here(settings: Settings) -> bool:
    """Tell whether the engine reads the model on this machine, rather than being at a URL."""
    return not settings.engine.url_list and settings.engine.kind != "rehearsal"


@asynccontextmanager
async def open_engine(
    settings: Settings, path: Path, vocabulary: Vocabulary
) -> AsyncIterator[Engine]:
    """Open the engine of `engine.kind` for the length of the block; it starts in the background.

    `path` is the model's file or folder, from which the vocabulary was read.

    Raises:
        EngineFailed: the settings cannot be followed, whatever happens later.
    """
    async with AsyncExitStack() as stack:
        openings = _openings(settings, path, vocabulary)
        engines = [await stack.enter_async_context(opening) for opening in openings]
        servers = [engine for engine in engines if isinstance(engine, SglangEngine)]
        if len(engines) == 1:
            yield engines[0]
        elif servers and settings.engine.router == "auto":
            routed = open_routed(_router(settings), servers, vocabulary)
            yield await stack.enter_async_context(routed)
        else:
            yield SpreadEngine(engines)


def _openings(
    settings: Settings, path: Path, vocabulary: Vocabulary
) -> list[AbstractAsyncContextManager[Engine]]:
    if settings.engine.kind == "llamacpp":
        return [open_llamacpp(_llamacpp(settings, path), vocabulary)]
    if settings.engine.kind == "rehearsal":
        return [open_rehearsal(_rehearsal(settings, path), vocabulary)]
    key, urls = api_key(settings), settings.engine.url_list
    if settings.engine.kind == "openai":
        return [open_openai(_openai(settings, path, url, key), vocabulary) for url in urls]
    limits = _limits(settings)
    if urls:
        return [attach_sglang(url, key, path, limits, vocabulary) for url in urls]
    return [open_sglang(_sglang(settings, path), vocabulary)]


def api_key(settings: Settings) -> str:
    """Return the key for servers at URLs: that of the settings, or the first line of its file.

    Raises:
        EngineFailed: the file cannot be read.
    """
    file = settings.engine.api_key_file
    if not file:
        return settings.engine.api_key.get_secret_value().strip()
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineFailed(
            f"engine.api_key_file {file}: cannot be read ({error}); correct it"
        ) from error
    return lines[0].strip() if lines else ""


def _llamacpp(settings: Settings, path: Path) -> LlamaCppOptions:
    engine = settings.engine
    return LlamaCppOptions(
        model_path=path,
        slots=settings.engine_slots,
        context_tokens=engine.context_tokens,
        threads=settings.engine_threads,
        gpu_layers=engine.gpu_layers,
        start_timeout_s=engine.start_timeout_s,
        stall_timeout_s=engine.stall_timeout_s,
        max_restarts=engine.max_restarts,
    )


def _openai(settings: Settings, path: Path, url: str, key: str) -> OpenaiOptions:
    engine = settings.engine
    return OpenaiOptions(
        url=url,
        model_path=path,
        slots=settings.engine_slots,
        context_tokens=engine.context_tokens,
        api_key=key,
        start_timeout_s=engine.start_timeout_s,
        stall_timeout_s=engine.stall_timeout_s,
    )


def _rehearsal(settings: Settings, path: Path) -> RehearsalOptions:
    rehearsal = settings.rehearsal
    return RehearsalOptions(
        model_path=path,
        limits=_limits(settings),
        dialect=settings.solve.dialect,
        think=settings.solve.thinking,
        machine=rehearsal.machine,
        speed=rehearsal.speed,
        grain=rehearsal.grain,
        seed=rehearsal.seed,
        problems=rehearsal.problems,
        traces=rehearsal.traces,
        faults=rehearsal.faults,
        max_restarts=settings.engine.max_restarts,
    )


def _limits(settings: Settings) -> SglangLimits:
    return SglangLimits(
        slots=settings.engine_slots,
        context_tokens=settings.engine.context_tokens,
        start_timeout_s=settings.engine.start_timeout_s,
        stall_timeout_s=settings.engine.stall_timeout_s,
    )


def _router(settings: Settings) -> RouterOptions:
    return RouterOptions(
        limits=_limits(settings),
        log_path=settings.engine_log_path,
        python=_python(settings),
        api_key=api_key(settings),
        max_restarts=settings.engine.max_restarts,
    )


def _sglang(settings: Settings, path: Path) -> SglangOptions:
    engine = settings.engine
    return SglangOptions(
        model_path=path,
        limits=_limits(settings),
        log_path=settings.engine_log_path,
        python=_python(settings),
        quantisation=_chosen(engine.quantisation),
        memory_fraction=engine.memory_fraction,
        kv_dtype=_chosen(engine.kv_dtype),
        attention_backend=_chosen(engine.attention_backend),
        tensor_parallel=engine.tensor_parallel,
        deterministic=engine.deterministic,
        extra=tuple(shlex.split(engine.arguments)),
        max_restarts=engine.max_restarts,
    )


def _python(settings: Settings) -> str:
    return sys.executable if settings.engine.python == "auto" else settings.engine.python


def _chosen(text: str) -> str:
    """Return a choice; nothing where it is left to SGLang."""
    return "" if text == "auto" else text
