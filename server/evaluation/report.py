"""What an evaluation found, whole: sections of tables and pictures, the same as data, and rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.evaluation.comparing import arms_compared, repeats_compared
from server.evaluation.recorded import Plan
from server.evaluation.repeating import repeats_section, runs_section
from server.evaluation.scored import ScoredArm
from server.evaluation.section import Section
from server.evaluation.sections import (
    at_k_section,
    calibration_section,
    cost_section,
    errors_section,
    groups_section,
    lengths_section,
    problems_section,
    strategies_section,
    summary_section,
)
from server.evaluation.strategies import DEFAULT_ROUNDS, evaluate
from server.replay.observe import Progress
from voting.machine import TWO_CORES, Machine
from voting.replay.solve import Combination


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to report: further strategies, what a replayed machine is, links to recorded solves.

    ``attempts`` is how many of a problem's the strategies have, None what most problems have.
    """

    attempts: int | None = None
    combinations: tuple[Combination, ...] = ()
    machine: Machine = TWO_CORES
    rounds: int = DEFAULT_ROUNDS
    seed: int = 0
    points: float = 1.0
    page: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A title, notes that a reader must know, sections, and all figures as JSON values.

    ``rows`` has one object for each problem of each arm.
    """

    title: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    rows: tuple[dict[str, Any], ...] = field(default=())

    def data(self) -> dict[str, Any]:
        """Return the report as JSON values; intervals are [mean, low, high]."""
        return {
            "title": self.title,
            "notes": list(self.notes),
            "sections": {section.name: section.data for section in self.sections},
            "problems": list(self.rows),
        }


def build(
    title: str,
    arms: Sequence[ScoredArm],
    request: Request,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Return the report of arms; the first is what the others are held against.

    Raises:
        ReplayError: a strategy cannot be replayed.
    """
    sections: list[Section] = [summary_section(arms, request.seed)]
    if len(arms) > 1:
        sections.append(arms_compared([arm.merged() for arm in arms], request.seed))
        sections += repeats_compared(arms)
    for arm in arms:
        observe = None if progress is None else progress.stage(f"strategies of {arm.name}")
        sections += _arm_sections(arm, request, observe)
    sections.append(problems_section(arms, request.page))
    rows = [row for arm in arms for row in problem_rows(arm)]
    return Report(
        title=title, notes=(*notes, *_open_notes(arms)), sections=tuple(sections), rows=tuple(rows)
    )


def _arm_sections(
    arm: ScoredArm, request: Request, observe: Callable[[int, int], None] | None
) -> list[Section]:
    attempts, seed = request.attempts or arm.typical_attempts, request.seed
    whole = arm.merged()
    evaluation = evaluate(
        arm, request.combinations, request.machine,
        attempts=attempts, rounds=request.rounds, seed=seed, observe=observe,
    )  # fmt: skip
    return [
        strategies_section(whole, evaluation, request.machine.name, seed),
        at_k_section(whole, attempts, seed),
        *groups_section(whole, seed),
        lengths_section(whole),
        errors_section(whole, seed),
        calibration_section(whole, seed),
        cost_section(arm),
        runs_section(whole, attempts, request.points),
        *repeats_section(arm),
    ]


def _open_notes(arms: Sequence[ScoredArm]) -> list[str]:
    notes = []
    for arm in arms:
        if arm.absent:
            notes.append(f"{arm.name}: {arm.absent} problems have no attempt yet; not counted.")
        if arm.left_open:
            notes.append(
                f"{arm.name}: {arm.left_open} comparisons of answers stayed undecided; those "
                "answers count as different, so never as right."
            )
    return notes


def plan_notes(plan: Plan) -> list[str]:
    """Return what a reader must know of how an evaluation was made."""
    limit = "the server's" if plan.time_limit_s is None else f"{plan.time_limit_s:g} s"
    made = (
        f"{plan.set} from {plan.origin}, licence {plan.licence}, problems {plan.digest[:12]}; "
        f"{plan.attempts} attempts from seed {plan.seed}, time limit {limit}; "
        f"model {plan.model or 'not told'}."
    )
    return [made, *plan.notes]


def problem_rows(arm: ScoredArm) -> list[dict[str, Any]]:
    """Return one object for each problem of an arm."""
    return [
        {
            "arm": arm.name,
            "problem": problem.id,
            "level": problem.level,
            "subject": problem.subject,
            "attempts": len(problem.attempts),
            "right": problem.right,
            "answer": None if problem.live is None else problem.live.answer,
            "answer_right": None if problem.live is None else problem.live.right,
            "seconds": None if problem.live is None else problem.live.seconds,
            "tokens": sum(attempt.record.tokens for attempt in problem.attempts),
            "tool_calls": sum(attempt.record.tool_calls for attempt in problem.attempts),
        }
        for problem in arm.problems
    ]
