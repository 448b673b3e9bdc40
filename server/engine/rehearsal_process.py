"""The rehearsal started from the settings, in a supervised process, read as SGLang is."""

import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from server.engine.child_address import read_address
from server.engine.rehearsal.child import ChildConfig
from server.engine.rehearsal.machine import read_machine
from server.engine.sglang import SglangEngine, SglangLimits, running
from server.engine.sglang_http import SglangServer
from server.engine.supervisor import Child, Supervisor
from server.vocabulary import Vocabulary
from server.weights import DEFAULT, model_name

#: The folders of the vocabularies that come with Quorum, by family.
OWN_VOCABULARIES = {
    family: Path(str(files("server.engine.rehearsal") / "vocabularies" / family))
    for family in ("harmony", "qwen")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalOptions:
    """How to rehearse; `speed` is how many times faster than the machine, see the settings."""

    model_path: Path
    limits: SglangLimits
    dialect: str = "auto"
    think: bool = True
    machine: str = "instant"
    speed: float = 1.0
    grain: int = 1
    seed: int = 0
    problems: str = "none"
    traces: str = "none"
    faults: str = "none"
    together: bool = True
    max_restarts: int = 5


def rehearsed_model(name: str) -> Path | None:
    """Return the folder of a vocabulary that comes with Quorum; None for another name.

    The default weights stand for harmony: a rehearsal needs no weights.
    """
    return OWN_VOCABULARIES.get("harmony" if name == DEFAULT.name else name)


@asynccontextmanager
async def open_rehearsal(
    options: RehearsalOptions, vocabulary: Vocabulary
) -> AsyncIterator[SglangEngine]:
    """Run the rehearsal for the length of the block; it gets ready in the background.

    Raises:
        EngineFailed: there is no such machine.
    """
    read_machine(options.machine)
    process = _Process(options, vocabulary)
    async with running(process.engine):
        yield process.engine


class _Process:
    """What one rehearsal's processes share: when it began, and how often it was started."""

    def __init__(self, options: RehearsalOptions, vocabulary: Vocabulary) -> None:
        self._options = options
        self._begun = time.monotonic()
        self._life = 0
        self._key = ""
        model = model_name(options.model_path)
        self.engine = SglangEngine(model, options.limits, vocabulary, alone=True)
        self._name = f"the rehearsal of {options.machine}"
        self.engine.life = Supervisor(
            self._name,
            self._launch,
            self._prepare,
            start_timeout_s=options.limits.start_timeout_s,
            max_restarts=options.max_restarts,
            proof=self.engine.proof,
        )

    def _launch(self) -> tuple[list[str], bytes]:
        options = self._options
        self._life += 1
        self._key = secrets.token_hex(24)
        config = ChildConfig(
            model_path=str(options.model_path),
            dialect=options.dialect,
            think=options.think,
            api_key=self._key,
            machine=options.machine,
            speed=options.speed,
            grain=options.grain,
            seed=options.seed,
            problems=options.problems,
            traces=options.traces,
            faults=options.faults,
            context_tokens=options.limits.context_tokens,
            begun=self._begun,
            life=self._life,
            together=options.together,
        )
        return [sys.executable, "-m", "server.engine.rehearsal.child"], config.to_line()

    async def _prepare(self, child: Child, stack: AsyncExitStack) -> None:
        """Wait for the address, then have the child answer one generation."""
        url = await read_address(child)
        server = SglangServer(self._name, url, self._key, self.engine.life.confirm_death)
        await self.engine.prepare(await stack.enter_async_context(server))
