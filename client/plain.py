"""A solve as plain lines, for pipes and logs: one line an event of interest."""

from collections.abc import Callable

from client.escape import one_line
from client.schema import (
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptResult,
    AttemptWaiting,
    BallotChanged,
    Event,
    SolveFinished,
    SolveQueued,
    SolveResult,
    SolveStarted,
    attempt_name,
)

#: Characters of code or output that a line shows.
EXCERPT_CHARS = 80


def line_of(event: Event) -> str | None:
    """Return the line of an event, without its end; None: the event is not of interest."""
    text = _solve_line(event) or _attempt_line(event)
    return None if text is None else f"[{event.at:7.1f} s] {text}"


def _solve_line(event: Event) -> str | None:
    match event:
        case SolveQueued():
            return f"queued, {event.position} ahead" if event.position else "accepted"
        case SolveStarted():
            return one_line(
                f"started: {event.attempts} attempts, stops at {event.agree} equal answers, "
                f"{event.time_limit_s:g} s, {event.strategy}, {event.model}"
            )
        case BallotChanged():
            votes = ", ".join(f"{one_line(line.answer)}: {line.votes}" for line in event.lines)
            reason = one_line(event.reason.replace("_", " "))
            return f"ballot {votes or 'empty'}" + (f" ({reason})" if reason else "")
        case SolveFinished():
            return verdict(event.result)
        case _:
            return None


def _attempt_line(event: Event) -> str | None:
    match event:
        case AttemptCall():
            what = f"runs code: {_excerpt(event.code)}"
        case AttemptResult():
            lost = ", state lost" if event.state_lost else ""
            what = f"{event.status} in {event.seconds:.2f} s{lost}: {_excerpt(event.output)}"
        case AttemptWaiting():
            what = f"waits, keeping {event.kept_tokens:,} tokens: {event.reason}"
        case AttemptFinished():
            report = event.report
            ended = "no answer" if report.answer is None else f"answer {report.answer}"
            ended = "written" if report.end is AttemptEnd.PLANNED else ended
            what = f"{ended} ({report.end.value}, {report.tokens.sampled:,} tokens)"
            if report.answer is None and report.detail and report.end is not AttemptEnd.PLANNED:
                what += f": {report.detail}"
        case _:
            return None
    return one_line(f"{attempt_name(event.attempt)} {what}")


def _excerpt(text: str) -> str:
    """Return the last line that says something, shortened."""
    lines = [line for line in map(one_line, text.splitlines()) if line]
    last = lines[-1] if lines else "(nothing)"
    return last if len(last) <= EXCERPT_CHARS else last[: EXCERPT_CHARS - 1] + "…"


def verdict(result: SolveResult) -> str:
    """Say how a solve came out in one line."""
    votes = next((line.votes for line in result.ballot if line.answer == result.answer), 0)
    answer = "no answer" if result.answer is None else f"answer {result.answer}"
    return one_line(
        f"{answer}: {votes} of {len(result.attempts)} votes, {result.tokens.sampled:,} tokens, "
        f"{result.seconds:.1f} s; {result.end.value.replace('_', ' ')}"
        + (f" ({result.detail})" if result.detail else "")
    )


def plain_reporter(write_line: Callable[[str], None]) -> Callable[[Event], None]:
    """Return an observer that writes the lines."""

    def observe(event: Event) -> None:
        line = line_of(event)
        if line is not None:
            write_line(line)

    return observe
