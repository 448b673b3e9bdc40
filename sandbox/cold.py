"""Cold start: every kernel is a fresh Python process."""

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from sandbox.confinement.confinement import Confinement
from sandbox.directory import KernelDirectory, PoolDirectory
from sandbox.environment import kernel_environment
from sandbox.inside.confinement import ConfinementPlan
from sandbox.kernel import Kernel, StartStatus
from sandbox.process import ChildProcess
from sandbox.settings import PoolSettings
from sandbox.starter import KernelStarter
from sandbox.types import StartMethod

_LAUNCHER = Path(__file__).parent / "inside" / "launch.py"


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What `sandbox.inside.launch` reads from its argument; no secret may be among them."""

    parent: int
    directory: str
    connection_file: str
    ready_descriptor: int
    max_output_chars: int
    #: A `sandbox.inside.confinement.ConfinementPlan`, as JSON.
    plan: str


class ColdStartFactory:
    """Starts kernels as children of this process. See `sandbox.kernel.KernelFactory`."""

    def __init__(
        self,
        settings: PoolSettings,
        directory: PoolDirectory,
        starter: KernelStarter | None = None,
    ) -> None:
        """`starter` is another factory's, which is open as long as this one is used."""
        self._settings = settings
        self._starter = starter or KernelStarter(settings, directory)

    async def __aenter__(self) -> Self:
        await self._starter.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._starter.__aexit__(*details)

    async def start(self) -> Kernel:
        """See KernelFactory."""
        return await self._starter.start(self._launch, self._settings.startup_code)

    @property
    def confinement(self) -> Confinement:
        """See KernelFactory."""
        return self._starter.confinement

    def status(self) -> StartStatus:
        """See KernelFactory."""
        return StartStatus(StartMethod.COLD)

    async def _launch(
        self, directory: KernelDirectory, plan: ConfinementPlan, ready_writer: int
    ) -> ChildProcess:
        return ChildProcess(self._spawn(directory, plan, ready_writer))

    def _spawn(
        self, directory: KernelDirectory, plan: ConfinementPlan, ready_writer: int
    ) -> "subprocess.Popen[bytes]":
        settings = self._settings
        options = LaunchOptions(
            parent=os.getpid(),
            directory=str(directory.path),
            connection_file=str(directory.connection_file),
            ready_descriptor=ready_writer,
            max_output_chars=settings.max_output_chars,
            plan=plan.to_json(),
        )
        # -s and -P: neither the user's packages nor the launcher's folder are on the path.
        command = [settings.python, "-s", "-P", str(_LAUNCHER), json.dumps(asdict(options))]
        with directory.start_log.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=directory.home,
                env=kernel_environment(settings, directory),
                pass_fds=(ready_writer,),
                start_new_session=True,
            )
