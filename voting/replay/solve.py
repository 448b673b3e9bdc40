"""One solve, replayed: recorded attempts under any policies, on a described machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from voting.answers import Answer
from voting.ballot import Ballot, Vote
from voting.budget import Budget, BudgetClock, BudgetState
from voting.catalogue import Context
from voting.early_stop import StopDecision
from voting.machine import Machine
from voting.paths import ProblemPath, VoteMark
from voting.policies import Policies, PolicyNames, make_policies
from voting.replay.decoding import Decoding, RunningAttempt
from voting.replay.entries import require_numbers
from voting.replay.records import RecordedAttempt
from voting.requests import (
    Reply,
    Request,
    Reran,
    Rerun,
    Same,
    Sameness,
    ScoreSteps,
    StepScores,
)
from voting.selecting import select
from voting.state import SolveState, attempt_seconds
from voting.top_up import top_up
from voting.types import AttemptOutcome, AttemptProgress
from voting.weights import entry_count, most_weight


class ReplayEnd(StrEnum):
    """Why a replayed solve ended."""

    #: The early-stop policy found the vote decided.
    AGREEMENT = "agreement"
    #: Every attempt that the launch policy wanted has ended.
    ALL_FINISHED = "all_finished"
    #: The time limit or the budget ended it.
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Combination:
    """Policies by the names that settings have, with the solve's attempts and agreement.

    Raises:
        PolicyNameError: a text is malformed, or names what there is not.
        PolicyError: an argument is out of its range.
    """

    name: str
    names: PolicyNames
    attempts: int
    agree: int

    def __post_init__(self) -> None:
        self.make()

    def make(self) -> Policies:
        """Return the policies. Errors as for the class."""
        return make_policies(self.names, Context(self.attempts, self.agree))


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """What a solve's time is bounded by: a run's clock at its start, its budget and its history.

    With ``tops_up``, attempts beyond those planned are started where the run gives the problem more
    time than they took (`top_up`), as the server does; as many as there are records.
    """

    clock: BudgetClock
    budget: Budget
    history: tuple[ProblemPath, ...] = ()
    tops_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedSolve:
    """What a solve came to.

    ``right`` is whether its answer is, ``right_seen`` whether any vote was. ``tokens`` are all that
    were sampled, ``cut_tokens`` those of attempts that were cut. ``path`` has the votes by time.
    ``first_limit_s`` is the time limit in force at its start, infinite without one.
    """

    answer: Answer | None
    right: bool
    right_seen: bool
    tokens: int
    cut_tokens: int
    seconds: float
    launched: int
    votes: int
    end: ReplayEnd
    path: ProblemPath
    first_limit_s: float = math.inf


def replay_solve(
    attempts: Sequence[RecordedAttempt],
    combination: Combination,
    policies: Policies,
    machine: Machine,
    time_limit: TimeLimit | None = None,
) -> ReplayedSolve:
    """Replay a solve on attempts in the order in which they are launched.

    At most ``combination.attempts`` and as many as there are records are launched. What is cut has
    no answer, as its record does not tell what it would have answered there; it costs the tokens it
    had sampled. Selectors that ask a model get no reply. One that asks for a re-run is told whether
    the attempt's code printed its answer, which is what the record knows; one that asks a process
    reward model, what that said when the attempt was recorded. A weight by entries of a mix is that
    of the number that an attempt was made as, wherever it is launched.

    Raises:
        ReplayError: votes weigh by entries, and an attempt does not tell its own.
    """
    return _Solve(attempts, combination, policies, machine, time_limit).run()


class _Solve:
    def __init__(
        self,
        attempts: Sequence[RecordedAttempt],
        combination: Combination,
        policies: Policies,
        machine: Machine,
        time_limit: TimeLimit | None,
    ) -> None:
        tops_up = time_limit is not None and time_limit.tops_up
        self._records = attempts if tops_up else attempts[: combination.attempts]
        if entry_count(policies.weight) > 1:
            require_numbers(self._records)
        self._attempts = min(combination.attempts, len(self._records))
        self._agree = combination.agree
        self._policies = policies
        self._machine = machine
        self._time_limit = time_limit
        self._decoding = Decoding(machine)
        self._launched = 0
        self._votes: list[Vote] = []
        self._outcomes: list[AttemptOutcome] = []
        self._ballot = Ballot()
        self._marks: list[VoteMark] = []
        self._most_weight = most_weight(policies.weight)
        self._ended_tokens = 0
        self._pruned_tokens = 0

    def run(self) -> ReplayedSolve:
        limit_s = first_limit_s = self._limit()
        end = ReplayEnd.ALL_FINISHED
        decision: StopDecision | None = None
        if limit_s > 0:
            self._launch(limit_s)
        while self._decoding.running:
            one = self._decoding.advance(limit_s)
            if one is None:
                end = ReplayEnd.DEADLINE
                break
            if not self._note(one):
                continue
            decision = self._policies.early_stop.decide(self._state(limit_s))
            if decision.stop:
                end = ReplayEnd.AGREEMENT
                break
            limit_s = self._limit()
            self._launch(limit_s)
        if not self._launched:
            end = ReplayEnd.DEADLINE
        return self._result(end, decision, first_limit_s)

    def _limit(self) -> float:
        """Return the time limit in force, from the solve's start."""
        if self._time_limit is None:
            return math.inf
        limit = self._time_limit
        state = BudgetState(
            clock=limit.clock,
            elapsed_s=self._decoding.now_s,
            marks=tuple(self._marks),
            history=limit.history,
        )
        # The run's end is the machine's, whatever a policy says.
        return min(limit.budget.decide(state).limit_s, limit.clock.left_s)

    def _launch(self, limit_s: float) -> None:
        if self._decoding.now_s >= limit_s:
            return
        state = self._state(limit_s)
        add = self._policies.launch.decide(state).add or self._topped_up(state)
        # A policy that does not look at slots is asked again when one is free.
        add = min(add, self._machine.slots - len(self._decoding.running))
        for index in range(self._launched, min(self._launched + add, len(self._records))):
            self._decoding.start(index, self._records[index])
            self._launched += 1

    def _topped_up(self, state: SolveState) -> int:
        """Return how many attempts to add because the run gives the problem more time."""
        limit = self._time_limit
        if limit is None or not limit.tops_up:
            return 0
        share_left_s = limit.clock.left_s / limit.clock.problems_left - self._decoding.now_s
        return top_up(state, share_left_s, self._agree).add

    def _note(self, one: RunningAttempt) -> bool:
        """Take in what happened to an attempt; return whether one has ended."""
        if one.attempt not in self._decoding.running:
            return self._ended(one)
        dip = one.record.dips[one.dip]
        one.dip += 1
        progress = AttemptProgress(
            attempt=one.attempt,
            tokens=dip.tokens,
            seconds=self._decoding.now_s - one.started_s,
            group_confidence=dip.group_confidence,
        )
        if not self._policies.prune.decide(progress, self._outcomes).end:
            return False
        del self._decoding.running[one.attempt]
        self._pruned_tokens += dip.tokens
        self._outcomes.append(
            AttemptOutcome(
                attempt=one.attempt,
                answer=None,
                finished=False,
                tokens=dip.tokens,
                seconds=progress.seconds,
                started_s=one.started_s,
                pruned=True,
            )
        )
        return True

    def _ended(self, one: RunningAttempt) -> bool:
        seconds = self._decoding.now_s - one.started_s
        outcome = one.record.outcome(attempt=one.attempt, started_s=one.started_s, seconds=seconds)
        self._outcomes.append(outcome)
        self._ended_tokens += outcome.tokens
        if outcome.answer is not None:
            weight = self._policies.weight.decide(one.record.made_as(outcome)).weight
            self._votes.append(Vote(one.attempt, outcome.answer, weight))
            self._ballot = Ballot.of(self._votes)
            self._marks.append(VoteMark.of(self._decoding.now_s, self._ballot))
        return True

    def _state(self, limit_s: float) -> SolveState:
        running = len(self._decoding.running)
        return SolveState(
            ballot=self._ballot,
            launched=self._launched,
            running=running,
            attempts=self._attempts,
            most_weight=self._most_weight,
            free_slots=max(0, self._machine.slots - running),
            left_s=max(0.0, limit_s - self._decoding.now_s),
            attempt_s=attempt_seconds(self._outcomes),
        )

    def _result(
        self, end: ReplayEnd, decision: StopDecision | None, first_limit_s: float
    ) -> ReplayedSolve:
        answer = decision.answer if decision is not None and decision.stop else None
        if answer is None:
            answer = select(
                self._policies.selector, self._ballot, self._outcomes, self._reply
            ).answer
        voted = {vote.attempt for vote in self._votes}
        right_keys = {self._records[index].key for index in voted if self._records[index].right}
        cut = self._decoding.cut_tokens + self._pruned_tokens
        seconds = self._decoding.now_s
        return ReplayedSolve(
            answer=answer,
            right=answer is not None and answer.key in right_keys,
            right_seen=bool(right_keys),
            tokens=self._ended_tokens + cut,
            cut_tokens=cut,
            seconds=seconds,
            launched=self._launched,
            votes=len(self._votes),
            end=end,
            path=ProblemPath(tuple(self._marks), seconds, whole=end is not ReplayEnd.DEADLINE),
            first_limit_s=first_limit_s,
        )

    def _reply(self, request: Request) -> Reply | None:
        """Answer from the record what it can answer."""
        if isinstance(request, Rerun):
            printed = self._records[request.attempt].printed
            return None if printed is None else Reran(printed)
        if isinstance(request, ScoreSteps):
            scores = self._records[request.attempt].step_scores
            return None if scores is None else StepScores(scores)
        if isinstance(request, Same):
            return Sameness(request.one.key == request.other.key)
        return None
