"""The rehearsal as a process of its own: `python -m server.engine.rehearsal.child`.

It speaks SGLang's protocol, so that the gateway works as it does with SGLang. The parent writes one
line of JSON (`ChildConfig`) to standard input and keeps the pipe open; its end is this process'
end, from the first moment: what serves takes seconds to import, and is imported last. One line of
JSON on standard output says the address.
"""

import asyncio
import ctypes
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass

import orjson

from server.errors import QuorumServerError

#: <linux/prctl.h>
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What the child needs; `begun` is of CLOCK_MONOTONIC, `life` counts starts from 1."""

    model_path: str
    dialect: str
    think: bool
    api_key: str
    machine: str
    speed: float
    grain: int
    seed: int
    problems: str
    traces: str
    faults: str
    context_tokens: int
    begun: float
    life: int
    together: bool = True

    def to_line(self) -> bytes:
        """Return the line that `main` reads."""
        return orjson.dumps(asdict(self)) + b"\n"


def main() -> None:
    """Serve until standard input ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    config = ChildConfig(**orjson.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    from server.engine.rehearsal.serving import serve  # noqa: PLC0415 - see above

    try:
        asyncio.run(serve(config))
    except QuorumServerError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


def _exit_at_end_of_input() -> None:
    # Not by `sys.stdin`, whose lock the interpreter's own end would wait for.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
