"""What the commands show: tables, and transcripts in which nothing can command the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from rich.table import Table
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
from server.journal.reader import StoredAttempt, StoredSolve
from server.journal.retention import Prunable
from server.journal.runs import RunRow

#: Characters of a problem in a listing.
PROBLEM_CHARS = 60
MIB = 2**20

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


def solves_table(solves: Iterable[StoredSolve]) -> Table:
    """Return a listing."""
    table = Table("Solve", "Created", "Problem", "Answer", "End", "Seconds", "Sampled")
    for column in table.columns[-2:]:
        column.justify = "right"
    # The problem gives way on a narrow terminal.
    for number in (0, 1, 4):
        table.columns[number].no_wrap = True
    for solve in solves:
        problem = " ".join((solve.problem or "").split())
        name = f"{solve.problem_id}: " if solve.problem_id else ""
        table.add_row(
            plain(solve.id),
            time_text(solve.created),
            plain(f"{name}{problem}"[:PROBLEM_CHARS]),
            plain(solve.answer),
            solve.outcome or "in flight",
            f"{solve.seconds:.1f}" if solve.seconds is not None else "",
            plain(solve.sampled),
        )
    return table


def attempts_table(attempts: Iterable[StoredAttempt]) -> Table:
    """Return the attempts of a solve."""
    names = ("Attempt", "Answer", "End", "Weight", "Turns", "Calls", "Errors", "Sampled", "Seconds")
    table = Table(*names, "Detail")
    for attempt in attempts:
        table.add_row(
            plain(attempt.attempt if attempt.attempt >= 0 else attempt_name(attempt.attempt)),
            plain(attempt.answer),
            attempt.outcome or "cut off",
            f"{attempt.weight:.2f}" if attempt.weight is not None else "",
            plain(attempt.turns),
            plain(attempt.tool_calls),
            plain(attempt.tool_errors),
            plain(attempt.sampled),
            f"{attempt.seconds:.1f}" if attempt.seconds is not None else "",
            plain(attempt.detail),
        )
    return table


def runs_table(runs: Iterable[RunRow], done: Mapping[str, int]) -> Table:
    """Return a listing of runs; `done` counts the problems of each that have a result."""
    table = Table("Run", "Created", "Name", "Done", "Limit (s)", "Budget", "State")
    for column in table.columns[3:5]:
        column.justify = "right"
    for run in runs:
        state = "open" if run.finished is None else f"finished: {run.reason}"
        table.add_row(
            plain(run.id),
            time_text(run.created),
            plain(run.name),
            f"{done.get(run.id, 0)} of {run.problems}",
            f"{run.limit_s:g}",
            plain(run.budget),
            plain(state),
        )
    return table


def budget_table(decisions: Iterable[BudgetDecided]) -> Table:
    """Return what a run's budget decided on one of its problems."""
    table = Table("After (s)", "May take (s)", "Because", "Run left (s)", "Problems left")
    for column in (*table.columns[:2], *table.columns[3:]):
        column.justify = "right"
    for each in decisions:
        table.add_row(
            f"{each.elapsed_s:.1f}",
            f"{each.limit_s:.1f}",
            plain(each.reason),
            f"{each.left_s:.1f}",
            plain(each.problems_left),
        )
    return table


def prunable_table(solves: Iterable[Prunable]) -> Table:
    """Return what pruning would delete."""
    table = Table("Solve", "Created", "MiB", "Because of its")
    for solve in solves:
        table.add_row(
            plain(solve.solve_id),
            time_text(solve.created),
            f"{solve.size / MIB:.2f}",
            solve.reason,
        )
    return table


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
