"""Runs the attack program under a plan and hears what it says."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from sandbox.inside.confinement import ConfinementPlan
from sandbox.process import ChildProcess, wait_readable

_PROGRAM = Path(__file__).with_name("attack.py")

#: An attack takes a tenth of a second; where it takes so long, nothing it shows can be relied on.
_LIMIT_S = 20.0


class Attack:
    """A running attack. `said` holds its words so far, all lines together."""

    def __init__(self, process: ChildProcess, output: int) -> None:
        self._process = process
        self._output = output
        self._pending = b""
        self.said: dict[str, Any] = {}
        #: Attacks that were successful, by guarantee.
        self.successes: dict[str, list[str]] = {}

    async def hear(self, word: str) -> bool:
        """Listen until it says this word; False when it ends, or takes too long, before that."""
        with anyio.move_on_after(_LIMIT_S):
            while word not in self.said:
                await wait_readable([self._output, self._process.exit_descriptor])
                if not self._read() and self._process.has_exited():
                    break
        return word in self.said

    async def ended(self) -> bool:
        """Wait for its end; False when that takes too long."""
        with anyio.move_on_after(_LIMIT_S):
            await wait_readable([self._process.exit_descriptor])
        return self._process.has_exited()

    def _read(self) -> bool:
        """Take in what there is; False where that is nothing."""
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._note(line)
        return bool(data)

    def _note(self, line: bytes) -> None:
        try:
            words = json.loads(line)
        except ValueError:
            # An error that Python reports: the program then ends without having said more.
            self.said["error"] = line.decode(errors="replace")
            return
        if "success" in words:
            self.successes.setdefault(words["guarantee"], []).append(words["success"])
        else:
            self.said |= words


@asynccontextmanager
async def attacking(role: str, plan: ConfinementPlan, **options: object) -> AsyncIterator[Attack]:
    """Run one role of the attack program, under a plan; kills it in the end."""
    argument = {"plan": plan.to_json(), "parent": os.getpid(), "role": role, "needed": []}
    argument |= {"own_sockets": [], **options}
    output, output_writer = os.pipe()
    try:
        os.set_blocking(output, False)
        try:
            process = ChildProcess(_spawn(json.dumps(argument), output_writer))
        finally:
            os.close(output_writer)
        try:
            yield Attack(process, output)
        finally:
            await process.aclose()
    finally:
        os.close(output)


def _spawn(argument: str, output: int) -> "subprocess.Popen[bytes]":
    # Else its thread may reserve 64 MiB of the address space, and the attack on memory finds none.
    environment = {"MALLOC_ARENA_MAX": "1"}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_PROGRAM), argument],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,
    )
