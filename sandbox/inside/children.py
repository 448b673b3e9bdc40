"""Processes that interrupted cells have started: they end too.

An interrupt goes to the kernel's process group. Programs leave it (`timeout` does), or do not heed
it, and would compute on for the rest of the lease.
"""

import os
import signal
import time
from contextlib import suppress

from sandbox.inside.pools import worker_ids

_TASKS = "/proc/self/task"

#: For all of a cell's processes to end, in seconds; one that gives back much memory takes longer,
#: but computes no more.
_END_WAIT_S = 0.5
_PAUSE_S = 0.002


class CellChildren:
    """Knows which children there were before the running cell, and ends an interrupted one's."""

    def __init__(self) -> None:
        self._older: set[int] = set()

    def begin(self) -> None:
        """Note the children that are there before a cell."""
        self._older = _children() if _has_any() else set()

    def end_those_of_the_cell(self) -> None:
        """Kill what the cell has started, but for the workers that its pools have now.

        What a killed process has started comes to this one (`sandbox.inside.identity`): it is
        looked for until there is no more.
        """
        until = time.monotonic() + _END_WAIT_S
        calm = False
        while _has_any() and time.monotonic() < until:
            # In this order: a pool that lives on replaces its workers at any time.
            begun = _children() - self._older
            living = {pid for pid in begun - worker_ids() if not _has_ended(pid)}
            if not living and calm:
                return
            # One that ended after the list was read has left its own children to this process.
            calm = not living
            for pid in living:
                with suppress(OSError):
                    # A child's id is not another's before somebody has waited for it.
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE_S)


def _has_any() -> bool:
    """Whether there are children, by one call: most cells have none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _has_ended(child: int) -> bool:
    """Whether a child has ended, without waiting for it: that is its program's to do."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _children() -> set[int]:
    """Ids of this process' children, by any of its threads; none where Linux has no such lists."""
    found: set[int] = set()
    with suppress(OSError):
        for task in os.listdir(_TASKS):  # noqa: PTH208 - once a cell that has children
            with (
                suppress(OSError),
                open(f"{_TASKS}/{task}/children", encoding="ascii") as children,  # noqa: PTH123
            ):
                found.update(map(int, children.read().split()))
    return found
