"""What the commands show: tables, and transcripts in which nothing can command the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.cells import cell_len
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
PROBLEM_CHARS = 200
LEAST_PROBLEM_CHARS = 12
#: Of a terminal that shows every column of a listing; the usual one has 80.
WIDE_COLUMNS = 110
#: Of an answer in a listing.
ANSWER_CHARS = 12
#: Month, day, hour and minute of a time.
SHORT_TIME = slice(5, 16)
COLUMNS = ("Solve", "Created", "Problem", "Answer", "End")
PROBLEM = COLUMNS.index("Problem")
NUMBERS = ("Seconds", "Sampled")
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


def solves_table(solves: Iterable[StoredSolve], width: int) -> Table:
    """Return a listing, one line each, for a terminal of so many columns.

    On a narrow one the problem is cut, and what can be had by `show` is left out.
    """
    wide = width >= WIDE_COLUMNS
    names = (*COLUMNS, *(NUMBERS if wide else ()))
    rows = [(*_cells(solve), *_numbers(solve))[: len(names)] for solve in solves]
    if not wide:
        rows = [(row[0], row[1][SHORT_TIME], *row[2:]) for row in rows]
    # The problem alone gives way: the other columns, and three columns around each, are needed.
    needed = [
        max(cell_len(str(cell)) for cell in column) for column in zip(names, *rows, strict=True)
    ]
    left = max(width - sum(needed) + needed[PROBLEM] - 3 * len(names) - 1, LEAST_PROBLEM_CHARS)
    table = Table(box=HEAVY_HEAD if wide else SIMPLE_HEAD)
    for name in names:
        table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
    for row in rows:
        table.add_row(*row[:PROBLEM], _cut(row[PROBLEM], left), *row[PROBLEM + 1 :])
    return table


def _cells(solve: StoredSolve) -> tuple[Text, ...]:
    problem = " ".join((solve.problem or "").split())
    name = f"{solve.problem_id}: " if solve.problem_id else ""
    return (
        plain(solve.id),
        plain(time_text(solve.created)),
        plain(f"{name}{problem}"[:PROBLEM_CHARS]),
        _cut(plain(solve.answer), ANSWER_CHARS),
        plain(solve.outcome or "in flight"),
    )


def _numbers(solve: StoredSolve) -> tuple[Text, ...]:
    seconds = f"{solve.seconds:.1f}" if solve.seconds is not None else None
    return plain(seconds), plain(solve.sampled)


def _cut(text: Text, most: int) -> Text:
    cut = text.copy()
    cut.truncate(most, overflow="ellipsis")
    return cut


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
