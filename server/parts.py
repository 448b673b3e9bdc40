"""The parts of a running gateway, opened and closed together."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio.to_thread
import structlog

from client.schema import PartStatus
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.dialect.base import DialectOptions, Effort
from server.dialect.catalogue import open_dialect
from server.engine.base import Engine
from server.engine.named import NamedEngine
from server.engine.opening import model_path, open_engine, starts_here
from server.equivalence.pool import EquivalenceOptions, EquivalencePool
from server.errors import NamedEngineError, QuorumServerError
from server.journal.journal import Journal, JournalOptions
from server.journal.versions import versions_of
from server.leases.registry import LeaseRegistry, open_leases
from server.preload.ahead import preloading
from server.presets.catalogue import attempts_of
from server.rewards.served import maybe_open_reward_model
from server.runs.opening import open_runs
from server.runs.registry import RunRegistry
from server.settings import Settings
from server.solve.service import Recording, SolveService, open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from server.weights import model_name

MIB = 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What routes use; `started` is of `time.monotonic`.

    Without a journal, `no_journal` says why none is wanted; one that cannot be had yet is there,
    and takes events. Without an engine there is no service; without `leases`, kernels are not to be
    had over HTTP.
    """

    settings: Settings
    engine: Engine | None
    pool: KernelPool
    service: SolveService | None
    started: float
    journal: Journal | None = None
    no_journal: str = ""
    leases: LeaseRegistry | None = None
    runs: RunRegistry | None = None
    others: Mapping[str, NamedEngine] = field(default_factory=dict)
    """Further engines by name."""
    endings: list[Callable[[], None]] = field(default_factory=list)
    """What `close` also calls: of what is opened with the application, and uses these parts."""

    @property
    def no_record(self) -> str:
        """Why nothing can be read of earlier solves; empty where it can."""
        if self.journal is None:
            return self.no_journal
        return "" if self.journal.is_open else self.journal.status().error

    def close(self) -> None:
        """End solves, leases and completions, and take no more; their callers are answered."""
        for part in (self.service, self.leases):
            if part is not None:
                part.close()
        for end in self.endings:
            end()


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open engine, kernels and what works with them; they get ready in the background.

    Raises:
        WeightsError, VocabularyError, UnknownDialect, EngineFailed: the model cannot be used;
            nothing is left running.
    """
    opener = _open_solving if settings.has_engine else _open_sandbox
    async with AsyncExitStack() as stack:
        yield await opener(settings, stack)


async def _open_sandbox(settings: Settings, stack: AsyncExitStack) -> Parts:
    started = time.monotonic()
    pool = await stack.enter_async_context(KernelPool(pool_settings(settings)))
    leases = await maybe_open_leases(settings, pool, stack)
    return Parts(settings, None, pool, None, started, None, "there are no solves to record", leases)


async def maybe_open_leases(
    settings: Settings, pool: KernelPool, stack: AsyncExitStack
) -> LeaseRegistry | None:
    """Give leases over HTTP where the settings ask for it."""
    if not settings.sandbox_over_http:
        return None
    leases = open_leases(pool, settings.sandbox.http_max_waiting)
    return await stack.enter_async_context(leases)


async def _open_solving(settings: Settings, stack: AsyncExitStack) -> Parts:
    started = time.monotonic()
    path = await anyio.to_thread.run_sync(model_path, settings)
    settings = with_preset(settings, model_name(path))
    vocabulary = await anyio.to_thread.run_sync(Vocabulary.load, path)
    dialect = open_dialect(settings.solve.dialect, vocabulary, dialect_options(settings))
    if settings.engine.preload and starts_here(settings):
        await stack.enter_async_context(preloading(path))
    engine = await stack.enter_async_context(open_engine(settings, path, vocabulary))
    others = {
        name: await stack.enter_async_context(open_named(settings, name))
        for name in settings.engines
    }
    pool = await stack.enter_async_context(KernelPool(pool_settings(settings)))
    checks = EquivalenceOptions(timeout_s=settings.solve.symbolic_timeout_s)
    equivalence = await stack.enter_async_context(EquivalencePool(checks))
    rewards = await stack.enter_async_context(maybe_open_reward_model(settings.reward))
    parts = SolverParts(
        engine, dialect, vocabulary, pool, confinement_of(pool), equivalence, rewards, others
    )
    journal, no_journal = await open_journal(settings, stack)
    recording = Recording(journal, versions_of(settings, path)) if journal else None
    service = await stack.enter_async_context(open_service(settings, parts, recording))
    opened = open_runs(settings, service, journal, settings.fallback_path)
    runs = await stack.enter_async_context(opened)
    leases = await maybe_open_leases(settings, pool, stack)
    return Parts(
        settings, engine, pool, service, started, journal, no_journal, leases, runs, others
    )


@asynccontextmanager
async def open_named(settings: Settings, name: str) -> AsyncIterator[NamedEngine]:
    """Open a further engine for the length of the block; it gets ready in the background.

    Raises: as `open_parts`, its name said first.
    """
    own = settings.for_engine(name)
    async with AsyncExitStack() as stack:
        try:
            path = await anyio.to_thread.run_sync(model_path, own)
            vocabulary = await anyio.to_thread.run_sync(Vocabulary.load, path)
            dialect = open_dialect(own.solve.dialect, vocabulary, dialect_options(own))
            if own.engine.preload and starts_here(own):
                await stack.enter_async_context(preloading(path))
            engine = await stack.enter_async_context(open_engine(own, path, vocabulary))
        except QuorumServerError as error:
            raise NamedEngineError(f"engine {name} (section engines.{name}): {error}") from error
        yield NamedEngine(name, engine, dialect, vocabulary, path)


def with_preset(settings: Settings, model: str) -> Settings:
    """Return the settings with what they leave to the model's preset: mix and weight of attempts.

    The weight goes with the mix: it says what attempts of that mix are worth.
    """
    if settings.solve.mix != "auto":
        return settings
    mix, weight = attempts_of(model)
    update = {"mix": mix or "none"}
    if weight and settings.solve.weight == "auto":
        update["weight"] = weight
    solve = settings.solve.model_copy(update=update)
    return settings.model_copy(update={"solve": solve})


async def open_journal(settings: Settings, stack: AsyncExitStack) -> tuple[Journal | None, str]:
    """Open the journal and close what a dead server left in it; or return why none is wanted.

    Solves do not wait for it: one that cannot be had is told in the log and by `/ready`, and
    `open_runs` tries again.
    """
    if not settings.journal.enabled:
        return None, "journal.enabled is false"
    options = JournalOptions(
        path=settings.journal_path,
        max_size_bytes=settings.journal.max_size_mib * MIB,
        keep_days=settings.journal.keep_days or None,
        patient=True,
    )
    journal = await stack.enter_async_context(Journal(options))
    if journal.is_open:
        journal.close_unfinished(runs=False)
    return journal, ""


def journal_status(journal: Journal | None, no_journal: str) -> PartStatus:
    """Return the state of the journal: `on`, `behind` or `off`, with the reason."""
    if journal is not None:
        return journal.part_status()
    return PartStatus(ready=False, state="off", detail=no_journal)


def dialect_options(settings: Settings) -> DialectOptions:
    """Return what models are told beside the prompt."""
    solve = settings.solve
    today = "" if solve.today == "none" else solve.today
    return DialectOptions(effort=Effort(solve.effort), today=today, think=solve.thinking)


def pool_settings(settings: Settings) -> PoolSettings:
    """Return the sandbox's own settings."""
    sandbox = settings.sandbox
    return PoolSettings(
        kernels=sandbox.kernels,
        spares=min(sandbox.spares, sandbox.kernels),
        start_method=sandbox.start,
        start_timeout_s=sandbox.start_timeout_s,
        cell_timeout_s=sandbox.cell_timeout_s,
        max_output_chars=sandbox.output_chars,
        memory_limit_bytes=sandbox.memory_mib * MIB,
        scratch_limit_bytes=sandbox.scratch_mib * MIB,
        require=sandbox.require,
    )


def confinement_of(pool: KernelPool) -> str:
    """Return how kernels are confined: the tier, and what it lacks of the highest one."""
    status = pool.status()
    lacking = ", ".join(status.not_guaranteed)
    return f"{status.tier} (not guaranteed: {lacking})" if lacking else f"{status.tier}"
