"""Attempts with verdicts: what all statistics are of."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from client.schema import AttemptEnd
from server.evaluation.errors import NothingRecorded
from server.evaluation.evidence import NO_EVIDENCE, Evidence
from server.evaluation.judge import Judge, Judged
from server.evaluation.problem import Problem
from server.evaluation.recorded import AttemptRow, Plan, Recorded, SolveRow
from voting.printed import printed
from voting.replay.records import RecordedAttempt, RecordedProblem

Floats = NDArray[np.float64]
#: Attempts that came to their own end; others were cut, by time, a policy or a fault.
OWN_ENDS = frozenset(
    {AttemptEnd.ANSWERED, AttemptEnd.FORCED, AttemptEnd.NO_ANSWER, AttemptEnd.REPETITION}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAttempt:
    """One attempt: what the replay needs of it, how it ended, and where it is recorded."""

    record: RecordedAttempt
    end: str = "answered"
    seconds: float | None = None
    seed: int = 0
    number: int = 0
    solve_id: str = ""
    unparsed: bool = False

    @property
    def right(self) -> bool:
        """Whether its answer is the right one."""
        return self.record.right


#: Attempts that ended so have no vote, whatever they had said.
VOTELESS = frozenset({AttemptEnd.EARLY_STOP, AttemptEnd.PRUNED, AttemptEnd.FAILED})


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """What the server itself chose, under the policies that it was asked to use."""

    answer: str | None
    right: bool
    seconds: float
    sampled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredProblem:
    """A problem with its attempts. `live` is None where no solve of it has ended.

    `chosen` says by selector whether what it chose among the recorded attempts is right. `copies`
    are the solves of a problem that was solved several times, where this is all of them together.
    """

    id: str
    attempts: tuple[ScoredAttempt, ...]
    level: str | None = None
    subject: str | None = None
    original: str = ""
    live: LiveAnswer | None = None
    chosen: Mapping[str, bool] = field(default_factory=dict)
    copies: tuple["ScoredProblem", ...] = ()

    @property
    def live_rate(self) -> float:
        """The share of solves in which the server's answer was right; NaN where none has ended."""
        lives = [each.live for each in self.copies or (self,) if each.live is not None]
        return sum(one.right for one in lives) / len(lives) if lives else math.nan

    def chosen_rate(self, selector: str) -> float:
        """Return the share of solves in which a selector was right; NaN where it had none."""
        told = [one.chosen[selector] for one in self.copies or (self,) if selector in one.chosen]
        return sum(told) / len(told) if told else math.nan

    @property
    def right(self) -> int:
        """How many attempts are right."""
        return sum(attempt.right for attempt in self.attempts)

    def recorded(self) -> RecordedProblem:
        """Return the problem as the replay takes it."""
        return RecordedProblem(self.id, tuple(attempt.record for attempt in self.attempts))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredArm:
    """An arm's problems, in the order of the set; those without any attempt are not among them.

    ``absent`` counts those. ``left_open`` counts comparisons of answers that stayed undecided.
    """

    name: str
    problems: tuple[ScoredProblem, ...]
    model: str = ""
    absent: int = 0
    left_open: int = 0

    def by_problem(self, value: Callable[[ScoredProblem], float]) -> Floats:
        """Return a value of each problem, shape (problems,)."""
        return np.array([value(problem) for problem in self.problems], np.float64)

    @property
    def attempts(self) -> int:
        """How many attempts there are."""
        return sum(len(problem.attempts) for problem in self.problems)

    @property
    def typical_attempts(self) -> int:
        """The most attempts that at least half of the problems have."""
        counts = sorted((len(problem.attempts) for problem in self.problems), reverse=True)
        return counts[(len(counts) - 1) // 2]

    def ends(self) -> Counter[str]:
        """Count the attempts by how they ended; answers that do not parse are counted as such."""
        counts: Counter[str] = Counter()
        for problem in self.problems:
            for attempt in problem.attempts:
                counts["unparsed answer" if attempt.unparsed else attempt.end] += 1
        return counts

    def merged(self) -> "ScoredArm":
        """Return the arm with the copies of each problem as one: they are no further problems."""
        copies: dict[str, list[ScoredProblem]] = defaultdict(list)
        for problem in self.problems:
            copies[problem.original or problem.id].append(problem)
        return replace(self, problems=tuple(map(_together, copies.values())))

    def common(self, ids: Sequence[str]) -> "ScoredArm":
        """Return the arm with these problems alone, in this order."""
        own = {problem.id: problem for problem in self.problems}
        return replace(self, problems=tuple(own[name] for name in ids))


def decider(rows: Sequence[AttemptRow], solves: Sequence[SolveRow]) -> SolveRow | None:
    """Return the solve that chose among all of a problem's attempts; None where none did."""
    made = {row.solve_id for row in rows}
    if len(made) > 1:
        return None
    return next((solve for solve in reversed(solves) if solve.solve_id in made or not made), None)


def voted(rows: Sequence[AttemptRow], verdicts: Sequence[Judged]) -> tuple[str | None, bool]:
    """Return the answer whose votes weigh most, as the server weighed them, and if it is right."""
    weights: dict[str, float] = defaultdict(float)
    first: dict[str, int] = {}
    for place, (row, verdict) in enumerate(zip(rows, verdicts, strict=True)):
        if verdict.answer is not None and row.report.end not in VOTELESS:
            weights[verdict.answer.key] += row.report.weight
            first.setdefault(verdict.answer.key, place)
    if not first:
        return None, False
    leader = first[max(first, key=lambda key: (weights[key], -first[key]))]
    return rows[leader].report.answer, verdicts[leader].right


def _together(copies: Sequence[ScoredProblem]) -> ScoredProblem:
    first = copies[0]
    if len(copies) == 1:
        return first
    attempts = tuple(attempt for copy in copies for attempt in copy.attempts)
    name = first.original or first.id
    return replace(first, id=name, attempts=attempts, live=None, chosen={}, copies=tuple(copies))


async def score_arm(
    arm: str,
    problems: Sequence[Problem],
    recorded: Recorded,
    plan: Plan,
    judge: Judge,
    evidence: Mapping[tuple[str, int], Evidence] | None = None,
) -> ScoredArm:
    """Judge all attempts of an arm.

    Raises:
        NothingRecorded: there are none.
    """
    before = judge.left_open
    scored = []
    model = ""
    for problem in problems:
        rows = recorded.of(arm, problem.id)
        if not rows:
            continue
        solves = recorded.solves_of(arm, problem.id)
        selections = list(recorded.selections.get((arm, problem.id), {}).values())
        whole = decider(rows, solves)
        told = [whole.answer if whole else None, *(row.answer for row in selections)]
        judged = await judge.judge(problem, [*(row.report.answer for row in rows), *told])
        verdicts, vote, choices = judged[: len(rows)], judged[len(rows)], judged[len(rows) + 1 :]
        # Where it took several solves none chose among all attempts: their votes count together.
        answer, right = (whole.answer, vote.right) if whole else voted(rows, verdicts)
        chosen = {
            row.selector: choice.right for row, choice in zip(selections, choices, strict=True)
        }
        live = None
        if solves:
            seconds = sum(solve.seconds for solve in solves)
            sampled = sum(solve.sampled for solve in solves)
            live = LiveAnswer(answer, right, seconds, sampled)
            model = solves[-1].model or model
        attempts = tuple(
            _attempt(
                row,
                verdict,
                (evidence or {}).get((row.solve_id, row.report.attempt)),
                plan.number(problem, row.report.seed),
            )
            for row, verdict in zip(rows, verdicts, strict=True)
        )
        scored.append(
            ScoredProblem(
                id=problem.id, attempts=attempts, level=problem.level, subject=problem.subject,
                original=problem.original, live=live, chosen=chosen,
            )
        )  # fmt: skip
    if not scored:
        raise NothingRecorded(
            f"arm {arm!r}: 0 attempts have ended: must be at least 1; run the evaluation first"
        )
    return ScoredArm(
        name=arm, problems=tuple(scored), model=model, absent=len(problems) - len(scored),
        left_open=judge.left_open - before,
    )  # fmt: skip


def _attempt(
    row: AttemptRow, verdict: Judged, evidence: Evidence | None, number: int
) -> ScoredAttempt:
    report, found = row.report, evidence or NO_EVIDENCE
    shown = None
    if verdict.answer is not None and found.outputs is not None:
        shown = printed(verdict.answer, found.outputs)
    record = RecordedAttempt(
        answer=verdict.answer,
        right=verdict.right,
        tokens=report.tokens.sampled,
        tool_calls=report.tool_calls,
        tool_errors=min(report.tool_errors, report.tool_calls),
        scores=found.scores,
        printed=shown,
        dips=found.dips,
        took_s=report.seconds,
        number=number,
    )
    return ScoredAttempt(
        record=record, end=report.end.value, seconds=report.seconds, seed=report.seed,
        number=report.attempt, solve_id=row.solve_id, unparsed=verdict.unparsed,
    )  # fmt: skip


def from_records(name: str, problems: Sequence[RecordedProblem]) -> ScoredArm:
    """Return an arm of attempts that are judged already, such as a replay's.

    Raises:
        NothingRecorded: there are none.
    """
    if not problems:
        raise NothingRecorded(f"{name}: 0 recorded problems: must be at least 1; record some")
    return ScoredArm(
        name=name,
        problems=tuple(
            ScoredProblem(
                id=problem.id, attempts=tuple(ScoredAttempt(record=r) for r in problem.attempts)
            )
            for problem in problems
        ),
    )
