"""Plain Math-Verify in a process of its own, as its documentation uses it: parse, parse, verify."""

import sys
import time
from typing import Any, Self

import anyio
import orjson
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

#: Loading it takes seconds on a busy machine.
START_S = 60.0
MAX_LINE_BYTES = 4096


class Peer:
    """Asks plain Math-Verify; one that takes longer than `limit_s` seconds is killed."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._process: Process | None = None
        self._lines: BufferedByteReceiveStream | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        del details
        await self._kill()

    async def ask(self, one: str, other: str) -> tuple[bool | None, float]:
        """Return what it says (None: nothing in time, or it died) and the seconds it took."""
        if self._process is None:
            await self._start()
        started = time.perf_counter()
        try:
            with anyio.fail_after(self._limit_s):
                await self._send({"one": in_math(one), "other": in_math(other)})
                return bool((await self._receive())["equal"]), time.perf_counter() - started
        except (TimeoutError, anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            await self._kill()
            return None, time.perf_counter() - started

    async def _start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.answer_peer"]
        self._process = await anyio.open_process(command, stderr=None)
        if self._process.stdout is None:
            raise RuntimeError("the peer has no pipes")
        self._lines = BufferedByteReceiveStream(self._process.stdout)
        with anyio.fail_after(START_S):
            await self._receive()

    async def _send(self, question: dict[str, str]) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the peer has no pipes")
        await self._process.stdin.send(orjson.dumps(question) + b"\n")

    async def _receive(self) -> Any:  # noqa: ANN401 - JSON
        if self._lines is None:
            raise RuntimeError("the peer has no pipes")
        return orjson.loads(await self._lines.receive_until(b"\n", MAX_LINE_BYTES))

    async def _kill(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            if process.returncode is None:
                process.kill()
            await process.aclose()


def in_math(text: str) -> str:
    """Return a text as Math-Verify expects it: formulas between dollars."""
    return text if "$" in text or "boxed" in text else f"${text}$"


def main() -> None:
    """Answer questions, one line of JSON each, until standard input ends."""
    from math_verify import parse, verify  # noqa: PLC0415 - only this process loads it

    sys.stdout.buffer.write(b'{"ready": true}\n')
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        question = orjson.loads(line)
        equal = verify(parse(question["one"]), parse(question["other"]))
        sys.stdout.buffer.write(orjson.dumps({"equal": bool(equal)}) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
