"""The whole table, and what it takes to run a row and judge it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from sandbox.confinement.tiers import Guarantee
from sandbox.errors import ConfinementError
from sandbox.forked import ForkedFactory
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from sandbox.types import CellResult
from tests.hostile import (
    compute_rows,
    escape_rows,
    memory_rows,
    output_rows,
    rights_rows,
    tamper_rows,
)
from tests.hostile.canaries import Canaries
from tests.hostile.row import PRELUDE, Row, Then
from tests.sandbox.processes import processes_mentioning, wait_until_gone

ROWS: tuple[Row, ...] = (
    *compute_rows.ROWS,
    *memory_rows.ROWS,
    *output_rows.ROWS,
    *escape_rows.ROWS,
    *rights_rows.ROWS,
    *tamper_rows.ROWS,
)

#: The next lease must come while the table's own pace allows no more than this; it takes about
#: 50 ms on a quiet machine.
NEXT_LEASE_S = 20.0

#: Kernels that were killed are gone with all their processes within this time.
_GONE_S = 10.0

#: What a pristine kernel looks like, in a form that can be compared.
FINGERPRINT = """\
import builtins as _b, gc as _g, math as _m, os as _o, resource as _r, signal as _s, sys as _y
import threading as _t, warnings as _w
_files = 0
for _name in _o.listdir("/proc/self/fd"):
    try:
        # How many connections the client has at the moment is its affair.
        _files += not _o.readlink("/proc/self/fd/" + _name).startswith("socket:")
    except FileNotFoundError:
        pass
print(sorted(name for name in globals() if not name.startswith("_")), sorted(vars(_b)),
      _m.sqrt(16), _m.gcd(4, 6), len([]), sorted(_o.environ), _y.getrecursionlimit(),
      sorted(_o.listdir()), _t.active_count(), type(_y.stdout).__name__, _y.stdout.closed,
      type(_y.displayhook).__name__, _s.getsignal(_s.SIGALRM), _s.getsignal(_s.SIGTERM),
      [_r.getrlimit(kind) for kind in (_r.RLIMIT_AS, _r.RLIMIT_FSIZE, _r.RLIMIT_CPU)],
      _files, _g.isenabled(), _g.get_threshold(), _y.gettrace(),
      len(_w.filters), _o.getcwd() == _o.environ["HOME"], _y.get_int_max_str_digits(),
      # At the weakest tier it is the machine's own, and others use it too.
      sorted(name for name in _o.listdir("/dev/shm") if "hostile" in name)
      if _o.access("/dev/shm", _o.R_OK) else None)
"""


@dataclass(slots=True)
class Tier:
    """A pool at one tier of confinement, with a sibling lease that nothing may touch."""

    pool: KernelPool
    guarantees: frozenset[Guarantee]
    sibling: KernelLease
    targets: dict[str, object]
    sibling_state: str
    pristine: str
    #: Sets of guarantees that a pool here was seen to refuse.
    refused: set[frozenset[Guarantee]] = field(default_factory=set)


@dataclass(slots=True)
class Played:
    """What a row left to judge."""

    results: list[CellResult] = field(default_factory=list)
    after: list[CellResult] = field(default_factory=list)
    home: str = ""


_SIBLING = """\
import os
secret = "the sibling's own"
with open("secret", "w") as file:
    file.write(secret)
def state():
    with open("secret") as file:
        read = file.read()
    return os.getpid(), os.getcwd(), secret, read, sorted(os.listdir()), os.getpriority(0, 0)
state()
"""


@asynccontextmanager
async def open_tier(canaries: Canaries) -> AsyncIterator[Tier]:
    """A pool as it comes up on this machine."""
    settings = PoolSettings(
        kernels=3,
        spares=1,
        startup_code="import math",
        preload=("numpy", "gmpy2"),
        preload_if_installed=(),
        interrupt_grace_s=0.2,
        max_output_chars=2_000,
        memory_limit_bytes=1 << 30,
        file_limit_bytes=64 << 20,
        scratch_limit_bytes=128 << 20,
    )
    async with (
        KernelPool(settings, ForkedFactory) as pool,
        pool.lease(seed=1, owner="sibling") as sibling,
    ):
        state = (await sibling.execute(_SIBLING)).output
        pid, home = re.match(r"\((\d+),\s+'([^']+)'", state).groups()  # type: ignore[union-attr]
        targets = {**canaries.targets(), "sibling": int(pid), "sibling_folder": home}
        async with pool.lease(seed=1, owner="pristine") as lease:
            pristine = (await lease.execute(FINGERPRINT)).output
        guarantees = frozenset(Guarantee) - set(pool.status().not_guaranteed)
        yield Tier(pool, guarantees, sibling, targets, state, pristine)


async def play(tier: Tier, row: Row) -> Played:
    """Run a row in a lease of its own."""
    played = Played()
    async with tier.pool.lease(seed=1, owner=row.name) as lease:
        prelude = PRELUDE.format(targets=repr(tier.targets)) + "marker = 1\nprint(os.getcwd())"
        played.home = (await lease.execute(prelude)).output.strip()
        for code in row.cells:
            played.results.append(await lease.execute(code, row.timeout_s))
        for code in ("'marker' in globals()", "6 * 7"):
            played.after.append(await lease.execute(code, 5.0))
    return played


def judge_state(row: Row, played: Played) -> None:
    """The lease's kernel lives on with its state, or was replaced, as the row says."""
    lost = any(result.state_lost for result in (*played.results, *played.after))
    if row.then is Then.STATE_KEPT:
        assert not lost, played
        assert [result.output for result in played.after] == ["True\n", "42\n"], played
    if row.then is Then.STATE_LOST:
        assert lost, played
        assert [result.output for result in played.after] == ["False\n", "42\n"], played


async def judge_outside(tier: Tier, canaries: Canaries, played: Played) -> None:
    """No canary was touched, no process is left, the sibling is as it was."""
    children = [
        int(pid)
        for result in played.results
        for pid in re.findall(r"^CHILD (\d+)$", result.output, re.MULTILINE)
    ]
    assert all(wait_until_gone(pid, _GONE_S) for pid in children), children
    # HOME is in the environment of the kernel and of what it has started.
    home = f"HOME={played.home}\0"
    with anyio.move_on_after(_GONE_S):
        while processes_mentioning(home):  # noqa: ASYNC110 - other processes send no event
            await anyio.sleep(0.02)
    assert processes_mentioning(home) == []
    assert not any(canaries.secret in result.output for result in played.results)
    assert canaries.harm() == []
    assert (await tier.sibling.execute("state()")).output == tier.sibling_state


async def judge_next(tier: Tier) -> None:
    """The next lease comes at once, and is pristine."""
    with anyio.fail_after(NEXT_LEASE_S):
        async with tier.pool.lease(seed=1, owner="next") as lease:
            assert (await lease.execute("6 * 7")).output == "42\n"
            found = (await lease.execute(FINGERPRINT)).output
            # Word by word: pytest then names the first that differs.
            assert found.split() == tier.pristine.split()


async def judge_refusal(tier: Tier, row: Row) -> None:
    """A pool that requires what the row needs does not open here."""
    missing = row.needs - tier.guarantees
    assert missing
    if row.needs not in tier.refused:
        with pytest.raises(ConfinementError, match=min(missing)):
            async with KernelPool(PoolSettings(require=",".join(sorted(row.needs)))):
                pytest.fail("it requires what does not hold")
        tier.refused.add(row.needs)
