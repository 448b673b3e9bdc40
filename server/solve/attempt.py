"""One attempt: turns of the model, cells on its kernel, and an answer or a reason.

An attempt never raises but for cancellation: whatever happens is data in its report.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import structlog

from client.schema import AttemptEnd, AttemptReport
from sandbox.errors import SandboxError
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.types import CellResult, CellStatus, InterruptStep
from server.dialect.base import Dialect, ToolCall
from server.engine.base import Engine, Sampling
from server.prompts import compose, text
from server.solve.events import EventLog
from server.solve.frame import TimeFrame
from server.solve.narrator import Narrator
from server.solve.plan import SolvePlan
from server.solve.record import TokenRecord
from server.solve.solution import Solution
from server.solve.turn import TurnEnd, TurnOutcome, TurnReader
from server.solve.wording import answer_text
from server.vocabulary import Vocabulary
from voting.answers import Answer, AnswerKind, extract
from voting.confidence import ConfidenceMeter
from voting.printed import MAX_CHARACTERS as MAX_OUTPUT_CHARACTERS
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
#: Least time a cell is given, in seconds: its wait is bounded by the attempt's own end anyway.
LEAST_CELL_S = 0.05
#: Tokens of a tool result that are shown however little room is left.
LEAST_RESULT_TOKENS = 32

#: The same program this many times is a loop; after the second the model is told so. A small model
#: that is stuck otherwise spends all its turns on it.
SAME_CALLS = 3
SAME_NOTE = "[this program was run before: write a different one, or give the answer]"

#: A brace of TeX, or an escaped character that is none.
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)

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

    def __init__(self, context: AttemptContext, index: int) -> None:
        plan = context.plan
        prompt = compose(
            plan.problem,
            plan.answer_kind,
            tools=plan.strategy.tools,
            chosen=plan.prompt_set(context.dialect.name),
            variant=plan.mix.of(index).variant,
        )
        self._context = context
        self._plan = plan
        self._index = index
        self._session = f"{context.solve_id}/attempt-{index}"
        self._started = anyio.current_time()
        self._conversation = context.dialect.open(prompt)
        self._record = TokenRecord(self._conversation.opening)
        self._lease: KernelLease | None = None
        self._tool_calls = 0
        self._tool_errors = 0
        self._calls: Counter[str] = Counter()
        self._program = ""
        self._outputs: list[str] = []
        self._reviewed: list[Answer | None] = []
        self._bound = anyio.CancelScope(deadline=context.frame.thinking_ends - MARGIN_S / 2)
        self._waiting = anyio.CancelScope()
        self._meter = (
            ConfidenceMeter(plan.confidence_window) if plan.policies.needs_scores else None
        )
        self.narrator = Narrator(
            context.events,
            index,
            self._record,
            with_tokens=plan.with_tokens or context.events.recorded,
        )
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

    async def run(self) -> AttemptReport:
        """Run to the end. Cancellation passes through; ask for `report` then."""
        seed = self._plan.attempt_seed(self._index)
        self.narrator.started(seed, self._plan.sampling(self._index, 0, 0))
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
        self._waiting.deadline = self._thinking_ends()

    @property
    def answer(self) -> Answer | None:
        """The last answer in the model's final text, if any; none where it cannot be read."""
        try:
            return self._read_answer()
        except Exception:
            log.exception("attempt.unreadable", session=self._session)
            return None

    def _read_answer(self) -> Answer | None:
        return extract(self._conversation.answer_text, AnswerKind(self._plan.answer_kind.value))

    def outcome(self, end: AttemptEnd) -> AttemptOutcome:
        """Return what the vote is told; an attempt that was stopped or given up is not asked."""
        answer = None if end in (AttemptEnd.EARLY_STOP, AttemptEnd.PRUNED) else self.answer
        return AttemptOutcome(
            attempt=self._index,
            answer=answer,
            finished=end is AttemptEnd.ANSWERED,
            tokens=self._record.sampled,
            turns=self.narrator.turn,
            tool_calls=self._tool_calls,
            tool_errors=self._tool_errors,
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
        output = self._outputs[-1] if self._outputs else ""
        return Solution(written, self._program, output)

    def _scores(self) -> TokenScores | None:
        return self._meter.scores() if self._meter is not None and self._meter.tokens else None

    def _printed(self, answer: Answer | None) -> bool | None:
        if answer is None or not self._tool_calls:
            return None
        return printed(answer, self._outputs)

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
            tool_calls=self._tool_calls,
            tool_errors=self._tool_errors,
            tokens=self._record.counts(),
            seconds=round(anyio.current_time() - self._started, 3),
            engine_losses=self._reader.losses,
            token_exact=self._record.exact,
        )

    async def _think(self, stack: AsyncExitStack) -> tuple[AttemptEnd, str]:
        """Take turns until the model has answered or must be made to."""
        if self._room() <= FORCED_ROOM:
            opening, context = len(self._record.ids), self._context.engine.info.context_tokens
            return AttemptEnd.NO_ANSWER, (
                f"a prompt of {opening} tokens: must leave over {FORCED_ROOM} of the context of "
                f"{context}; shorten the problem, or raise engine.context_tokens"
            )
        while self.narrator.turn < self._plan.max_turns:
            self.narrator.turn += 1
            outcome = await self._reader.read(self._sampling, until=self._thinking_ends)
            if outcome.call is None:
                if self._review(outcome):
                    continue
                return await self._conclude(outcome)
            if not await self._answer_call(stack, outcome.call):
                return await self._force(AttemptEnd.SANDBOX_ERROR, "no kernel could be had")
            if max(self._calls.values()) >= SAME_CALLS:
                return await self._force(AttemptEnd.REPETITION, "the calls repeated themselves")
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
        start = len(self._conversation.answer_text)

        def box_closed() -> bool:
            text = self._conversation.answer_text[start:]
            return _closes(text) and self._read_answer() is not None

        def sampling(stream: int) -> Sampling:
            most = min(FORCED_TOKENS, self._room())
            return self._plan.sampling(self._index, stream, most)

        outcome = await self._reader.read(sampling, until=self._last_call, to_box=box_closed)
        if self._read_answer() is not None:
            return AttemptEnd.FORCED, f"{reason}; the answer was forced"
        lost = outcome.end in (TurnEnd.ENGINE_LOST, TurnEnd.ENGINE_AWAY)
        end = AttemptEnd.ENGINE_LOST if lost else otherwise
        return end, f"{reason}; no answer could be forced"

    async def _answer_call(self, stack: AsyncExitStack, call: ToolCall) -> bool:
        """Execute a call and append its result; return False when no kernel can be had."""
        number, self._tool_calls = self._tool_calls, self._tool_calls + 1
        self.narrator.call(number, call.code)
        kernel_lost = False
        try:
            result = await self._execute(stack, call)
        except SandboxError as error:
            log.warning("attempt.sandbox_error", session=self._session, error=str(error))
            result = _not_run(str(error))
            kernel_lost = self._lease is None
        self._tool_errors += result.status is not CellStatus.OK
        if result.status is CellStatus.OK:
            self._program = call.code
            self._outputs.append(result.output[-MAX_OUTPUT_CHARACTERS:])
        shown = self._shorten(result.output)
        program = call.code.strip() or str(call.error)
        self._calls[program] += 1
        if self._calls[program] > 1:
            shown = f"{shown}\n{SAME_NOTE}"
        self._record.append(self._conversation.result(shown))
        self.narrator.result(number, result, shown)
        return not kernel_lost

    async def _execute(self, stack: AsyncExitStack, call: ToolCall) -> CellResult:
        """Execute a call on the attempt's kernel; the wait for one ends with the time to think."""
        if call.error is not None:
            return _not_run(call.error)
        until = self._thinking_ends()
        self._waiting = anyio.CancelScope(deadline=until)
        with self._waiting:
            if self._lease is None:
                seed = self._plan.attempt_seed(self._index)
                self._lease = await stack.enter_async_context(
                    self._context.pool.lease(seed=seed, owner=self._session)
                )
            left = max(until - anyio.current_time(), LEAST_CELL_S)
            timeout = min(self._plan.cell_timeout_s, left)
            return await self._lease.execute(call.code, timeout=timeout)
        return _not_run("stopped: there is no time left to compute", CellStatus.TIMEOUT)

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
        return self._plan.sampling(self._index, stream, min(left, self._room() - FORCED_ROOM))

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


def _closes(text: str) -> bool:
    """Tell whether the text closes the box that was opened right before it."""
    depth = 1
    for brace in BRACE.findall(text):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth == 0:
            return True
    return False


def _not_run(reason: str, status: CellStatus = CellStatus.ERROR) -> CellResult:
    """Return the result of a call of which no kernel has told one."""
    return CellResult(
        output=reason,
        status=status,
        interrupt_step=InterruptStep.NONE,
        state_lost=False,
        seconds=0.0,
        truncated=False,
        error_name=None,
    )
