"""Plans and thoughts: what a further engine writes for attempts before they begin.

Each is told and recorded as an attempt is, under a number below 0. One that cannot be had costs its
share of the time and never the solve: the attempts go on without, and its report says why. What was
written crosses as text, which the attempts' dialect encodes: no part of it can be a control token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
import structlog

from client.schema import AttemptEnd, AttemptFinished, AttemptReport, Channel, TokenCounts
from server.dialect.base import MessageEnd, Text
from server.engine.base import Sampling
from server.engine.named import NamedEngine
from server.prompts import Guidance, compose_guide
from server.solve.attempt import MARGIN_S
from server.solve.events import EventLog
from server.solve.frame import TimeFrame
from server.solve.narrator import Narrator
from server.solve.past import PastAttempt
from server.solve.plan import SolvePlan
from server.solve.recipe import Guide
from server.solve.record import Segment, TokenRecord
from server.solve.replaying import CannotResume
from server.solve.turn import TurnEnd, TurnOutcome, TurnReader
from server.vocabulary import Vocabulary

log = structlog.get_logger(__name__)

#: Of an attempt's context, at most this share is for what others wrote.
MOST_OF_CONTEXT = 0.25
#: Another family may need this many times the tokens for the same text.
OTHER_TOKENS = 2

#: Why a turn that ended so left nothing to hand on.
WITHOUT: dict[TurnEnd, tuple[AttemptEnd, str]] = {
    TurnEnd.MESSAGE: (AttemptEnd.NO_ANSWER, "it wrote nothing"),
    TurnEnd.LIMIT: (AttemptEnd.NO_ANSWER, "its tokens were used up before it wrote anything"),
    TurnEnd.REPETITION: (AttemptEnd.REPETITION, "its text repeated itself"),
    TurnEnd.TIME: (AttemptEnd.DEADLINE, "its share of the time was over"),
    TurnEnd.ENGINE_AWAY: (AttemptEnd.ENGINE_LOST, "its engine was away for its share of the time"),
    TurnEnd.ENGINE_LOST: (AttemptEnd.ENGINE_LOST, "its engine was lost"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideContext:
    """What the plans of one solve share; they are for attempts of a vocabulary and a context."""

    solve_id: str
    plan: SolvePlan
    guide: Guide
    by: NamedEngine
    vocabulary: Vocabulary
    context_tokens: int
    events: EventLog
    frame: TimeFrame

    def guided(self, number: int, said: Sequence[str], thought: Sequence[str]) -> Guidance | None:
        """Return what an attempt is given of a plan; None where nothing was written.

        What was thought stands for what was not said: a model that is cut off has only that.
        """
        most = min(OTHER_TOKENS * self.guide.tokens, int(MOST_OF_CONTEXT * self.context_tokens))
        text = "".join(said).strip()
        ids = self.vocabulary.encode(text or "".join(thought).strip())
        if not ids:
            return None
        kept = ids[:most] if text else ids[-most:]
        shown = self.vocabulary.decode(kept).strip("\ufffd")
        return Guidance(self.guide.role.value, shown, number)


@dataclass(slots=True)
class _Pending:
    """A plan that some attempts wait for."""

    done: anyio.Event = field(default_factory=anyio.Event)
    guided: Guidance | None = None


class Guiding:
    """Has the plans of one solve written, each once; `reports` are of those that have ended."""

    def __init__(self, context: GuideContext, past: Sequence[PastAttempt] = ()) -> None:
        self.reports: dict[int, AttemptReport] = {}
        self._context = context
        self._past = {each.attempt: each for each in past}
        self._pending: dict[int, _Pending] = {}
        self._writing: dict[int, GuideWriter] = {}
        for each in past:
            if each.report is not None:
                self.reports[each.attempt] = each.report

    @property
    def engine(self) -> str:
        """The name of the engine that writes."""
        return self._context.by.name

    @property
    def tokens(self) -> list[TokenCounts]:
        """The tokens of each plan."""
        return [report.tokens for report in self.reports.values()]

    async def of(self, attempt: int) -> Guidance | None:
        """Return what an attempt that is to begin is given, once it is written."""
        number = self._number(attempt)
        pending = self._pending.get(number)
        if pending is not None:
            await pending.done.wait()
            return pending.guided
        pending = self._pending[number] = _Pending()
        try:
            pending.guided = await self._write(number, attempt)
        finally:
            pending.done.set()
        return pending.guided

    def known(self, number: int | None) -> Guidance | None:
        """Return what an attempt was given under another server."""
        past = self._past.get(number) if number is not None else None
        if past is None or past.report is None or past.report.end is not AttemptEnd.PLANNED:
            return None
        try:
            writer = GuideWriter(self._context, past.attempt, 0)
            writer.take_up(past)
        except Exception as error:  # noqa: BLE001 - the attempt finds out whether it misses it
            log.warning("plan.unreadable", solve_id=self._context.solve_id, reason=str(error))
            return None
        return writer.guided

    def close(self, end: AttemptEnd, why: str) -> None:
        """Account for plans that were stopped."""
        for writer in list(self._writing.values()):
            self._close(writer, writer.report(end, why))

    def _number(self, attempt: int) -> int:
        size = self._context.guide.attempts
        return -1 - (attempt // size if size else 0)

    async def _write(self, number: int, attempt: int) -> Guidance | None:
        if number in self.reports:
            return self.known(number)
        try:
            writer = GuideWriter(self._context, number, attempt)
        except Exception as error:
            log.exception("plan.failed", solve_id=self._context.solve_id, plan=number)
            self._tell_unborn(number, attempt, f"{type(error).__name__}: {error}")
            return None
        self._writing[number] = writer
        report = await writer.run(self._past.get(number))
        self._close(writer, report)
        return writer.guided if report.end is AttemptEnd.PLANNED else None

    def _tell_unborn(self, number: int, attempt: int, why: str) -> None:
        """Account for a plan that a defect kept from being begun."""
        context = self._context
        seed = context.plan.attempt_seed(attempt)
        detail = f"{context.by.name}: {why}; attempts go on without it"
        report = PastAttempt(number).given_up(seed, AttemptEnd.FAILED, detail)
        self.reports[number] = report
        context.events.emit(AttemptFinished, attempt=number, report=report)

    def _close(self, writer: "GuideWriter", report: AttemptReport) -> None:
        del self._writing[writer.number]
        self.reports[writer.number] = report
        writer.narrator.finished(report)


class GuideWriter:
    """Writes one plan, as attempt `attempt` would sample."""

    def __init__(self, context: GuideContext, number: int, attempt: int) -> None:
        by, guide = context.by, context.guide
        self.number = number
        self._context = context
        self._attempt = attempt
        self._said: list[str] = []
        self._thought: list[str] = []
        self._begun = self._started = anyio.current_time()
        prompt = compose_guide(context.plan.problem, guide.role.value, by.dialect.name)
        self._conversation = by.dialect.open(prompt)
        self._record = TokenRecord(self._conversation.opening)
        self._session = f"{context.solve_id}/{guide.role.value}-{-1 - number}"
        with_tokens = context.plan.with_tokens or context.events.recorded
        self.narrator = Narrator(context.events, number, self._record, with_tokens=with_tokens)
        self._reader = TurnReader(
            engine=by.engine,
            session=self._session,
            record=self._record,
            conversation=self._conversation,
            on_text=self._text,
            on_loss=self.narrator.waiting,
            tools=False,
        )

    @property
    def guided(self) -> Guidance | None:
        """What it has for the attempts so far."""
        return self._context.guided(self.number, self._said, self._thought)

    async def run(self, past: PastAttempt | None = None) -> AttemptReport:
        """Write it, or go on with what a dead server left. Cancellation alone passes through."""
        try:
            outcome = self._begin(past)
            if outcome is None:
                with self._context.frame.told(self._reader.move):
                    outcome = await self._reader.read(self._sampling, until=self._until)
            return self.report(*self._end(outcome))
        except CannotResume as error:
            return self.report(AttemptEnd.FAILED, f"{error}; attempts go on without it")
        except Exception as error:
            # A defect of a plan is no reason to lose the solve.
            log.exception("plan.failed", session=self._session)
            why = f"{type(error).__name__}: {error}; attempts go on without it"
            return self.report(AttemptEnd.FAILED, why)
        finally:
            self._context.by.engine.release(self._session)

    def report(self, end: AttemptEnd, detail: str) -> AttemptReport:
        """Return what the caller is told."""
        return AttemptReport(
            attempt=self.number,
            seed=self._context.plan.attempt_seed(self._attempt),
            end=end,
            detail=f"{self._context.by.name}: {detail}",
            turns=1,
            tokens=self._record.counts(),
            seconds=round(anyio.current_time() - self._started, 3),
            engine_losses=self._reader.losses,
            token_exact=self._record.exact,
        )

    def take_up(self, past: PastAttempt) -> TurnOutcome | None:
        """Read what it had written under another server; return how that ended, if it had.

        Raises:
            CannotResume: its tokens do not fit this server.
        """
        opening = list(self._conversation.opening)
        ids = [token_id for _, some, _ in past.segments for token_id in some]
        if not past.complete or (ids and ids[: len(opening)] != opening):
            raise CannotResume("what the journal has of it does not fit this server")
        outcome = None
        for token_id in ids[len(opening) :]:
            for event in self._conversation.feed(token_id):
                if isinstance(event, Text):
                    self._note(event.channel, event.text)
                elif isinstance(event, MessageEnd):
                    outcome = TurnOutcome(TurnEnd.MESSAGE)
        if ids:
            segments = [Segment(kind, 0, [*some], [*odds]) for kind, some, odds in past.segments]
            self._record.restore(len(opening), segments)
            self.narrator.restore(past.tokens)
        return outcome

    def _begin(self, past: PastAttempt | None) -> TurnOutcome | None:
        """Tell the start, or that it goes on; return how it ended if it has already."""
        self.narrator.turn = 1
        if past is not None:
            outcome = self.take_up(past)
            self._reader.streams = len(past.segments)
            self._started -= past.seconds
            self.narrator.resumed(0)
            return outcome
        by = self._context.by
        self.narrator.started(
            self._context.plan.attempt_seed(self._attempt),
            self._sampling(0),
            engine=by.name,
            model=by.engine.info.model,
            dialect=by.dialect.name,
        )
        return None

    def _text(self, channel: Channel, text: str) -> None:
        self._note(channel, text)
        self.narrator.text(channel, text)

    def _note(self, channel: Channel, text: str) -> None:
        (self._thought if channel is Channel.THINKING else self._said).append(text)

    def _until(self) -> float:
        """Return when its share of the time that was left to think is over."""
        ends = self._context.frame.thinking_ends - MARGIN_S
        return self._begun + self._context.guide.share * max(ends - self._begun, 0.0)

    def _sampling(self, stream: int) -> Sampling:
        room = self._context.by.engine.info.context_tokens - len(self._record.ids) - 1
        most = min(self._context.guide.tokens - self._record.sampled, room)
        sampling = self._context.plan.sampling(self._attempt, stream, most)
        return replace(sampling, top_logprobs=0)

    def _end(self, outcome: TurnOutcome) -> tuple[AttemptEnd, str]:
        whole = outcome.end is TurnEnd.MESSAGE
        if (whole or outcome.end is TurnEnd.LIMIT) and self.guided is not None:
            cut = "" if whole else "; its tokens were used up"
            return AttemptEnd.PLANNED, f"handed to the attempts{cut}"
        end, why = WITHOUT.get(outcome.end, (AttemptEnd.ENGINE_ERROR, "its engine failed"))
        detail = f" ({outcome.detail})" if outcome.detail else ""
        return end, f"{why}{detail}; attempts go on without it"
