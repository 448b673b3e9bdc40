"""What the parts of a server say of themselves, as metrics."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sandbox.pool import KernelPool
from server.engine.base import Engine, EngineState
from server.journal.journal import Journal
from server.parts import Parts
from server.runs.registry import RunRegistry
from server.sections.engines import MAIN
from server.solve.service import SolveService


def part_metrics(parts: Parts, now: float) -> Iterator[Metric]:
    """Yield the metrics of all parts that there are; `now` is of `time.monotonic`."""
    yield _info(parts)
    yield GaugeMetricFamily("quorum_uptime_seconds", "Since the start.", now - parts.started)
    yield from _pool(parts.pool)
    if parts.engine is not None:
        others = {name: other.engine for name, other in parts.others.items()}
        yield from _engines({MAIN: parts.engine, **others})
    if parts.service is not None:
        yield from _service(parts.service, parts)
    if parts.journal is not None:
        yield from _journal(parts.journal)
    if parts.runs is not None:
        yield from _runs(parts.runs)


def _info(parts: Parts) -> Metric:
    model = parts.engine.info.model if parts.engine else ""
    family = GaugeMetricFamily(
        "quorum_info", "1; what runs is in the labels.", labels=["version", "model"]
    )
    family.add_metric([version("quorum-aimo"), model], 1)
    return family


def _engines(engines: Mapping[str, Engine]) -> Iterator[Metric]:
    """Yield what all engines say; the one that solves is `main`, others have their names."""
    states = GaugeMetricFamily(
        "quorum_engine_state", "1 for the state that the engine is in.", labels=["engine", "state"]
    )
    restarts = CounterMetricFamily(
        "quorum_engine_restarts", "Deaths of the engine since the start.", labels=["engine"]
    )
    slots = GaugeMetricFamily("quorum_engine_slots", "Streams at once.", labels=["engine"])
    context = GaugeMetricFamily(
        "quorum_engine_context_tokens", "Context of a stream.", labels=["engine"]
    )
    for name, engine in engines.items():
        status, info = engine.status(), engine.info
        for state in EngineState:
            states.add_metric([name, state.value], float(state is status.state))
        restarts.add_metric([name], status.restarts)
        slots.add_metric([name], info.slots)
        context.add_metric([name], info.context_tokens)
    yield from (states, restarts, slots, context)


def _service(service: SolveService, parts: Parts) -> Iterator[Metric]:
    yield GaugeMetricFamily("quorum_solves_running", "Solves at work.", service.running)
    yield GaugeMetricFamily("quorum_solves_queued", "Solves that wait.", service.queued)
    most = parts.settings.gateway
    yield GaugeMetricFamily("quorum_solves_running_max", "Most at work.", most.max_running)
    yield GaugeMetricFamily("quorum_solves_queued_max", "Most that wait.", most.max_queued)


def _pool(pool: KernelPool) -> Iterator[Metric]:
    status = pool.status()
    kernels = GaugeMetricFamily("quorum_kernels", "Kernels, by state.", labels=["state"])
    for state in ("leased", "spare", "starting", "retiring"):
        kernels.add_metric([state], getattr(status, state))
    yield kernels
    yield GaugeMetricFamily("quorum_kernels_max", "Most kernels at once.", status.size)
    yield GaugeMetricFamily("quorum_kernels_waiting", "Who waits for one.", status.waiting)
    yield CounterMetricFamily("quorum_kernels_started", "Kernels that came up.", status.started)
    lost = CounterMetricFamily(
        "quorum_kernels_lost", "Kernels that ended before their lease.", labels=["reason"]
    )
    for reason, count in status.lost.items():
        lost.add_metric([reason.value], count)
    yield lost
    yield CounterMetricFamily("quorum_kernel_leases", "Leases granted.", status.leases)
    yield CounterMetricFamily(
        "quorum_kernel_wait_seconds", "Time waited for leases, summed.", status.wait_seconds
    )
    yield CounterMetricFamily("quorum_cells", "Cells run, by anybody.", status.cells)
    yield CounterMetricFamily(
        "quorum_cell_seconds", "Time spent in cells, summed.", status.cell_seconds
    )


def _journal(journal: Journal) -> Iterator[Metric]:
    status = journal.status()
    yield GaugeMetricFamily(
        "quorum_journal_queued_events", "Events that are not written yet.", status.queued
    )
    yield GaugeMetricFamily(
        "quorum_journal_behind_seconds", "Age of the oldest of them.", status.behind_s
    )
    yield CounterMetricFamily(
        "quorum_journal_dropped_events", "Events left out since the start.", status.dropped
    )
    yield GaugeMetricFamily(
        "quorum_journal_failing", "1 while nothing can be written.", float(bool(status.error))
    )


def _runs(runs: RunRegistry) -> Iterator[Metric]:
    opened = runs.opened()
    yield GaugeMetricFamily("quorum_runs_open", "Runs that take problems.", len(opened))
    yield GaugeMetricFamily(
        "quorum_run_seconds_left",
        "Time left of the open run that ends first; 0 without one.",
        min((run.left_s for run in opened), default=0.0),
    )
    yield GaugeMetricFamily(
        "quorum_run_problems_left",
        "Problems of open runs without a result.",
        sum(max(run.request.problems - run.done, 0) for run in opened),
    )
