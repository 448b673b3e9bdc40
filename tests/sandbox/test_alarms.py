"""Alarms that cells set and forget, over every implementation of the pool."""

import signal

import anyio
import pytest

from sandbox.inside.alarms import CellAlarm
from sandbox.lease import KernelLease
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run

RAISING = """
import signal, time

def too_long(*_):
    raise TimeoutError("too long")

signal.signal(signal.SIGALRM, too_long)
x = 5
"""


@pytest.mark.parametrize("before", [RAISING, "import signal\nx = 5"])
async def test_an_alarm_that_is_due_between_cells_does_no_harm(
    kernel: KernelLease, before: str
) -> None:
    await output_of(kernel, f"{before}\nsignal.setitimer(signal.ITIMER_REAL, 0.01);")
    # Nothing tells when an alarm is over that never goes off.
    await anyio.sleep(0.2)
    assert await output_of(kernel, "x") == "5\n"


async def test_an_alarm_that_is_due_in_a_later_cell_goes_off_there(kernel: KernelLease) -> None:
    await output_of(kernel, f"{RAISING}\nsignal.setitimer(signal.ITIMER_REAL, 2);")
    result = await run(kernel, "time.sleep(60)", timeout=30)
    assert (result.status, result.error_name) == (CellStatus.ERROR, "TimeoutError")
    assert await output_of(kernel, "signal.getitimer(signal.ITIMER_REAL), x") == "((0.0, 0.0), 5)\n"


async def test_a_repeated_alarm_goes_on_in_later_cells(kernel: KernelLease) -> None:
    code = """
        import signal
        calls = []
        signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05);
    """
    await output_of(kernel, code)
    await anyio.sleep(0.2)
    await output_of(kernel, "calls.clear()\nwhile len(calls) < 3: pass")
    await output_of(kernel, "signal.setitimer(signal.ITIMER_REAL, 0);")


@pytest.mark.parametrize("clock", [signal.ITIMER_VIRTUAL, signal.ITIMER_PROF])
def test_clocks_of_computing_time_stand_still_between_cells(clock: int) -> None:
    alarm = CellAlarm()
    with alarm.in_cell():
        signal.setitimer(clock, 1000.0, 2.0)
    assert signal.getitimer(clock) == (0.0, 0.0)
    for _ in range(2):
        with alarm.in_cell():
            left_s, interval_s = signal.getitimer(clock)
        assert 0 < left_s <= 1001
        assert interval_s == pytest.approx(2.0, abs=0.1)
    with alarm.in_cell():
        signal.setitimer(clock, 0)
    with alarm.in_cell():
        assert signal.getitimer(clock) == (0.0, 0.0)
