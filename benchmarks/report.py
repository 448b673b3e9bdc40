"""How a benchmark reports: a table for people, then lines for machines, then its exit code."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `least` or `most` is its target; with neither it is only reported."""

    metric: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def short(self) -> bool:
        """Whether the target is missed; a figure that is not a number misses any."""
        if self.least is not None and not self.value >= self.least:
            return True
        return self.most is not None and not self.value <= self.most

    def line(self) -> str:
        """Return `RESULT metric=value unit target=… ok|short`."""
        targets = [f">={self.least:g}"] if self.least is not None else []
        targets += [f"<={self.most:g}"] if self.most is not None else []
        verdict = "short" if self.short else "ok"
        target = ",".join(targets) or "none"
        return f"RESULT {self.metric}={self.value:.6g} {self.unit} target={target} {verdict}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; the first column is left-aligned, the others right."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def finish(results: Sequence[Result]) -> NoReturn:
    """Print the result lines and exit: 1 when a target is missed."""
    for result in results:
        print(result.line())
    sys.exit(any(result.short for result in results))
