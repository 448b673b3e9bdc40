"""How a solve tells its start, and why it ended."""

from client.schema import SolveEnd, SolveStarted
from server.solve.events import EventLog
from server.solve.frame import TimeFrame
from server.solve.plan import SolvePlan
from server.solve.recipe import NO_RECIPE
from voting.early_stop import StopDecision

_ENDS = {
    SolveEnd.AGREEMENT: "enough attempts agreed",
    SolveEnd.ALL_FINISHED: "every attempt ended",
    SolveEnd.DEADLINE: "the time limit came",
    SolveEnd.CANCELLED: "the solve was cancelled",
    SolveEnd.INTERRUPTED: "the server is being shut down, and goes on at its next start",
    SolveEnd.ENGINE_LOST: "the engine was lost",
    SolveEnd.FAILED: "defects ended every attempt",
}


def ended_by(end: SolveEnd, stop: StopDecision | None, frame: TimeFrame) -> str:
    """Return why a solve ended, in words."""
    if end is SolveEnd.AGREEMENT and stop is not None:
        return f"{_ENDS[end]} ({stop.reason.value}: {stop.measure:.3g} of {stop.needed:.3g})"
    if end is SolveEnd.DEADLINE and frame.reason:
        return f"{_ENDS[end]} (budget: {frame.reason})"
    return _ENDS[end]


def tell_start(events: EventLog, plan: SolvePlan, model: str, dialect: str) -> None:
    """Tell the values in force."""
    events.emit(
        SolveStarted,
        problem=plan.problem,
        problem_id=plan.problem_id,
        answer_kind=plan.answer_kind,
        strategy=plan.strategy.name,
        attempts=plan.attempts,
        agree=plan.agree,
        max_turns=plan.max_turns,
        max_tokens=plan.max_tokens,
        time_limit_s=plan.time_limit_s,
        seed=plan.seed,
        model=model,
        dialect=dialect,
        recipe="" if plan.recipe == NO_RECIPE else plan.recipe.text,
    )
