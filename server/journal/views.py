"""What the commands show: tables, and transcripts in which nothing can command the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.text import Text

from client.schema import (
    AttemptCall,
    AttemptGap,
    AttemptResult,
    AttemptText,
    AttemptWaiting,
    BudgetDecided,
    Event,
    attempt_name,
)
from server.journal.bounds import MIB
from server.journal.reader import StoredAttempt, StoredSolve
from server.journal.retention import Prunable
from server.journal.runs import RunRow
from server.listing import WIDE_COLUMNS, Row, listing

#: Characters of a problem in a listing.
PROBLEM_CHARS = 200
#: Month, day, hour and minute of a time.
SHORT_TIME = slice(5, 16)

#: Control characters become their pictures (U+2400 ...) or U+FFFD; so do marks that turn the
#: direction of writing. What a model wrote must not move the cursor or rewrite what is above.
VISIBLE = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"},
    **dict.fromkeys(
        [127, *range(128, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD
    ),
}


def plain(text: object) -> Text:
    """Return text to print as it is: no markup, no control characters; nothing for None."""
    return Text("" if text is None else str(text).translate(VISIBLE))


def time_text(seconds: float | None) -> str:
    """Return a time since 1970 as local date and time."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def solves_table(solves: Iterable[StoredSolve], width: int) -> RenderableType:
    """Return a listing for a terminal of so many columns.

    On a narrow one, what can be had by `show` is left out.
    """
    numbers = ("Seconds", "Sampled") if width >= WIDE_COLUMNS else ()
    names = ("Solve", "Created", "Problem", "Answer", "End", *numbers)
    rows = (_solve_row(solve, width)[: len(names)] for solve in solves)
    return listing(names, rows, width, give_way=("Problem", "Answer"), numbers=numbers)


def _solve_row(solve: StoredSolve, width: int) -> Row:
    problem = " ".join((solve.problem or "").split())
    name = f"{solve.problem_id}: " if solve.problem_id else ""
    return (
        plain(solve.id),
        plain(_created(solve.created, width)),
        plain(f"{name}{problem}"[:PROBLEM_CHARS]),
        plain(solve.answer),
        plain(solve.outcome or "in flight"),
        plain(_tenths(solve.seconds)),
        plain(solve.sampled),
    )


def attempts_table(attempts: Iterable[StoredAttempt], width: int) -> RenderableType:
    """Return the attempts of a solve; how each ended in a sentence is in `details`."""
    numbers = ("Weight", "Turns", "Calls", "Errors", "Sampled", "Seconds")
    rows = (
        (
            plain(_name(attempt)),
            plain(attempt.answer),
            plain(attempt.outcome or "cut off"),
            plain(f"{attempt.weight:.2f}" if attempt.weight is not None else None),
            plain(attempt.turns),
            plain(attempt.tool_calls),
            plain(attempt.tool_errors),
            plain(attempt.sampled),
            plain(_tenths(attempt.seconds)),
        )
        for attempt in attempts
    )
    names = ("#", "Answer", "End", *numbers)
    return listing(names, rows, width, give_way=("Answer",), numbers=numbers)


def details(attempts: Iterable[StoredAttempt]) -> Iterator[Text]:
    """Yield how the attempts ended, a line for each way."""
    ways: dict[str, list[str]] = {}
    for attempt in attempts:
        if attempt.detail:
            ways.setdefault(attempt.detail, []).append(_name(attempt))
    for way, names in ways.items():
        yield plain(f"{'attempts' if len(names) > 1 else 'attempt'} {', '.join(names)}: {way}")


def _name(attempt: StoredAttempt) -> str:
    return str(attempt.attempt) if attempt.attempt >= 0 else attempt_name(attempt.attempt)


def runs_table(runs: Iterable[RunRow], done: Mapping[str, int], width: int) -> RenderableType:
    """Return a listing of runs; `done` counts the problems of each that have a result."""
    numbers = ("Done", "Limit (s)")
    rows = (
        (
            plain(run.id),
            plain(_created(run.created, width)),
            plain(run.name),
            plain(f"{done.get(run.id, 0)} of {run.problems}"),
            plain(f"{run.limit_s:.0f}"),
            plain(run.budget),
            plain(_state(run, width)),
        )
        for run in runs
    )
    names = ("Run", "Created", "Name", *numbers, "Budget", "State")
    return listing(names, rows, width, give_way=("Name", "State", "Run"), numbers=numbers)


def _state(run: RunRow, width: int) -> str:
    if run.finished is None:
        return "open"
    return f"finished: {run.reason}" if width >= WIDE_COLUMNS else "finished"


def _created(seconds: float | None, width: int) -> str:
    text = time_text(seconds)
    return text if width >= WIDE_COLUMNS else text[SHORT_TIME]


def _tenths(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f}"


def budget_table(decisions: Iterable[BudgetDecided], width: int) -> RenderableType:
    """Return what a run's budget decided on one of its problems."""
    numbers = ("After (s)", "May take (s)", "Run left (s)", "Problems left")
    rows = (
        (
            plain(f"{each.elapsed_s:.1f}"),
            plain(f"{each.limit_s:.1f}"),
            plain(each.reason),
            plain(f"{each.left_s:.1f}"),
            plain(each.problems_left),
        )
        for each in decisions
    )
    names = (*numbers[:2], "Because", *numbers[2:])
    return listing(names, rows, width, numbers=numbers)


def prunable_table(solves: Iterable[Prunable], width: int) -> RenderableType:
    """Return what pruning would delete."""
    rows = (
        (
            plain(solve.solve_id),
            plain(time_text(solve.created)),
            plain(f"{solve.size / MIB:.2f}"),
            plain(solve.reason),
        )
        for solve in solves
    )
    return listing(("Solve", "Created", "MiB", "Because of its"), rows, width, numbers=("MiB",))


def transcript(events: Iterable[Event]) -> Iterator[Text]:
    """Yield what an attempt wrote, called and was told, in order."""
    for event in events:
        match event:
            case AttemptText():
                yield plain(event.text)
            case AttemptCall():
                yield Text(f"\n[call {event.call}]\n", "bold") + plain(event.code)
            case AttemptResult():
                head = f"\n[result {event.call}: {event.status}, {event.seconds:.2f} s]\n"
                yield Text(head, "bold") + plain(event.output) + "\n"
            case AttemptWaiting():
                yield Text("\n[waiting for the engine] ", "bold") + plain(event.reason) + "\n"
            case AttemptGap():
                yield Text(f"\n[{event.events} events are missing here]\n", "bold")
            case _:
                pass
