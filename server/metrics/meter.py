"""The metrics of one server, in a registry of its own: counted from events, read from the parts.

Names follow Prometheus's conventions: base units, `_total` for what only grows. Nothing here has a
label whose values callers choose.
"""

import time
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from client.schema import (
    AttemptEvent,
    AttemptFinished,
    AttemptResult,
    AttemptSegment,
    AttemptText,
    AttemptWaiting,
    BallotChanged,
    Event,
    SegmentKind,
    SolveFinished,
    SolveQueued,
    SolveResumed,
    SolveStarted,
)
from server.metrics.parts import part_metrics
from server.parts import Parts

#: Upper ends of the buckets: an easy problem on a GPU to the longest share of a contest.
SOLVE_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 450, 600, 900, 1_800)
#: From a cell that adds two numbers to the longest that a setting allows by default, and beyond.
CELL_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2, 4, 6, 10, 30)
#: A status page answers in milliseconds; a solve takes as long as it takes.
REQUEST_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 120, 600)
#: Of a time limit; beyond 1 a defect shows.
BUDGET_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
#: What is more counts as this: beside the ratio of a limit of next to no time, a sum would hold
#: nothing else.
MOST_BUDGET_RATIO = 10.0
#: Votes for the answer that was chosen.
VOTE_BUCKETS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 32, 64)


class Meter:
    """Counts; `take` is an observer of events, `registry` what `/metrics` prints."""

    def __init__(self, parts: Parts) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_PartsCollector(parts))
        self._sampled: dict[tuple[str, int], int] = {}
        self._resumed: set[tuple[str, int]] = set()
        self._started: dict[str, float] = {}
        self._find = parts.service.get if parts.service is not None else lambda _: None
        self._queued: dict[str, float] = {}
        self._count_solves()
        self._count_attempts()
        self._count_requests()

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"quorum_{name}", meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        return Histogram(f"quorum_{name}", meaning, labels, buckets=buckets, registry=self.registry)

    def _count_solves(self) -> None:
        self._solves = self._counter("solves", "Solves that ended, by why.", "end")
        self._answered = self._counter("answers", "Solves that ended with an answer.")
        self._solve_s = self._histogram(
            "solve_seconds", "How long solves took, from their start.", SOLVE_BUCKETS
        )
        self._budget = self._histogram(
            "solve_budget_ratio", "Share of its time limit that a solve took.", BUDGET_BUCKETS
        )
        self._queue_s = self._histogram(
            "queue_seconds", "How long solves waited for their turn.", SOLVE_BUCKETS
        )
        self._votes = self._histogram(
            "votes", "Votes for the answer that was chosen.", VOTE_BUCKETS
        )
        self._ballots = self._counter("ballots", "Times that votes were counted.", "stop")

    def _count_attempts(self) -> None:
        self._attempts = self._counter("attempts", "Attempts that ended, by why.", "end")
        self._plans = self._counter(
            "plans", "Plans that further engines wrote for attempts, by how they ended.", "end"
        )
        self._engine_tokens = self._counter(
            "engine_tokens",
            "Tokens by engine, of ended solves whose recipe has more than one.",
            "engine",
            "kind",
        )
        self._tokens = self._counter(
            "tokens",
            "Tokens of attempts: sampled by the model, or appended (prompts, tools' output).",
            "kind",
        )
        self._saved = self._counter(
            "tokens_saved", "Tokens not sampled because attempts were stopped, an estimate."
        )
        self._cells = self._counter("tool_calls", "Cells run for attempts, by how.", "status")
        self._cell_s = self._histogram(
            "tool_call_seconds", "How long cells of attempts took.", CELL_BUCKETS
        )
        self._losses = self._counter("engine_losses", "Times that an attempt lost the engine.")

    def _count_requests(self) -> None:
        self._requests = self._counter(
            "http_requests", "Requests, by route, method and status.", "route", "method", "status"
        )
        self._request_s = self._histogram(
            "http_request_seconds",
            "How long requests took, to their last byte.",
            REQUEST_BUCKETS,
            "route",
        )

    def take(self, event: Event) -> None:
        """Count what an event says; never raises."""
        match event:
            case AttemptEvent():
                self._take_of_attempt(event)
            case BallotChanged():
                self._ballots.labels(str(event.stop).lower()).inc()
            case SolveQueued():
                self._queued[event.solve_id] = event.at
            case SolveStarted():
                waited = event.at - self._queued.pop(event.solve_id, event.at)
                self._queue_s.observe(max(waited, 0.0))
                self._started[event.solve_id] = event.time_limit_s
            case SolveResumed():
                self._resumed.update((event.solve_id, attempt) for attempt in event.attempts)
                self._go_on(event.solve_id)
            case SolveFinished():
                self._end_solve(event)
            case _:
                pass

    def _go_on(self, solve_id: str) -> None:
        """Know the limit of a solve that a dead server began: that one was told its start."""
        handle = self._find(solve_id)
        started = handle.past.started if handle is not None and handle.past is not None else None
        if started is not None:
            self._started.setdefault(solve_id, started.time_limit_s)

    def _take_of_attempt(self, event: AttemptEvent) -> None:
        match event:
            case AttemptText() if not event.is_plan:
                self._note_sampled(event.solve_id, event.attempt, event.sampled)
            case AttemptSegment() if not event.is_plan:
                self._take_segment(event)
            case AttemptResult():
                self._cells.labels(event.status).inc()
                self._cell_s.observe(event.seconds)
            case AttemptWaiting():
                self._losses.inc()
            case AttemptFinished():
                self._end_attempt(event)
            case _:
                pass

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def _take_segment(self, event: AttemptSegment) -> None:
        # Totals of an attempt that is gone on with hold what the dead server sampled; its new
        # tokens are told by segments, for the journal.
        resumed = (event.solve_id, event.attempt) in self._resumed
        if resumed or event.kind is SegmentKind.APPENDED:
            self._tokens.labels(event.kind.value).inc(len(event.token_ids))

    def _note_sampled(self, solve_id: str, attempt: int, sampled: int) -> None:
        if (solve_id, attempt) in self._resumed:
            return
        before = self._sampled.get((solve_id, attempt), 0)
        if sampled > before:
            self._tokens.labels("sampled").inc(sampled - before)
            self._sampled[solve_id, attempt] = sampled

    def _end_attempt(self, event: AttemptFinished) -> None:
        report = event.report
        if event.is_plan:
            self._plans.labels(report.end.value).inc()
            return
        self._note_sampled(event.solve_id, event.attempt, report.tokens.sampled)
        self._sampled.pop((event.solve_id, event.attempt), None)
        self._resumed.discard((event.solve_id, event.attempt))
        self._attempts.labels(report.end.value).inc()

    def _end_solve(self, event: SolveFinished) -> None:
        result = event.result
        self._queued.pop(event.solve_id, None)
        limit_s = self._started.pop(event.solve_id, None)
        self._solves.labels(result.end.value).inc()
        self._saved.inc(max(result.saved.tokens, 0))
        for engine, tokens in result.engines.items():
            for kind in ("prompt", "sampled", "appended"):
                self._engine_tokens.labels(engine, kind).inc(getattr(tokens, kind))
        if result.answer is not None:
            self._answered.inc()
            votes = next((x.votes for x in result.ballot if x.answer == result.answer), 0)
            self._votes.observe(votes)
        if limit_s is not None:
            self._solve_s.observe(result.seconds)
            self._budget.observe(min(result.seconds / limit_s, MOST_BUDGET_RATIO))


class _PartsCollector(Collector):
    """Reads the parts whenever it is asked, so that nothing is counted twice."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        """Yield what the parts say of themselves."""
        return part_metrics(self._parts, time.monotonic())
