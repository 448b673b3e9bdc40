"""A real gateway with real kernels, whose model is a script that knows the pages' problems.

The script writes the program that a good model would write, has it run, and boxes the last line of
the output that it is shown: so an answer that comes out has gone through the whole server. Where it
is offered no tools it boxes the answer at once.
"""

import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn

from sandbox.pool import KernelPool
from server.api.app import create_app
from server.dialect.qwen import QwenDialect
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.parts import Parts, maybe_open_leases, pool_settings
from server.sections.sandbox import SandboxSettings
from server.settings import Settings
from server.solve.service import open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from tests.server.vocabulary import tiny_models

#: What identifies each problem of the documentation, the program that solves it, and its answer.
SOLUTIONS = (
    ("7^{2024}", "print(pow(7, 2024, 1000))", "401"),
    ("divisors of 360", "from sympy import divisors\nprint(sum(divisors(360)))", "1170"),
    ("prime numbers", "from sympy import primepi\nprint(primepi(100))", "25"),
)
OUTPUT = "```output\n"


def play(vocabulary: Vocabulary, end: int, request: StreamRequest) -> Iterator[Step]:
    """Write the program; once its output is there, the answer."""
    conversation = vocabulary.decode(request.prompt)
    program, answer = next(tuple(rest) for mark, *rest in SOLUTIONS if mark in conversation)
    if "programs" not in conversation.lower():
        yield [*vocabulary.encode(f"The answer is \\boxed{{{answer}}}."), end]
    elif OUTPUT not in conversation:
        yield vocabulary.encode(f"I compute it.\n```python\n{program}\n```")
    else:
        output = conversation.rpartition(OUTPUT)[2].partition("```")[0]
        yield [*vocabulary.encode(f"The answer is \\boxed{{{output.split()[-1]}}}."), end]


#: Says what the model writes: the vocabulary, the id of its turns' end, the request.
Play = Callable[[Vocabulary, int, StreamRequest], Iterator[Step]]


@contextmanager
def running_gateway(folder: Path, play: Play = play) -> Iterator[str]:
    """Serve on a free port of the loopback address, ready to solve; yields the URL."""
    model = folder / "tiny.gguf"
    model.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    vocabulary = Vocabulary.load(model)
    ready = threading.Event()

    @asynccontextmanager
    async def open_scripted(settings: Settings) -> AsyncIterator[Parts]:
        dialect = QwenDialect(vocabulary)
        engine = ScriptedEngine(
            lambda request: play(vocabulary, dialect.end, request),
            vocabulary.size,
            end_ids=dialect.end_ids,
        )
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(KernelPool(pool_settings(settings)))
            await pool.wait_ready()
            parts = SolverParts(engine, dialect, vocabulary, pool)
            service = await stack.enter_async_context(open_service(settings, parts))
            leases = await maybe_open_leases(settings, pool, stack)
            ready.set()
            yield Parts(settings, engine, pool, service, time.monotonic(), leases=leases)

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    app = create_app(Settings(sandbox=SandboxSettings(http=True)), open_scripted)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            assert ready.wait(timeout=50), "the gateway of the documentation's tests is not ready"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            assert not thread.is_alive()
