"""Signals that come between cells, over every implementation of the pool."""

import anyio
import pytest

from sandbox.lease import KernelLease
from tests.sandbox.pools import output_of, run

_HANDLER = """
import os, signal, subprocess, _thread, threading
calls = []

def too_long(number, frame):
    calls.append(number)
    raise TimeoutError("too long")
"""

_SETTINGS = {
    "a handler of another signal": "signal.signal(signal.SIGUSR1, too_long); number = 'USR1'",
    "a handler of interrupts": "signal.signal(signal.SIGINT, too_long); number = 'INT'",
    "Python's handler": "signal.signal(signal.SIGINT, signal.default_int_handler); number = 'INT'",
    "no handler of interrupts": "signal.signal(signal.SIGINT, signal.SIG_DFL); number = 'INT'",
}
_BY_A_CHILD = """
# When the cell has ended.
command = f"until [ -e left ]; do sleep 0.02; done; kill -{number} {os.getpid()}; touch sent"
child = subprocess.Popen(["sh", "-c", command], start_new_session=True)
timer = threading.Timer(0.1, open, ("left", "x"))
timer.start()
"""


async def _until_sent(kernel: KernelLease) -> None:
    """Look from cell to cell; on a busy machine the signal may come in one of them."""
    with anyio.fail_after(20):
        sent = ""
        while sent != "True\n":
            await anyio.sleep(0.5)
            result = await run(kernel, "os.path.exists('sent')")
            assert not result.state_lost, result
            sent = result.output


@pytest.mark.parametrize("sets", _SETTINGS.values(), ids=_SETTINGS)
async def test_a_signal_between_cells_does_no_harm(kernel: KernelLease, sets: str) -> None:
    await output_of(kernel, f"{_HANDLER}\n{sets}\n{_BY_A_CHILD}")
    await _until_sent(kernel)
    assert await output_of(kernel, "callable(too_long)") == "True\n"


async def test_handlers_are_called_in_later_cells(kernel: KernelLease) -> None:
    await output_of(kernel, f"{_HANDLER}\nsignal.signal(signal.SIGUSR1, too_long);")
    code = "try: signal.raise_signal(signal.SIGUSR1)\nexcept TimeoutError: print(calls)"
    for calls in ("[10]", "[10, 10]"):
        assert await output_of(kernel, code) == f"{calls}\n"
    await output_of(kernel, "signal.signal(signal.SIGUSR1, signal.SIG_IGN);")
    shown = await output_of(kernel, "signal.getsignal(signal.SIGUSR1)")
    assert shown == "<Handlers.SIG_IGN: 1>\n"
