"""A solve of one attempt with very many tokens, spelled by a vocabulary."""

from collections.abc import Callable, Iterator

from client.schema import (
    AttemptFinished,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    Channel,
    Event,
    SegmentKind,
    SolveEnd,
    SolveFinished,
    SolveResult,
    TokenCounts,
)
from server.vocabulary import Vocabulary
from tests.server.journal.stories import opening, report

LONG = "solve-long"
PARAGRAPH = "We count the solutions of x + y = 12 with digits; naïve, so 数学 and 😀 too.\n"
#: Tokens of a segment, as the narrator sends them at 100 a second.
SEGMENT = 400


def long_solve(
    next_id: Callable[[], int], vocabulary: Vocabulary, tokens: int, name: str = LONG, end: str = ""
) -> Iterator[Event]:
    """Yield the events; the model is `scripted`, as the one that is served.

    `end` follows each paragraph: a blank line makes passages.
    """
    for event in opening(name, next_id, attempts=1, problem="How long is this?"):
        started = event.type == "solve.started"
        yield event.model_copy(update={"model": "scripted"}) if started else event
    whose = {"solve_id": name, "attempt": 0}
    yield AttemptStarted(
        id=next_id(), **whose, at=0.1, seed=7, temperature=0.7, top_p=0.95, min_p=0.0
    )
    unit = vocabulary.encode(PARAGRAPH + end)
    ids = (unit * (tokens // len(unit) + 1))[:tokens]
    for start in range(0, tokens, SEGMENT):
        part = ids[start : start + SEGMENT]
        yield AttemptText(
            id=next_id(), **whose, at=1.0, turn=start // 20_000, channel=Channel.THINKING,
            text=(PARAGRAPH + end) * (SEGMENT // len(unit)), sampled=start + len(part),
        )  # fmt: skip
        yield AttemptSegment(
            id=next_id(), **whose, at=1.0, turn=start // 20_000, kind=SegmentKind.SAMPLED,
            start=start, token_ids=part, logprobs=[-(i % 50) / 10 for i in range(len(part))],
        )  # fmt: skip
    counts = TokenCounts(sampled=tokens)
    ended = report(0).model_copy(update={"tokens": counts, "tool_calls": 0})
    yield AttemptFinished(id=next_id(), solve_id=name, at=9.0, attempt=0, report=ended)
    result = SolveResult(
        solve_id=name, answer="42", end=SolveEnd.ALL_FINISHED, detail="it ended",
        strategy="tir", attempts=[ended], tokens=counts, seconds=9.0, model="scripted",
    )  # fmt: skip
    yield SolveFinished(id=next_id(), solve_id=name, at=9.0, result=result)
