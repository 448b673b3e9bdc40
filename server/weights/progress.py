"""Shows a pull on a terminal: bytes, speed, time left; elsewhere only what is worth a line."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from server.weights.observer import Observer


class ProgressBar(Observer):
    """An observer that draws on standard error; a context manager that leaves a clean line."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._done = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def note(self, sentence: str) -> None:
        """Print one line above the bar."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def begin(self, label: str, total_bytes: int, done_bytes: int) -> None:
        """Show a new bar; what was done before does not count as speed."""
        self.end()
        if not self._console.is_terminal:
            self.note(label)
        self._done = done_bytes
        self._task = self._progress.add_task(label, total=total_bytes, completed=done_bytes)

    def at(self, done_bytes: int) -> None:
        """Move the bar, forward only: parts that wait for their turn are counted roughly."""
        self._done = max(self._done, done_bytes)
        if self._task is not None:
            self._progress.update(self._task, completed=self._done)

    def end(self) -> None:
        """Remove the bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
