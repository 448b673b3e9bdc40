"""A gateway in a process of its own, to be killed: a real journal and kernels, a scripted model.

    python -m tests.server.runs.mortal FOLDER PORT

The model sets x, prints 17, thinks, and (once the file `go` is in the folder) prints x * 7 and
answers with what that printed. A problem that says `[quick]` is answered at once: 5. With the file
`one` in the folder one problem is solved at a time.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import uvicorn

from sandbox.pool import KernelPool
from server.api.app import create_app
from server.dialect.catalogue import open_dialect
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.journal.versions import versions_of
from server.parts import Parts, open_journal
from server.runs.opening import open_runs
from server.sections.gateway import GatewaySettings
from server.sections.journal import JournalSettings
from server.sections.solve import SolveSettings
from server.settings import Settings
from server.solve.service import Recording, open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from tests.sandbox.pools import lean_settings

FIRST = "```python\nx = 6\nprint(17)\n```"
SECOND = "```python\nprint(x * 7)\n```"
THOUGHT = "Now I think about it. "


def settings_of(folder: Path) -> Settings:
    """Return settings whose state is in the folder."""
    return Settings(
        gateway=GatewaySettings(max_running=1 if (folder / "one").exists() else 4),
        solve=SolveSettings(attempts=2, agree=2),
        journal=JournalSettings(path=str(folder / "journal.sqlite")),
    )


class Mortal:
    """Opens the parts of the gateway."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vocabulary = Vocabulary.load(folder / "tiny.gguf")
        self.parts: Parts | None = None

    @asynccontextmanager
    async def open_parts(self, settings: Settings) -> AsyncIterator[Parts]:
        """Open them as `server.parts.open_parts` does, but for the engine."""
        vocabulary = self._vocabulary
        dialect = open_dialect("auto", vocabulary)
        engine = ScriptedEngine(self._script, vocabulary.size, end_ids=dialect.end_ids)
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(KernelPool(lean_settings(kernels=4, spares=2)))
            journal, _ = await open_journal(settings, stack)
            assert journal is not None
            recording = Recording(journal, versions_of(settings, self._folder / "tiny.gguf"))
            parts = SolverParts(engine, dialect, vocabulary, pool)
            service = await stack.enter_async_context(open_service(settings, parts, recording))
            opened = open_runs(settings, service, journal, settings.fallback_path)
            runs = await stack.enter_async_context(opened)
            self.parts = Parts(settings, engine, pool, service, 0.0, journal, runs=runs)
            yield self.parts

    def _script(self, request: StreamRequest) -> Iterator[Step]:
        encode = self._vocabulary.encode
        told = self._vocabulary.decode(request.prompt)
        end = [self._vocabulary.control("<|im_end|>")]
        outputs = told.count("```output")
        if "[quick]" in told:
            yield encode("So the answer is \\boxed{5}.")
            yield end
        elif outputs == 0:
            yield encode(FIRST)
        elif outputs == 1:
            yield encode(THOUGHT)
            if not (self._folder / "go").exists():
                for number in range(1_000):
                    # Each time something else: a model that repeats itself is made to answer.
                    yield encode(f"so so {number * 7919 % 1000}, ")
                    yield _in_a_moment()
            yield encode(f"\n{SECOND}")
        else:
            answer = told.rsplit("```output\n", 1)[1].partition("\n")[0]
            yield encode(f"So the answer is \\boxed{{{answer}}}.")
            yield end


def _in_a_moment() -> anyio.Event:
    """Return an event that is set soon: the narrator sends tokens as others come."""
    event = anyio.Event()
    asyncio.get_running_loop().call_later(0.05, event.set)
    return event


class Server(uvicorn.Server):
    """Ends the solves before the connections, as `quorum serve` does."""

    def __init__(self, config: uvicorn.Config, mortal: Mortal) -> None:
        super().__init__(config)
        self._mortal = mortal

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._mortal.parts is not None:
            self._mortal.parts.close()
        await super().shutdown(sockets)


async def _serve(folder: Path, port: int) -> None:
    mortal = Mortal(folder)
    app = create_app(settings_of(folder), mortal.open_parts)
    config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=5)
    await Server(config, mortal).serve()


if __name__ == "__main__":
    anyio.run(_serve, Path(sys.argv[1]), int(sys.argv[2]))
