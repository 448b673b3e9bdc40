"""A solve whose every text is hostile to whoever shows it."""

from collections.abc import Callable, Iterator

from client.schema import (
    AttemptCall,
    AttemptFinished,
    AttemptResult,
    AttemptText,
    BallotChanged,
    BallotLine,
    Channel,
    Event,
    SolveEnd,
    SolveFinished,
    SolveResult,
)
from tests.server.journal.stories import attempt_events, opening, report

SCRIPT = "<script>document.title = 'owned'</script>"
IMAGE = "<img src=x onerror=\"document.title='owned'\">"
TEXTAREA = "</textarea></pre></title></style><b>bold</b>"
FORMULA = r"$\text{<img src=x onerror=alert(1)>}$ and $\href{javascript:alert(1)}{x}$"
ATTRIBUTES = "' \" onmouseover=alert(1) ${7*7} {{ 7*7 }} {% raw %}"
DIRECTIONS = "user\u202egnp.exe \u2066isolated\u2069 \u061c\u200f"
ANSI = "\x1b[31mred\x1b[0m\x07\x08\r\x00\x7f\x9b2J"
PIECES = (SCRIPT, IMAGE, TEXTAREA, FORMULA, ATTRIBUTES, DIRECTIONS, ANSI)
HOSTILE = "\n".join(PIECES)
LONG_LINE = "x" * 1_000_000
SOLVE = "solve-hostile"


def hostile_solve(next_id: Callable[[], int]) -> Iterator[Event]:
    """Yield the events of the solve."""
    yield from opening(SOLVE, next_id, attempts=1, problem=HOSTILE)
    yield from attempt_events(SOLVE, next_id, 0, turns=1)
    whose = {"solve_id": SOLVE, "attempt": 0, "turn": 2}
    for channel, text in ((Channel.THINKING, HOSTILE), (Channel.FINAL, HOSTILE + LONG_LINE)):
        yield AttemptText(id=next_id(), **whose, at=3.0, channel=channel, text=text, sampled=150)
    yield AttemptCall(id=next_id(), **whose, at=3.1, call=1, code=HOSTILE)
    yield AttemptResult(
        id=next_id(), **whose, at=3.2, call=1, status=SCRIPT, output=HOSTILE, seconds=0.1,
        state_lost=True,
    )  # fmt: skip
    ended = report(0, 1).model_copy(update={"answer": HOSTILE, "detail": HOSTILE})
    yield AttemptFinished(id=next_id(), solve_id=SOLVE, at=4.0, attempt=0, report=ended)
    lines = [BallotLine(answer=HOSTILE, votes=1, weight=1.0, attempts=[0])]
    yield BallotChanged(
        id=next_id(), solve_id=SOLVE, at=4.1, lines=lines, running=0, stop=True, reason=HOSTILE
    )
    result = SolveResult(
        solve_id=SOLVE, problem_id=HOSTILE[:200], answer=HOSTILE, end=SolveEnd.ALL_FINISHED,
        detail=HOSTILE, strategy="tir", ballot=lines, attempts=[ended], seconds=4.2,
        model=SCRIPT, sandbox=SCRIPT,
    )  # fmt: skip
    yield SolveFinished(id=next_id(), solve_id=SOLVE, at=4.2, result=result)
