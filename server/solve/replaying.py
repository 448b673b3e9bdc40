"""Brings a conversation to where a dead server left it, by its own tokens.

An attempt's list is append-only, so the same calls of the same dialect append the same ids: where
they do not, because a prompt or a model has changed, the attempt cannot be gone on with.
"""

from dataclasses import dataclass, field

from client.schema import SegmentKind
from server.dialect.base import Conversation, MessageEnd, ToolCall
from server.errors import QuorumServerError
from server.prompts import text
from server.solve.past import PastAttempt
from server.solve.turn import TurnEnd, TurnOutcome
from server.vocabulary import Vocabulary


class CannotResume(QuorumServerError):
    """The tokens of an attempt do not fit this server."""


@dataclass(slots=True)
class Resumption:
    """Where an attempt goes on.

    `outcome` ends the turn under way, None where the model goes on writing; `forced_at` is the
    length of the final text where its answer is being forced. `whole_turns` were ended before.
    `reviewed` has the final texts that the model was asked to review.
    """

    whole_turns: int = 0
    outcome: TurnOutcome | None = None
    forced_at: int | None = None
    reviewed: list[str] = field(default_factory=list)


class Replaying:
    """Feeds one attempt's past to a conversation that has just been opened."""

    def __init__(
        self, conversation: Conversation, vocabulary: Vocabulary, past: PastAttempt, *, tools: bool
    ) -> None:
        self._conversation = conversation
        self._vocabulary = vocabulary
        self._past = past
        self._tools = tools
        self._results = iter([call.result for call in past.calls if call.result is not None])
        self._last: ToolCall | MessageEnd | None = None
        self._resumption = Resumption()

    def run(self) -> Resumption:
        """Return where the attempt goes on.

        Raises:
            CannotResume: the past is not one of this conversation.
        """
        if not self._past.complete:
            raise CannotResume("the journal lacks some of its tokens")
        opening = list(self._conversation.opening)
        segments = self._past.segments
        if segments and segments[0][1][: len(opening)] != opening:
            raise CannotResume("the model's prompt is another one now")
        for number, (kind, ids, _) in enumerate(segments):
            if kind is SegmentKind.SAMPLED:
                self._sampled(ids)
            else:
                self._appended(ids[len(opening) :] if number == 0 else ids)
        found = self._resumption
        if isinstance(self._last, ToolCall):
            found.outcome = TurnOutcome(TurnEnd.CALL, call=self._last)
        elif isinstance(self._last, MessageEnd):
            found.outcome = TurnOutcome(TurnEnd.MESSAGE)
        return found

    def _sampled(self, ids: list[int]) -> None:
        self._last = None
        for token_id in ids:
            for event in self._conversation.feed(token_id):
                if isinstance(event, ToolCall) and self._tools:
                    self._last = event
                elif isinstance(event, MessageEnd):
                    self._last = self._last or event

    def _appended(self, ids: list[int]) -> None:
        """Write what was appended once more, call by call."""
        conversation, found = self._conversation, self._resumption
        while ids:
            conversation.flush()
            if isinstance(self._last, ToolCall):
                result = next(self._results, None)
                if result is None:
                    raise CannotResume("the journal lacks the result of a call")
                written = conversation.result(result.output)
                found.whole_turns += 1
            elif isinstance(self._last, MessageEnd) and self._asks(ids):
                found.reviewed.append(conversation.answer_text)
                written = conversation.ask(text("review"))
                found.whole_turns += 1
            else:
                written = conversation.force_answer()
                found.forced_at = len(conversation.answer_text)
            if ids[: len(written)] != written:
                raise CannotResume("what was appended is written otherwise now")
            ids, self._last = ids[len(written) :], None

    def _asks(self, ids: list[int]) -> bool:
        return text("review").strip()[:40] in self._vocabulary.decode(ids)
