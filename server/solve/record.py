"""An attempt's tokens: one list that only grows, in segments that say where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from client.schema import SegmentKind, TokenCounts


@dataclass(slots=True)
class Segment:
    """Ids `start` … of the list, all sampled or all appended.

    `logprobs` is empty where the engine was not asked for them; else it has one natural-log
    probability for each id, None where the engine lost it. `confidence` likewise: minus the mean
    log-probability of the likeliest tokens at each place.
    """

    kind: SegmentKind
    start: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    confidence: list[float | None] = field(default_factory=list)


class TokenRecord:
    """The list and its segments. Nothing is ever taken off or changed."""

    def __init__(self, opening: Sequence[int]) -> None:
        self.ids: list[int] = list(opening)
        self.segments = [Segment(SegmentKind.APPENDED, 0, list(opening))]
        self.sampled = 0
        self.exact = True
        self._opening = len(opening)

    def restore(self, opening: int, segments: Sequence[Segment]) -> None:
        """Become the list of these segments; its first `opening` ids are the prompt's."""
        self.ids, self.segments, self.sampled = [], [], 0
        for segment in segments:
            segment.start = len(self.ids)
            self.ids += segment.ids
            self.segments.append(segment)
            self.sampled += len(segment.ids) if segment.kind is SegmentKind.SAMPLED else 0
        self._opening = opening

    def sample(
        self, token_id: int, logprob: float | None = None, confidence: float | None = None
    ) -> None:
        """Add one sampled id."""
        segment = self.segments[-1]
        if segment.kind is not SegmentKind.SAMPLED:
            segment = self._segment(SegmentKind.SAMPLED)
        self.ids.append(token_id)
        ids = segment.ids
        if logprob is not None or segment.logprobs:
            _note(segment.logprobs, logprob, len(ids))
        if confidence is not None or segment.confidence:
            _note(segment.confidence, confidence, len(ids))
        ids.append(token_id)
        self.sampled += 1

    def append(self, ids: Sequence[int]) -> None:
        """Add ids that the model did not sample."""
        self._segment(SegmentKind.APPENDED).ids.extend(ids)
        self.ids.extend(ids)

    def counts(self) -> TokenCounts:
        """Return how many tokens are the opening's, sampled, and appended later."""
        return TokenCounts(
            prompt=self._opening,
            sampled=self.sampled,
            appended=len(self.ids) - self._opening - self.sampled,
        )

    def _segment(self, kind: SegmentKind) -> Segment:
        last = self.segments[-1]
        if last.kind is kind:
            return last
        segment = Segment(kind, len(self.ids))
        self.segments.append(segment)
        return segment


def _note(numbers: list[float | None], number: float | None, before: int) -> None:
    """Add an id's number to a list; those of so many ids before it that lack one were not told."""
    if len(numbers) != before:
        numbers += [None] * (before - len(numbers))
    numbers.append(number)
