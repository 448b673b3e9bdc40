"""A solve as lanes, one an attempt, with its ballot; from its events, whether it ended or not."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from client.schema import (
    AttemptEvent,
    AttemptFinished,
    AttemptReport,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    BallotLine,
    BudgetDecided,
    Event,
    SolveFinished,
    SolveQueued,
    SolveRequested,
    SolveResult,
    SolveStarted,
)
from server.page.blocks import Block, Blocks
from server.page.curves import Curve, label

#: Characters of a lane: about four screens of it. All of it is on the attempt's own page.
LANE_CHARS = 6_000


@dataclass(slots=True)
class Lane:
    """An attempt, with the newest of what it wrote; `report` once it has ended."""

    attempt: int
    seed: int | None = None
    temperature: float | None = None
    sampled: int = 0
    report: AttemptReport | None = None
    blocks: list[Block] = field(default_factory=list)
    cut: bool = False
    curve: Curve | None = None
    events: Blocks = field(default_factory=lambda: Blocks(LANE_CHARS))

    @property
    def state(self) -> str:
        """`running`, or how it ended."""
        return self.report.end.value if self.report else "running"

    @property
    def picture(self) -> str:
        """What its line of confidence is called."""
        return label(self.attempt, self.curve)


@dataclass(slots=True)
class Bar:
    """An answer's share of the ballot, 0 to 1."""

    line: BallotLine
    share: float
    chosen: bool


@dataclass(slots=True)
class SolveView:
    """Everything that the page shows of a solve.

    `age_s` and `created` are known where it runs here, or from the journal. `last` is the id of the
    last event in it.
    """

    solve_id: str
    live: bool
    created: float
    age_s: float = 0.0
    problem: str = ""
    problem_id: str | None = None
    started: SolveStarted | None = None
    requested: SolveRequested | None = None
    position: int = 0
    budget: BudgetDecided | None = None
    ballot: BallotChanged | None = None
    result: SolveResult | None = None
    lanes: dict[int, Lane] = field(default_factory=dict)
    last: int = 0
    waits: bool = False
    """Whether it waits for its turn; one that is gone on with does so after its start."""

    @property
    def state(self) -> str:
        """`queued`, `running`, or how it ended; `in flight` where the journal has no end."""
        if self.result:
            return self.result.end.value
        if not self.live:
            return "in flight"
        return "running" if self.started and not self.waits else "queued"

    @property
    def time_limit_s(self) -> float | None:
        """Its seconds, the wait in the queue not counted."""
        if self.budget is not None:
            return self.budget.limit_s
        return self.started.time_limit_s if self.started else None

    @property
    def waited_s(self) -> float:
        """Seconds that it waited in the queue."""
        return self.started.at if self.started else self.age_s

    @property
    def used_s(self) -> float:
        """Seconds of its limit that are gone."""
        return self.result.seconds if self.result else max(self.age_s - self.waited_s, 0.0)

    @property
    def sampled(self) -> int:
        """Tokens sampled so far."""
        return sum(lane.sampled for lane in self.lanes.values())

    @property
    def bars(self) -> list[Bar]:
        """The ballot, the heaviest answer first."""
        lines = self.result.ballot if self.result else self.ballot.lines if self.ballot else []
        most = max((line.weight for line in lines), default=0.0) or 1.0
        answer = self.result.answer if self.result else None
        ordered = sorted(lines, key=lambda line: -line.weight)
        return [Bar(line, max(line.weight, 0.0) / most, line.answer == answer) for line in ordered]


def fold(view: SolveView, events: Iterable[Event]) -> SolveView:
    """Take the events of a solve in order."""
    for event in events:
        view.last = event.id
        if isinstance(event, AttemptEvent):
            _attempt(view, event)
        else:
            _solve(view, event)
    for lane in view.lanes.values():
        lane.blocks, lane.cut = lane.events.list(), lane.events.cut
    return view


def _solve(view: SolveView, event: Event) -> None:
    match event:
        case SolveQueued():
            view.position = event.position
        case SolveRequested():
            view.requested = event
            view.problem = str(event.request.get("problem", ""))
        case SolveStarted():
            view.started, view.problem, view.problem_id = event, event.problem, event.problem_id
        case BudgetDecided():
            view.budget = event
        case BallotChanged():
            view.ballot = event
        case SolveFinished():
            view.result = event.result
            view.problem_id = event.result.problem_id or view.problem_id
            for report in event.result.attempts:
                _ended(_lane(view, report.attempt), report)
        case _:
            pass


def _attempt(view: SolveView, event: AttemptEvent) -> None:
    lane = _lane(view, event.attempt)
    match event:
        case AttemptStarted():
            lane.seed, lane.temperature = event.seed, event.temperature
        case AttemptFinished():
            _ended(lane, event.report)
        case AttemptText():
            lane.sampled = event.sampled
            lane.events.add(event)
        case _:
            lane.events.add(event)


def _ended(lane: Lane, report: AttemptReport) -> None:
    lane.report, lane.sampled = report, max(report.tokens.sampled, lane.sampled)


def _lane(view: SolveView, attempt: int) -> Lane:
    return view.lanes.setdefault(attempt, Lane(attempt))
