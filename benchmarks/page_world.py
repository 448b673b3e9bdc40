"""A gateway over a made-up record, whose scripted model writes at a reader's pace."""

import asyncio
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import uvicorn

from benchmarks.page_stories import Teller, record
from client.schema import RunRequest, SolveVersions
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.api.app import create_app
from server.dialect.catalogue import open_dialect
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.journal.journal import Journal, JournalOptions
from server.journal.runs import RunRow
from server.parts import Parts
from server.settings import Settings
from server.solve.service import Recording, open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary


class World:
    """A gateway with a record and a scripted model: what it samples is said by `script`."""

    def __init__(self, folder: Path, vocabulary: Vocabulary, settings: Settings) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.settings = settings
        self.script: Callable[[StreamRequest], Iterator[Step]] = self.paced
        self.parts: Parts | None = None
        self.url = ""
        self.pace_s = 0.02
        self._ended = threading.Event()

    def paced(self, request: StreamRequest) -> Iterator[Step]:
        """Yield a story at a reader's pace: thoughts, a cell, an answer."""
        teller = Teller(lambda: 0, self.vocabulary, random.Random(request.session))
        text = self.vocabulary.decode(request.prompt)
        told = "".join(teller.thought() for _ in range(6))
        if "```output" not in text and "[print" not in text:
            told += "```python\nprint(6 * 110)\n```"
        else:
            told += "So the answer is \\boxed{660}."
        for token_id in self.vocabulary.encode(told):
            yield self.pause(self.pace_s)
            yield [token_id]
        yield [self.vocabulary.control("<|im_end|>")]

    def _play(self, request: StreamRequest) -> Iterator[Step]:
        """Play whatever the script is now."""
        yield from self.script(request)

    def pause(self, seconds: float) -> anyio.Event:
        """Return an event that is set after so many seconds."""
        event = anyio.Event()
        asyncio.get_running_loop().call_later(seconds, event.set)
        return event

    @asynccontextmanager
    async def open_parts(self, settings: Settings) -> AsyncIterator[Parts]:
        """Open what the application is given instead of a model."""
        dialect = open_dialect("auto", self.vocabulary)
        engine = ScriptedEngine(
            self._play, self.vocabulary.size, end_ids=dialect.end_ids,
            context_tokens=65_536, likely=lambda _session: -0.3,
        )  # fmt: skip
        pool_settings = PoolSettings(kernels=4, spares=1)
        async with (
            KernelPool(pool_settings) as pool,
            Journal(JournalOptions(path=settings.journal_path)) as journal,
        ):
            parts = SolverParts(engine, dialect, self.vocabulary, pool)
            versions = SolveVersions(
                quorum="0.1.0", model_file="scripted.gguf", model_bytes=1, prompts="5f" * 32,
                settings={},
            )  # fmt: skip
            async with open_service(settings, parts, Recording(journal, versions)) as service:
                self.parts = Parts(settings, engine, pool, service, time.monotonic(), journal)
                yield self.parts

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port of the loopback address; yields the URL."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            app = create_app(self.settings, self.open_parts)
            config = uvicorn.Config(
                app, log_config=None, lifespan="on", timeout_graceful_shutdown=2
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError("the gateway did not start; its log says why")
                time.sleep(0.01)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                yield self.url
            finally:
                server.should_exit = True
                thread.join(timeout=10)


def contest(created: float) -> RunRow:
    """Return a run that has gone on for forty minutes."""
    request = RunRequest(id="contest", name="Rehearsal of a contest", problems=8, limit_s=7200.0)
    return RunRow(
        id="contest", created=created, name=request.name, problems=8, limit_s=7200.0,
        budget="adaptive", request=request.model_dump_json(exclude_unset=True), elapsed_s=2400.0,
        boot="none", boot_s=0.0, wall=created,
    )  # fmt: skip


async def tell(path: Path, vocabulary: Vocabulary, *, long: bool = False) -> None:
    """Write the record into a journal."""
    async with Journal(JournalOptions(path=path)) as journal:
        journal.put_run(contest(time.time()))
        teller = Teller(journal.next_id, vocabulary, run="contest")
        stories = [record(teller), *([teller.long()] if long else [])]
        for story in stories:
            for event in story:
                journal.append(event)
            await journal.flush()
