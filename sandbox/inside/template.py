"""The template process: imports mathematics once, then forks a kernel for each request.

Run by its path with one argument, a file of JSON (`sandbox.template.TemplateOptions`). Requests and
replies are messages of JSON over a socket of its own:

- `{"request": 7, "kernel": {…}}` comes with the descriptors of the ready pipe and the start log;
  the reply is `{"request": 7, "pid": 99}` with a pidfd, or `{"request": 7, "error": "…"}`.
- `{"exited": 99, "code": -9}` tells the end of a kernel. It stays a zombie, so that its id cannot
  become another process's, until the pool has cleaned up behind it and says `{"reap": 99}`.
"""

import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

#: More than any request, which holds paths, limits and an environment.
_REQUEST_BYTES = 1 << 18

#: Descriptors that come with a request: the ready pipe's, and the start log's.
_REQUEST_DESCRIPTORS = 2

#: Rounds of looking for what was forked while its forker was killed.
_KILL_ROUNDS = 100

#: `sandbox.inside.child.run_kernel`.
RunKernel = Callable[[int, dict[str, Any], list[int], ModuleType], None]


class Template:
    """Forks kernels from what this process has imported, until the pool closes the socket."""

    def __init__(self, control: socket.socket, module: ModuleType, run_kernel: RunKernel) -> None:
        self._control = control
        self._module = module
        self._run_kernel = run_kernel
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        #: Ids of the kernels that run, by their pidfds.
        self._running: dict[int, int] = {}
        #: Kernels that have ended, and keep their ids until the pool says "reap".
        self._ended: set[int] = set()
        #: Kernels to be reaped as soon as they end, untold.
        self._released: set[int] = set()

    def serve(self) -> None:
        """Fork and reap; returns when the pool is gone."""
        while True:
            for descriptor, _ in self._poller.poll():
                if descriptor != self._control.fileno():
                    self._note_exit(descriptor)
                elif not self._serve_request():
                    return

    def _serve_request(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(
            self._control, _REQUEST_BYTES, _REQUEST_DESCRIPTORS
        )
        if not data:
            return False
        message = json.loads(data)
        try:
            if "reap" in message:
                self._reap(message["reap"])
            else:
                self._fork(message["request"], message["kernel"], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, request: int, kernel: dict[str, Any], descriptors: list[int]) -> None:
        template = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                self._become_kernel(template, kernel, descriptors)
            pidfd = self._watch(pid)
        except OSError as error:
            self._send({"request": request, "error": str(error)})
            return
        answer = json.dumps({"request": request, "pid": pid}).encode()
        socket.send_fds(self._control, [answer], [pidfd])

    def _watch(self, pid: int) -> int:
        try:
            # Not reaped, the process cannot have left its id to another one.
            pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._running[pidfd] = pid
        self._poller.register(pidfd, select.POLLIN)
        return pidfd

    def _become_kernel(
        self, template: int, kernel: dict[str, Any], descriptors: list[int]
    ) -> NoReturn:
        """In the child: all the way to the kernel's end."""
        code = 1
        try:
            # Its descriptor is about to be another's, which its finaliser would close.
            self._control.close()
            self._run_kernel(template, kernel, descriptors, self._module)
            code = 0
        except BaseException:  # noqa: BLE001 - reported, and the process ends
            traceback.print_exc()
        # Without the interpreter's finalisation: it would run what cells have registered.
        os._exit(code)

    def _note_exit(self, pidfd: int) -> None:
        pid = self._running.pop(pidfd)
        self._poller.unregister(pidfd)
        os.close(pidfd)
        if pid in self._released:
            self._released.discard(pid)
            os.waitpid(pid, 0)
        elif (end := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)) is not None:
            self._ended.add(pid)
            code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
            self._send({"exited": pid, "code": code})
        self._kill_strays()

    def _reap(self, pid: int) -> None:
        if pid in self._ended:
            self._ended.discard(pid)
            os.waitpid(pid, 0)
        elif pid in self._running.values():
            # SIGKILL has not ended it: it sits in a system call, for which nobody can wait.
            self._released.add(pid)
        self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill what kernels have left: a process without a parent comes to this one."""
        ours = {*self._running.values(), *self._ended}
        for _ in range(_KILL_ROUNDS):
            strays = _children() - ours
            if not strays:
                return
            for pid in strays:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    # One that cannot be ended now is met again at the next kernel's end.
                    os.waitpid(pid, os.WNOHANG)

    def _send(self, message: dict[str, Any]) -> None:
        self._control.send(json.dumps(message).encode())


def _children() -> set[int]:
    pid = os.getpid()
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        # A Linux without such lists: what confinement cannot reach there stays.
        return set()
    return {int(word) for word in children.split()}


def main() -> None:
    """Read the options, import, and serve."""
    # debugpy costs 130 ms and threads; ipykernel does without where it cannot be imported.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    root = str(Path(__file__).resolve().parent.parent.parent)
    sys.path.insert(0, root)
    from sandbox.inside.child import run_kernel  # noqa: PLC0415
    from sandbox.inside.identity import tie_to_parent  # noqa: PLC0415 - found in the folder above
    from sandbox.inside.preparation import PreparationError, prepare  # noqa: PLC0415

    sys.path.remove(root)
    options = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tie_to_parent(options["parent"])
    # The terminal's interrupt is the pool's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=options["control"])
    begin = time.monotonic()
    try:
        prepared = prepare(options)
    except PreparationError as error:
        failure = {"failed": error.kind, "subject": error.subject, "message": str(error)}
        control.send(json.dumps(failure).encode())
        return
    ready = {"ready": time.monotonic() - begin, "import_seconds": prepared.import_seconds}
    control.send(json.dumps(ready).encode())
    Template(control, prepared.module, run_kernel).serve()


if __name__ == "__main__":
    main()
