"""The clock of a file of problems: a run of the server, which must not outlive its command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from client.batch import InvalidFile
from client.errors import QuorumClientError, RequestRefused
from client.http import AsyncQuorumClient
from client.schema import RunRequest

#: Seconds for ending what runs of a run as the command ends.
CANCEL_S = 3.0


class RunNote:
    """The name of the run at work, in a small file beside the results until the run is ended."""

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(f"{out.name}.run")

    def read(self) -> str | None:
        """Return the name of a run that nobody ended; None where there is none."""
        try:
            return self.path.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            # Most often there is none. At worst its run takes its share of the engine to its end.
            return None

    def write(self, run_id: str) -> None:
        """Keep the name of a run; raises `InvalidFile`."""
        try:
            self.path.write_text(f"{run_id}\n", encoding="utf-8")
        except OSError as error:
            raise InvalidFile(
                f"{self.path}: cannot be written ({error.strerror or error}); "
                "free some space, or name another file for the results"
            ) from error

    def remove(self) -> None:
        """Forget the run. A note that stays does no harm: its run is ended already."""
        with suppress(OSError):
            self.path.unlink()


@dataclass(frozen=True, slots=True)
class BatchClock:
    """The run of the problems of a file, if they have a clock, and the note of it."""

    note: RunNote
    request: RunRequest | None

    @asynccontextmanager
    async def running(self, client: AsyncQuorumClient) -> AsyncIterator[str | None]:
        """Open the run and yield its name; at the end cancel its rest. None without a clock.

        The run of an earlier call that could not be ended, as its server was away, is ended first:
        its solves would take the engine from those of this call.
        """
        await self._end_former(client)
        if self.request is None or self.request.id is None:
            yield None
            return
        # Before the run is there: whatever ends this process, the next call finds it.
        self.note.write(self.request.id)
        run = await client.runs.open(self.request)
        try:
            yield run.id
        finally:
            # Solves of a run go on without their caller: an interrupt must end them.
            with anyio.move_on_after(CANCEL_S, shield=True), suppress(QuorumClientError):
                await client.runs.cancel(run.id)
                self.note.remove()

    async def _end_former(self, client: AsyncQuorumClient) -> None:
        former = self.note.read()
        if former is None:
            return
        # Refused: another server's, or gone from this one.
        with suppress(RequestRefused):
            await client.runs.cancel(former)
        self.note.remove()
