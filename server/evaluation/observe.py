"""How an evaluation goes, on a terminal and elsewhere: done, accuracy so far, its interval."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from scipy import stats

from server.evaluation.run import ArmTally, Standing
from server.journal.views import VISIBLE


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Have the log's warnings on standard error for the block: standard output is the report's."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def live(tally: ArmTally) -> str:
    """Return an arm's accuracy so far with Wilson's 95 % interval."""
    if not tally.problems:
        return "-"
    found = stats.binomtest(tally.votes_right, tally.problems).proportion_ci(method="wilson")
    return (
        f"{tally.votes_right} of {tally.problems} right, "
        f"{100 * tally.votes_right / tally.problems:.0f} % "
        f"({100 * found.low:.0f} to {100 * found.high:.0f})"
    )


class ProgressObserver:
    """A bar on standard error where that is a terminal, else a line for each problem."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bars.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, standing: Standing) -> None:
        """Show how much there is to do."""
        self._update(standing)
        if standing.done and not self._console.is_terminal:
            sys.stderr.write(f"{standing.done} of {standing.total} problems are done already\n")

    def note(self, line: str, standing: Standing) -> None:
        """Show a problem that is done."""
        shown = line.translate(VISIBLE)
        if self._console.is_terminal:
            self._bars.console.print(Text(shown), soft_wrap=True)
        else:
            sys.stderr.write(f"[{standing.done}/{standing.total}] {shown}\n")
            sys.stderr.flush()
        self._update(standing)

    def _update(self, standing: Standing) -> None:
        arms = [f"{name}: {live(tally)}" for name, tally in standing.arms.items() if tally.problems]
        self._bars.update(
            self._task, total=standing.total, completed=standing.done, description="; ".join(arms)
        )
