"""One attempt: turns of the model, cells on its kernel, and an answer or a reason.

An attempt never raises but for cancellation: whatever happens is data in its report.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import structlog

from client.schema import AttemptEnd, AttemptReport
from sandbox.pool import KernelPool
from server.dialect.base import Dialect, ToolCall
from server.engine.base import Engine, Sampling
from server.prompts import Guidance, compose, text
from server.solve.bench import Bench
from server.solve.box import closes
from server.solve.events import EventLog
from server.solve.frame import TimeFrame
from server.solve.narrator import Narrator
from server.solve.past import PastAttempt
from server.solve.plan import SolvePlan
from server.solve.record import Segment, TokenRecord
from server.solve.replaying import Replaying, Resumption
from server.solve.solution import Solution
from server.solve.turn import TurnEnd, TurnOutcome, TurnReader
from server.solve.wording import answer_text
from server.vocabulary import Vocabulary
from voting.answers import Answer, AnswerKind, extract
from voting.confidence import ConfidenceMeter
from voting.printed import printed
from voting.scores import TokenScores
from voting.types import AttemptOutcome, AttemptProgress

log = structlog.get_logger(__name__)

#: Tokens for a forced answer, and for the question that forces it.
FORCED_TOKENS = 64
FORCED_ROOM = 192
#: A forced answer costs about ten appended tokens, another ten sampled, and the prefill's start;
#: the time for twice that many, at the attempt's own pace, is kept for it.
FORCED_PACE = 40
#: Of the time limit, at most this share is kept for it, however slow the engine.
MOST_FOR_SLOW = 0.3
#: The last stream ends this long before the solve, and the attempt half as long, to leave time to
#: read what was forced and to count the votes.
MARGIN_S = 0.25
#: Tokens of a tool result that are shown however little room is left.
LEAST_RESULT_TOKENS = 32

#: What is made of a turn that ended without a call: the attempt's end where no answer can be
#: forced, and why one is asked for.
FORCED: dict[TurnEnd, tuple[AttemptEnd, str]] = {
    TurnEnd.MESSAGE: (AttemptEnd.NO_ANSWER, "the message had no answer"),
    TurnEnd.LIMIT: (AttemptEnd.NO_ANSWER, "tokens or context were used up"),
    TurnEnd.REPETITION: (AttemptEnd.REPETITION, "the text repeated itself"),
    TurnEnd.TIME: (AttemptEnd.DEADLINE, "the time to think was over"),
    TurnEnd.ENGINE_AWAY: (AttemptEnd.ENGINE_LOST, "the engine was away as the time to think ended"),
}


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What the attempts of one solve share; `ended` has the outcomes of those that have ended."""

    solve_id: str
    plan: SolvePlan
    engine: Engine
    dialect: Dialect
    vocabulary: Vocabulary
    pool: KernelPool
    events: EventLog
    frame: TimeFrame
    ended: Callable[[], Sequence[AttemptOutcome]]


class Attempt:
    """Runs one attempt; `report` and `outcome` say at any time what became of it so far."""

    def __init__(
        self, context: AttemptContext, index: int, guidance: Guidance | None = None
    ) -> None:
        plan = context.plan
        prompt = compose(
            plan.problem,
            plan.answer_kind,
            tools=plan.strategy.tools,
            chosen=plan.prompt_set(context.dialect.name),
            variant=plan.style(index).variant,
            guidance=guidance,
        )
        self._context = context
        self._plan = plan
        self._index = index
        self._guidance = guidance
        self._session = f"{context.solve_id}/attempt-{index}"
        self._started = anyio.current_time()
        self._conversation = context.dialect.open(prompt)
        self._record = TokenRecord(self._conversation.opening)
        self._bench = Bench(
            context.pool,
            seed=plan.attempt_seed(index),
            owner=self._session,
            cell_timeout_s=plan.cell_timeout_s,
            until=self._thinking_ends,
        )
        self._calls_told = 0
        self._resumption: Resumption | None = None
        self._reviewed: list[Answer | None] = []
        self._bound = anyio.CancelScope(deadline=context.frame.thinking_ends - MARGIN_S / 2)
        self._meter = (
            ConfidenceMeter(plan.confidence_window) if plan.policies.needs_scores else None
        )
        self._recorded = plan.with_tokens or context.events.recorded
        self.narrator = Narrator(context.events, index, self._record, with_tokens=self._recorded)
        self._reader = TurnReader(
            engine=context.engine,
            session=self._session,
            record=self._record,
            conversation=self._conversation,
            on_text=self.narrator.text,
            on_loss=self.narrator.waiting,
            tools=plan.strategy.tools,
            meter=self._meter,
            hopeless=self._hopeless,
        )

    def resume(self, past: PastAttempt, rebuild_s: float) -> None:
        """Take up what a dead server left, before `run`; its cells may run again for `rebuild_s`.

        Raises:
            CannotResume: its tokens do not fit this server.
        """
        tools = self._plan.strategy.tools
        vocabulary = self._context.vocabulary
        found = Replaying(self._conversation, vocabulary, past, tools=tools).run()
        opening = len(self._conversation.opening)
        if past.segments:
            segments = [
                Segment(kind, 0, list(ids), list(logprobs)) for kind, ids, logprobs in past.segments
            ]
            self._record.restore(opening, segments)
            self.narrator.restore(past.tokens)
        self._started = anyio.current_time() - past.seconds
        self._calls_told = len(past.calls)
        self._bench.restore(past.calls, rebuild_s)
        kind = AnswerKind(self._plan.answer_kind.value)
        self._reviewed = [extract(each, kind) for each in found.reviewed]
        # No turn repeats the random numbers of one before.
        self._reader.streams = past.turn + len(past.segments)
        # The turn under way is entered as a new one unless it has ended.
        ended = found.outcome is not None or found.forced_at is not None
        self.narrator.turn = found.whole_turns + ended
        self._reader.whole = found.outcome is not None
        self._resumption = found

    async def run(self) -> AttemptReport:
        """Run to the end. Cancellation passes through; ask for `report` then."""
        if self._resumption is not None:
            self.narrator.resumed(self._bench.cells_again)
        else:
            seed = self._plan.attempt_seed(self._index)
            self.narrator.started(
                seed,
                self._plan.sampling(self._index, 0, 0),
                variant=self._plan.style(self._index).variant,
                plan=self._guidance.plan if self._guidance else None,
            )
        end, detail = AttemptEnd.DEADLINE, "the problem's time ran out"
        try:
            with self._bound, self._context.frame.told(self._move):
                async with AsyncExitStack() as stack:
                    end, detail = await self._think(stack)
        except Exception as error:
            # A defect ends one attempt, never the solve.
            log.exception("attempt.failed", solve_id=self._context.solve_id, attempt=self._index)
            end, detail = AttemptEnd.FAILED, f"{type(error).__name__}: {error}"
        finally:
            self._context.engine.release(self._session)
        return self.report(end, detail)

    def _move(self) -> None:
        """Take the solve's end as it is now."""
        self._bound.deadline = self._context.frame.thinking_ends - MARGIN_S / 2
        self._reader.move()
        self._bench.move()

    @property
    def answer(self) -> Answer | None:
        """The last answer in the model's final text, if any; none where it cannot be read."""
        try:
            return self._read_answer()
        except Exception:
            log.exception("attempt.unreadable", session=self._session)
            return None

    def _read_answer(self) -> Answer | None:
        kind = AnswerKind(self._plan.answer_kind.value)
        return extract(self._conversation.answer_text, kind, cut=not self._reader.whole)

    def outcome(self, end: AttemptEnd) -> AttemptOutcome:
        """Return what the vote is told; an attempt that was stopped or given up is not asked."""
        answer = None if end in (AttemptEnd.EARLY_STOP, AttemptEnd.PRUNED) else self.answer
        return AttemptOutcome(
            attempt=self._index,
            answer=answer,
            finished=end is AttemptEnd.ANSWERED,
            tokens=self._record.sampled,
            turns=self.narrator.turn,
            tool_calls=self._bench.calls,
            tool_errors=self._bench.errors,
            seconds=anyio.current_time() - self._started,
            started_s=max(self._started - self._context.frame.started, 0.0),
            scores=self._scores(),
            printed=self._printed(answer),
            pruned=end is AttemptEnd.PRUNED,
        )

    @property
    def solution(self) -> Solution:
        """What the attempt wrote, for those who compare and check solutions."""
        try:
            written = self._conversation.answer_text
        except Exception:
            log.exception("attempt.unreadable", session=self._session)
            written = ""
        output = self._bench.outputs[-1] if self._bench.outputs else ""
        return Solution(written, self._bench.program, output)

    def _scores(self) -> TokenScores | None:
        return self._meter.scores() if self._meter is not None and self._meter.tokens else None

    def _printed(self, answer: Answer | None) -> bool | None:
        if answer is None or not self._bench.calls:
            return None
        return printed(answer, self._bench.outputs)

    def _hopeless(self) -> str:
        """Return why the prune policy gives the attempt up; empty where it does not."""
        progress = AttemptProgress(
            attempt=self._index,
            tokens=self._record.sampled,
            seconds=max(anyio.current_time() - self._started, 0.0),
            group_confidence=self._meter.group_confidence if self._meter else None,
        )
        decision = self._plan.policies.prune.decide(progress, self._context.ended())
        if not decision.end:
            return ""
        return f"{decision.reason.value}: {progress.group_confidence:.3g} under {decision.bar:.3g}"

    def report(self, end: AttemptEnd, detail: str) -> AttemptReport:
        """Return what the caller is told, with the answer that it has committed to so far."""
        return AttemptReport(
            attempt=self._index,
            seed=self._plan.attempt_seed(self._index),
            end=end,
            detail=detail,
            answer=answer_text(self.answer),
            turns=self.narrator.turn,
            tool_calls=self._bench.calls,
            tool_errors=self._bench.errors,
            tokens=self._record.counts(),
            seconds=round(anyio.current_time() - self._started, 3),
            engine_losses=self._reader.losses,
            token_exact=self._record.exact,
        )

    async def _think(self, stack: AsyncExitStack) -> tuple[AttemptEnd, str]:
        """Take turns until the model has answered or must be made to."""
        begun = self._resumption
        if begun is not None and begun.forced_at is not None:
            return await self._fill_box(begun.forced_at, AttemptEnd.NO_ANSWER, "it was resumed")
        if begun is None and self._room() <= FORCED_ROOM:
            opening, context = len(self._record.ids), self._context.engine.info.context_tokens
            return AttemptEnd.NO_ANSWER, (
                f"a prompt of {opening} tokens: must leave over {FORCED_ROOM} of the context of "
                f"{context}; shorten the problem, or raise engine.context_tokens"
            )
        outcome = begun.outcome if begun is not None else None
        while outcome is not None or self.narrator.turn < self._plan.max_turns:
            if outcome is None:
                self.narrator.turn += 1
                outcome = await self._reader.read(self._sampling, until=self._thinking_ends)
            if outcome.call is None:
                if self._review(outcome):
                    outcome = None
                    continue
                return await self._conclude(outcome)
            if not await self._answer_call(stack, outcome.call):
                return await self._force(AttemptEnd.SANDBOX_ERROR, "no kernel could be had")
            if self._bench.stuck:
                return await self._force(AttemptEnd.REPETITION, "the calls repeated themselves")
            outcome = None
        turns = self._plan.max_turns
        return await self._force(AttemptEnd.NO_ANSWER, f"all {turns} turns were used")

    def _review(self, outcome: TurnOutcome) -> bool:
        """Ask for a review of the answer where the policy and the dialect have one."""
        if outcome.end is not TurnEnd.MESSAGE:
            return False
        self._reviewed.append(self._read_answer())
        left = max(self._thinking_ends() - anyio.current_time(), 0.0)
        if not self._plan.policies.revision.decide(self._reviewed, left).review:
            return False
        self._record.append(self._conversation.ask(text("review")))
        return True

    async def _conclude(self, outcome: TurnOutcome) -> tuple[AttemptEnd, str]:
        """End the attempt after a turn that made no call."""
        if outcome.end is TurnEnd.MESSAGE and self._read_answer() is not None:
            return AttemptEnd.ANSWERED, "the message ended with an answer"
        if outcome.end is TurnEnd.PRUNED:
            return AttemptEnd.PRUNED, outcome.detail
        if outcome.end in FORCED:
            return await self._force(*FORCED[outcome.end])
        lost = outcome.end is TurnEnd.ENGINE_LOST
        return (AttemptEnd.ENGINE_LOST if lost else AttemptEnd.ENGINE_ERROR), outcome.detail

    async def _force(self, otherwise: AttemptEnd, reason: str) -> tuple[AttemptEnd, str]:
        """Have the model write its answer now; `otherwise` is the end when none comes."""
        if self._reviewed and self._read_answer() is not None:
            return AttemptEnd.ANSWERED, f"{reason}; the answer from before the review stands"
        self._reader.hopeless = None
        self._record.append(self._conversation.force_answer())
        return await self._fill_box(len(self._conversation.answer_text), otherwise, reason)

    async def _fill_box(
        self, start: int, otherwise: AttemptEnd, reason: str
    ) -> tuple[AttemptEnd, str]:
        """Have the model go on inside the box that was opened before `start` of its final text."""

        def box_closed() -> bool:
            text = self._conversation.answer_text[start:]
            return closes(text) and self._read_answer() is not None

        def sampling(stream: int) -> Sampling:
            most = min(FORCED_TOKENS, self._room())
            return self._plan.sampling(self._index, stream, most, recorded=self._recorded)

        outcome = await self._reader.read(sampling, until=self._last_call, to_box=box_closed)
        if self._read_answer() is not None:
            return AttemptEnd.FORCED, f"{reason}; the answer was forced"
        lost = outcome.end in (TurnEnd.ENGINE_LOST, TurnEnd.ENGINE_AWAY)
        end = AttemptEnd.ENGINE_LOST if lost else otherwise
        return end, f"{reason}; no answer could be forced"

    async def _answer_call(self, stack: AsyncExitStack, call: ToolCall) -> bool:
        """Execute a call and append its result; return False when no kernel can be had."""
        number = self._bench.calls
        if number >= self._calls_told:
            self.narrator.call(number, call.code)
        result, note = await self._bench.run(stack, call)
        shown = self._shorten(result.output)
        if note:
            shown = f"{shown}\n{note}"
        self._record.append(self._conversation.result(shown))
        self.narrator.result(number, result, shown)
        return not self._bench.lost

    def _shorten(self, output: str) -> str:
        """Cut a result to its share of the context, by tokens: digits cost one each."""
        vocabulary = self._context.vocabulary
        half = max(min(self._plan.result_tokens, self._room() // 2), LEAST_RESULT_TOKENS) // 2
        ids = vocabulary.encode(output)
        if len(ids) <= 2 * half:
            return output
        head, tail = vocabulary.decode(ids[:half]), vocabulary.decode(ids[-half:])
        return f"{head}\n... [{len(ids) - 2 * half} tokens cut] ...\n{tail}"

    def _sampling(self, stream: int) -> Sampling:
        left = self._plan.max_tokens - self._record.sampled
        most = min(left, self._room() - FORCED_ROOM)
        return self._plan.sampling(
            self._index, stream, most, recorded=self._recorded, retry=self._bench.failed
        )

    def _last_call(self) -> float:
        """Return the event-loop time at which the last stream ends."""
        return self._context.frame.thinking_ends - MARGIN_S

    def _thinking_ends(self) -> float:
        """Return when thinking gives way to a forced answer: earlier on an engine that is slow."""
        frame = self._context.frame
        slow = min(FORCED_PACE * self._reader.pace_s, MOST_FOR_SLOW * frame.limit_s)
        return self._last_call() - max(frame.reserve_s, slow)

    def _room(self) -> int:
        return self._context.engine.info.context_tokens - len(self._record.ids) - 1
