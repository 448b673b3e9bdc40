"""A gateway with a page: real journal, kernels and solve loop, a scripted model, told solves."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from client.schema import Event
from sandbox.pool import KernelPool
from server.api.app import create_app
from server.dialect.catalogue import open_dialect
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.journal.journal import Journal
from server.parts import Parts
from server.runs.opening import open_runs
from server.settings import Settings
from server.solve.service import Recording, open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from tests.sandbox.pools import lean_settings
from tests.server.api.gateway import listening, wait_until
from tests.server.journal.stories import VERSIONS, options

Story = Callable[[Callable[[], int]], Iterable[Event]]


@dataclass
class World:
    """The gateway, on a thread of its own. A problem with `[wait]` waits for `go`."""

    folder: Path
    vocabulary: Vocabulary
    settings: Settings
    url: str = ""
    parts: list[Parts] = field(default_factory=list)
    waiting: list[anyio.Event] = field(default_factory=list)

    @property
    def journal(self) -> Journal:
        journal = self.parts[0].journal
        assert journal is not None
        return journal

    def tell(self, story: Story) -> None:
        """Have the journal hold a story's events."""
        last = None
        for last in story(self.journal.next_id):
            self.journal.append(last)
        assert last is not None
        wait_until(lambda: not self.journal.status().queued)

    def go(self) -> None:
        """Let the model go on."""
        wait_until(lambda: bool(self.waiting))
        for event in self.waiting:
            event.set()
        self.waiting.clear()

    def idle(self) -> bool:
        service = self.parts[0].service
        assert service is not None
        return not service.live()

    @asynccontextmanager
    async def open_parts(self, settings: Settings) -> AsyncIterator[Parts]:
        dialect = open_dialect("auto", self.vocabulary)
        engine = ScriptedEngine(
            self._script, self.vocabulary.size, end_ids=dialect.end_ids, context_tokens=65_536,
            likely=lambda _session: -0.1,
        )  # fmt: skip
        async with (
            KernelPool(lean_settings(kernels=2, spares=1)) as pool,
            Journal(options(self.folder)) as journal,
        ):
            parts = SolverParts(engine, dialect, self.vocabulary, pool)
            recording = Recording(journal, VERSIONS)
            async with (
                open_service(settings, parts, recording) as service,
                open_runs(settings, service, journal) as runs,
            ):
                now = time.monotonic()
                parts_of = Parts(settings, engine, pool, service, now, journal, runs=runs)
                self.parts.append(parts_of)
                yield self.parts[0]

    def _script(self, request: StreamRequest) -> Iterator[Step]:
        encode = self.vocabulary.encode
        text = self.vocabulary.decode(request.prompt)
        if "```output" not in text:
            yield encode("Let me see: $6 \\cdot 7$. ")
        if "[wait]" in text and "```output" not in text:
            event = anyio.Event()
            self.waiting.append(event)
            yield event
        if "```output" not in text:
            yield encode("I compute.\n```python\nprint(6 * 7)\n```")
        yield encode("So the answer is \\boxed{42}.")
        yield [self.vocabulary.control("<|im_end|>")]


@contextmanager
def page_world(folder: Path, vocabulary: Vocabulary, settings: Settings) -> Iterator[World]:
    """Serve a world; yields it once its address is known."""
    world = World(folder, vocabulary, settings)
    with listening(create_app(settings, world.open_parts)) as world.url:
        yield world
