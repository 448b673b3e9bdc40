"""Chooses again among the attempts of a solve that has ended, from what the journal has of them.

What an attempt was is told by its events: the report, the text of its last message, the last
program that ran without an error and what that printed, and the confidence of its tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import anyio
from pydantic import ValidationError

from client.schema import (
    AttemptCall,
    AttemptEnd,
    AttemptReport,
    AttemptResult,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    Channel,
    Event,
    SelectReport,
    SelectRequest,
    SolveFinished,
    SolveRequest,
    SolveRequested,
    SolveStarted,
)
from client.schema import AttemptFinished as Finished
from server.errors import QuorumServerError
from server.rewards.served import require_rewards
from server.settings import Settings
from server.solve.answering import Answering
from server.solve.judge import Judge
from server.solve.past import voted
from server.solve.plan import SolvePlan, make_plan
from server.solve.recipe import NONE, can_be_followed
from server.solve.service import AdmissionError
from server.solve.solution import Solution
from server.solve.solver import SolverParts
from server.solve.tally import Tally, wire_lines
from server.solve.verifying import open_judge
from server.solve.wording import answer_text
from voting.answers import AnswerKind
from voting.confidence import ConfidenceMeter
from voting.printed import printed
from voting.selecting import rounds
from voting.selectors import Selection
from voting.types import AttemptOutcome

OK = "ok"


class NothingToSelect(QuorumServerError):
    """The journal does not have what a selection needs."""


@dataclass(slots=True)
class _Story:
    """What the events tell of one attempt."""

    started: float = 0.0
    report: AttemptReport | None = None
    final: list[str] = field(default_factory=list)
    code: dict[int, str] = field(default_factory=dict)
    program: str = ""
    output: str = ""
    outputs: list[str] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Note what an event says."""
        match event:
            case AttemptStarted():
                self.started = event.at
            case AttemptText(channel=Channel.FINAL):
                self.final.append(event.text)
            case AttemptCall():
                self.code[event.call] = event.code
            case AttemptResult():
                self.outputs.append(event.output)
                if event.status == OK:
                    self.program = self.code.get(event.call, "")
                    self.output = event.output
            case AttemptSegment():
                self.confidence += [each for each in event.confidence or () if each is not None]
            case Finished():
                self.report = event.report
            case _:
                pass

    @property
    def solution(self) -> Solution:
        """What the attempt leaves for those who compare solutions."""
        return Solution("".join(self.final), self.program, self.output)


class Reselector:
    """Runs selectors on recorded attempts, one selection at a time."""

    def __init__(self, settings: Settings, parts: SolverParts) -> None:
        self._settings = settings
        self._parts = parts
        self._busy = False

    async def select(
        self, solve_id: str, events: Iterable[Event], asked: SelectRequest
    ) -> SelectReport:
        """Choose an answer among the attempts that these events tell of.

        Raises:
            PolicyNameError: no selector or weight is written so.
            NothingToSelect: the request or the attempts are not recorded.
            AdmissionError: another selection is being made.
        """
        told = list(events)
        plan = self._plan(solve_id, told, asked)
        if self._busy:
            raise AdmissionError("a selection is being made already: try again once it is done")
        self._busy = True
        try:
            return await self._choose(solve_id, plan, told, asked)
        finally:
            self._busy = False

    def _plan(self, solve_id: str, events: Sequence[Event], asked: SelectRequest) -> SolvePlan:
        request = _request(events)
        if request is None:
            raise NothingToSelect(
                f"solve {solve_id}: what it was asked is not recorded; solve the problem again"
            )
        chosen = {"selector": asked.selector, "weight": asked.weight}
        if not can_be_followed(request.recipe or self._settings.solve.recipe, self._parts.others):
            # Its engines may be gone since; the attempts' own model judges then.
            chosen["recipe"] = NONE
        request = request.model_copy(update={k: v for k, v in chosen.items() if v is not None})
        plan = make_plan(
            request,
            self._settings.solve,
            cell_timeout_s=self._settings.sandbox.cell_timeout_s,
            engines=self._parts.others,
        )
        require_rewards(plan.policies, self._parts.rewards)
        return plan

    async def _choose(
        self, solve_id: str, plan: SolvePlan, events: Sequence[Event], asked: SelectRequest
    ) -> SelectReport:
        started = anyio.current_time()
        stories = _stories(events)
        began = next((e.at for e in events if isinstance(e, SolveStarted)), 0.0)
        tally = Tally(plan, solve_id)
        solutions: dict[int, Solution] = {}
        for index, story in sorted(stories.items()):
            if story.report is not None:
                tally.close(_outcome(plan, story, story.report, began), story.report)
                solutions[index] = story.solution
        answering = self._answering(solve_id, plan, tally, solutions)
        deadline = started + asked.time_limit_s
        if plan.symbolic and tally.classes.questions():
            left = deadline - anyio.current_time()
            tally.classes.learn(await answering.answer(tally.classes.questions(), left))
        selection = await _run(plan, tally, answering, deadline)
        return SelectReport(
            solve_id=solve_id,
            selector=plan.policy_names.selector,
            weight_by=plan.policy_names.weight,
            answer=answer_text(selection.answer),
            reason=selection.reason.value,
            weight=selection.weight,
            total=selection.total,
            ballot=wire_lines(tally.ballot()),
            seconds=round(anyio.current_time() - started, 4),
        )

    def _answering(
        self, solve_id: str, plan: SolvePlan, tally: Tally, solutions: dict[int, Solution]
    ) -> Answering:
        parts = self._parts
        session = f"{solve_id}/select"
        own = Judge(plan, parts.engine, parts.dialect, parts.vocabulary, session)
        return Answering(
            plan=plan,
            judge=open_judge(plan, own, parts.others),
            pool=parts.pool,
            solutions=solutions,
            outcomes=tally.outcomes,
            equivalence=parts.equivalence if plan.symbolic else None,
            rewards=parts.rewards,
            at_once=parts.engine.info.slots,
        )


async def _run(plan: SolvePlan, tally: Tally, answering: Answering, deadline: float) -> Selection:
    def left_s() -> float:
        return max(deadline - anyio.current_time(), 0.0)

    asking = rounds(plan.policies.selector, tally.ballot(), tally.ended, left_s)
    try:
        requests = next(asking)
        while True:
            requests = asking.send(await answering.answer(requests, left_s()))
    except StopIteration as end:
        selection: Selection = end.value
        return selection


def _stories(events: Sequence[Event]) -> dict[int, _Story]:
    stories: dict[int, _Story] = {}
    for event in events:
        attempt = getattr(event, "attempt", None)
        # A plan, whose number is below 0, has no answer to choose.
        if attempt is not None and attempt >= 0:
            stories.setdefault(attempt, _Story()).take(event)
    finished = next((e.result for e in reversed(events) if isinstance(e, SolveFinished)), None)
    for report in finished.attempts if finished else ():
        stories.setdefault(report.attempt, _Story()).report = report
    return stories


def _outcome(plan: SolvePlan, story: _Story, report: AttemptReport, began: float) -> AttemptOutcome:
    kind = AnswerKind(plan.answer_kind.value)
    answer = voted(report, kind)
    meter = ConfidenceMeter(window=plan.confidence_window)
    for confidence in story.confidence:
        meter.push([-confidence])
    return AttemptOutcome(
        attempt=report.attempt,
        answer=answer,
        finished=report.end is AttemptEnd.ANSWERED,
        tokens=report.tokens.sampled,
        turns=report.turns,
        tool_calls=report.tool_calls,
        tool_errors=min(report.tool_errors, report.tool_calls),
        seconds=report.seconds,
        started_s=max(story.started - began, 0.0),
        scores=meter.scores() if story.confidence else None,
        printed=printed(answer, story.outputs) if answer is not None and story.outputs else None,
        pruned=report.end is AttemptEnd.PRUNED,
    )


def _request(events: Sequence[Event]) -> SolveRequest | None:
    """Return what was asked, or as much of it as the values in force tell."""
    for event in events:
        if isinstance(event, SolveRequested):
            known = {k: v for k, v in event.request.items() if k in SolveRequest.model_fields}
            try:
                return SolveRequest.model_validate(known)
            except ValidationError:
                break
    started = next((e for e in events if isinstance(e, SolveStarted)), None)
    if started is None:
        return None
    return SolveRequest(
        problem=started.problem, answer_kind=started.answer_kind, attempts=started.attempts
    )
