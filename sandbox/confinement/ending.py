"""The end of all processes of a kernel, whatever they do against it.

A kernel's processes are found by their user where it has one of its own, else by the brand that
they carry (`sandbox.inside.limits`). Neither can be shed. Standard library only, like
`sandbox.confinement.processes`.
"""

import os
import signal
import time
from contextlib import suppress

from sandbox.confinement.looking import Watch
from sandbox.confinement.processes import (
    all_pids,
    brand_of,
    has_ended,
    is_ending,
    real_user_of,
)

#: Processes that give back their memory are waited for so long, though they run no more: the next
#: kernel needs it. Seconds; 4 GiB take one.
_ENDING_WAIT_S = 2.0
#: Those that sit in a call that nothing interrupts, so long; the pool's side waits a little longer.
_RESISTING_WAIT_S = 4.0

#: Rounds of signalling, each of which reaches all that there is and was not reached yet.
_ROUNDS = 50


class Ending:
    """The end of one kernel's processes, which takes several rounds of killing."""

    def __init__(self, watch: Watch, own_uid: int | None, *, is_awaited: bool) -> None:
        self._watch = watch
        self._own_uid = own_uid
        self._begin = time.monotonic()
        #: Whether the pool is to hear of it.
        self.is_awaited = is_awaited

    def round(self) -> int | None:
        """Kill what is left; returns how many processes resist, or None before that is known."""
        kill(self._watch, self._own_uid)
        left = [pid for pid in _found(self._watch) if not has_ended(pid)]
        if not left:
            return 0
        waited = time.monotonic() - self._begin
        if waited < _ENDING_WAIT_S:
            return None
        resisting = [pid for pid in left if not is_ending(pid)]
        return len(resisting) if not resisting or waited > _RESISTING_WAIT_S else None


def kill(watch: Watch, own_uid: int | None) -> None:
    """Send SIGKILL to all processes of a kernel, as far as one round reaches them.

    Args:
        watch: whose they are.
        own_uid: a user id that nobody else is, where kernels have users of their own.
    """
    if watch.uid is not None and own_uid is not None:
        _kill_user(watch.uid, own_uid)
    elif watch.brand is not None:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            _signal_branded(watch.brand, number)


def _kill_user(uid: int, own_uid: int) -> None:
    """SIGKILL to all of a user's processes at once: what is being forked does not escape.

    The child that sends it may, by its effective user, but is of a user whom they cannot signal.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresuid(own_uid, uid, own_uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _signal_branded(brand: int, number: signal.Signals) -> None:
    """Signal all processes with a brand, also those forked meanwhile."""
    signalled: set[int] = set()
    for _ in range(_ROUNDS):
        found = {pid for pid in all_pids() if brand_of(pid) == brand} - signalled
        if not found:
            return
        for pid in found:
            with suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    # Read again: until now the id could have become another's.
                    if brand_of(pid) == brand:
                        signal.pidfd_send_signal(descriptor, number)
                finally:
                    os.close(descriptor)
        signalled |= found


def _found(watch: Watch) -> list[int]:
    if watch.uid is not None:
        return [pid for pid in all_pids() if real_user_of(pid) == watch.uid]
    return [pid for pid in all_pids() if watch.brand and brand_of(pid) == watch.brand]
