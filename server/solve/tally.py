"""What the attempts of one solve came to: outcomes, votes, classes of equal answers, the ballot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from client.schema import AttemptEnd, AttemptReport, TokenCounts
from client.schema import BallotLine as WireBallotLine
from client.schema import Savings as WireSavings
from server.solve.plan import SolvePlan
from server.solve.wording import answer_text
from voting.ballot import Ballot, Vote
from voting.equivalence import AnswerClasses
from voting.savings import savings
from voting.state import SolveState, attempt_seconds
from voting.types import AttemptOutcome
from voting.weights import most_weight

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Tally:
    """Counts the ended attempts of one solve; `solve_id` is for the log."""

    plan: SolvePlan
    solve_id: str
    outcomes: dict[int, AttemptOutcome] = field(default_factory=dict)
    reports: dict[int, AttemptReport] = field(default_factory=dict)
    classes: AnswerClasses = field(init=False)
    _votes: list[Vote] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.classes = AnswerClasses(self.plan.rules)

    @property
    def ended(self) -> list[AttemptOutcome]:
        """The outcomes so far, in the order of the attempts."""
        return [self.outcomes[index] for index in sorted(self.outcomes)]

    def close(self, outcome: AttemptOutcome, report: AttemptReport) -> AttemptReport:
        """Take an attempt's end and let it vote; return its report with the weight of that."""
        index = outcome.attempt
        if outcome.answer is not None:
            try:
                weight = self.plan.policies.weight.decide(outcome).weight
                vote = Vote(index, outcome.answer, weight)
                self.classes.add(outcome.answer)
                self._votes.append(vote)
                report = report.model_copy(update={"weight": weight})
            except Exception as error:
                log.exception("attempt.unweighable", solve_id=self.solve_id, attempt=index)
                outcome = replace(outcome, answer=None)
                detail = f"its vote cannot be weighed: {type(error).__name__}: {error}"
                report = report.model_copy(update={"end": AttemptEnd.FAILED, "detail": detail})
        self.outcomes[index] = outcome
        self.reports[index] = report
        return report

    def restore(self, outcome: AttemptOutcome, report: AttemptReport) -> None:
        """Take an attempt that ended under another server, with the weight that it had then."""
        if outcome.answer is not None:
            self._votes.append(Vote(outcome.attempt, outcome.answer, report.weight))
            self.classes.add(outcome.answer)
        self.outcomes[outcome.attempt] = outcome
        self.reports[outcome.attempt] = report

    def note_unborn(self, report: AttemptReport) -> None:
        """Account for an attempt that could not be started, or not be gone on with."""
        index = report.attempt
        self.outcomes[index] = AttemptOutcome(attempt=index, answer=None, finished=False)
        self.reports[index] = report

    def ballot(self) -> Ballot:
        """Return the votes, equal answers on one line."""
        return self.classes.ballot(self._votes)

    def state(self, *, running: int, slots: int, left_s: float) -> SolveState:
        """Return what the policies are told; `slots` are the engine's."""
        return SolveState(
            ballot=self.ballot(),
            launched=running + len(self.outcomes),
            running=running,
            attempts=self.plan.attempts,
            most_weight=most_weight(self.plan.policies.weight),
            free_slots=max(slots - running, 0),
            left_s=max(left_s, 0.0),
            attempt_s=attempt_seconds(self.outcomes.values()),
            # Without a symbolic check nobody will ever answer.
            unsettled=self.plan.symbolic and bool(self.classes.questions()),
        )

    def saved(self) -> WireSavings:
        """Return what stopping early saved."""
        ends = {index: report.end for index, report in self.reports.items()}
        stopped = (AttemptEnd.EARLY_STOP, AttemptEnd.PRUNED)
        cut = [each for each in self.ended if ends[each.attempt] in stopped]
        whole = [each for each in self.ended if ends[each.attempt] not in stopped]
        found = savings(whole, cut, max(self.plan.attempts - len(self.outcomes), 0))
        return WireSavings(
            attempts_cut=found.cut, attempts_unlaunched=found.unlaunched, tokens=found.tokens
        )


def wire_lines(ballot: Ballot) -> list[WireBallotLine]:
    """Return a ballot as callers see it."""
    return [
        WireBallotLine(
            answer=answer_text(line.answer) or "",
            votes=line.count,
            weight=round(line.weight, 6),
            attempts=list(line.attempts),
        )
        for line in ballot.lines
    ]


def finite(value: float) -> str:
    """Return a number for a sentence."""
    return f"{value:.2f}" if math.isfinite(value) else "unbounded"


def in_order(reports: dict[int, AttemptReport]) -> Sequence[AttemptReport]:
    """Return reports in the order of their attempts."""
    return [reports[index] for index in sorted(reports)]


def sum_tokens(counts: Sequence[TokenCounts]) -> TokenCounts:
    """Return counts together."""
    return TokenCounts(
        prompt=sum(each.prompt for each in counts),
        sampled=sum(each.sampled for each in counts),
        appended=sum(each.appended for each in counts),
    )
