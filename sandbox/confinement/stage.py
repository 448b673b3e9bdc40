"""Runs the attack program under a plan and hears what it says."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from sandbox.inside.confinement import ConfinementPlan

_PROGRAM = Path(__file__).with_name("attack.py")

#: An attack takes a tenth of a second; where it takes so long, nothing it shows can be relied on.
_LIMIT_S = 20.0

#: A line of the program is much shorter.
_LONGEST_LINE = 65536


class Attack:
    """A running attack. `said` holds its words so far, all lines together."""

    def __init__(self, process: Process) -> None:
        self._process = process
        if process.stdout is None:
            raise ValueError("attack without standard output: open it with a pipe")
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.said: dict[str, Any] = {}
        #: Attacks that were successful, by guarantee.
        self.successes: dict[str, list[str]] = {}

    async def hear(self, word: str) -> bool:
        """Listen until it says this word; False when it ends, or takes too long, before that."""
        with anyio.move_on_after(_LIMIT_S):
            while word not in self.said:
                try:
                    line = await self._lines.receive_until(b"\n", _LONGEST_LINE)
                except (anyio.EndOfStream, anyio.IncompleteRead):
                    return False
                self._note(line)
        return word in self.said

    async def ended(self) -> bool:
        """Wait for its end; False when that takes too long."""
        with anyio.move_on_after(_LIMIT_S):
            await self._process.wait()
            return True
        return False

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
    """Run one role of the attack program, under a plan; kills its first process at the end."""
    argument = {"plan": plan.to_json(), "parent": os.getpid(), "role": role, "needed": []}
    argument |= {"own_sockets": [], **options}
    command = [sys.executable, "-I", "-S", str(_PROGRAM), json.dumps(argument)]
    process = await anyio.open_process(
        command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env={}, start_new_session=True
    )
    try:
        yield Attack(process)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LIMIT_S):
            if process.returncode is None:
                process.kill()
            await process.aclose()
