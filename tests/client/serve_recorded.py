"""A recorded server as a child process that follows the protocol of `quorum serve`.

--ready-fd N: one line of JSON when listening; --parent-fd N: shut down at its end. What else it is
given chooses a fault: `die` before listening, `die-later` in the first solve, `stubborn` against
SIGTERM, `mute` (never says that it listens), `nonsense` (says something else).
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys

import uvicorn

from tests.client.recorded_server import RecordedServer


class DyingServer(RecordedServer):
    """Dies without a word when it is asked to solve."""

    def _refusal(self, word: str) -> None:
        sys.stderr.write(f"asked to solve {word}: out of memory\n")
        sys.stderr.flush()
        os._exit(9)


async def serve(server: RecordedServer, listener: socket.socket, parent_fd: int) -> None:
    uvicorn_server = uvicorn.Server(
        uvicorn.Config(server.app, lifespan="off", timeout_graceful_shutdown=1)
    )
    loop = asyncio.get_running_loop()

    def parent_is_gone() -> None:
        uvicorn_server.should_exit = True
        loop.remove_reader(parent_fd)

    loop.add_reader(parent_fd, parent_is_gone)
    await uvicorn_server.serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("fault", nargs="?", default="")
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--parent-fd", type=int, required=True)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--ready-after", type=int, default=2)
    options = parser.parse_args()
    if options.fault == "die":
        sys.exit("the weights are missing: run `quorum weights pull`")
    if options.fault in ("mute", "stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.fault == "mute":
        os.read(options.parent_fd, 1)
        return
    kind = DyingServer if options.fault == "die-later" else RecordedServer
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        line = {"url": url, "pid": os.getpid()} if options.fault != "nonsense" else {"hello": 1}
        os.write(options.ready_fd, json.dumps(line).encode() + b"\n")
        os.close(options.ready_fd)
        if options.fault == "stubborn":
            os.read(options.parent_fd, 1)
            return
        server = kind(pace_s=options.pace, ready_after=options.ready_after)
        asyncio.run(serve(server, listener, options.parent_fd))


if __name__ == "__main__":
    main()
