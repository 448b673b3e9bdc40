"""The warden ends what uses too much, and outlives the pool long enough to end what is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from sandbox.confinement.confinement import Bounds, Confinement
from sandbox.confinement.identities import Identities
from sandbox.confinement.stage import attacking
from sandbox.confinement.warden import open_warden
from sandbox.directory import PoolDirectory
from sandbox.inside.confinement import ConfinementPlan, Mechanism
from sandbox.settings import PoolSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the warden reads Linux' /proc")

MIB = 1024 * 1024

OWN_USER = pytest.param(
    frozenset({Mechanism.IDENTITY}),
    id="own user",
    marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
)
SAME_USER = pytest.param(frozenset({Mechanism.SYSTEM_CALLS}), id="same user")

#: What the victim of attacks does as long as it lives, here a kernel that does nothing.
IDLE = {"secret": "/dev/null"}


@asynccontextmanager
async def confinement_by(
    mechanisms: frozenset[Mechanism], scratch: int = 8 * MIB
) -> AsyncIterator[Confinement]:
    identities = Identities()
    bounds = replace(Bounds.of(PoolSettings()), scratch_bytes=scratch)
    confinement = Confinement(bounds, sys.executable, mechanisms, identities)
    own_uid = identities.draw() if Mechanism.IDENTITY in mechanisms else None
    async with open_warden(own_uid, confinement.note_breach) as warden:
        confinement.use(warden)
        yield confinement


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; the test's time limit is the bound."""
    while not condition():  # noqa: ASYNC110 - it gives no event
        await anyio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fill(folder: Path) -> None:
    (folder / "big").write_bytes(bytes(9 * MIB))


def scatter(folder: Path) -> None:
    for number in range(10):
        (folder / str(number)).write_bytes(bytes(MIB))


def nest(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("x", dir_fd=descriptor)
        deeper = os.open("x", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)


@pytest.mark.parametrize(
    ("misuse", "reason"),
    [
        (fill, "more than 8388608 bytes in its folder"),
        (scatter, "more than 8388608 bytes in its folder"),
        (nest, "folders in folders, more than 100 deep"),
    ],
)
@pytest.mark.parametrize("mechanisms", [SAME_USER])
async def test_a_kernel_whose_folder_grows_too_large_is_ended(
    mechanisms: frozenset[Mechanism], misuse: Callable[[Path], None], reason: str
) -> None:
    async with confinement_by(mechanisms) as confinement, PoolDirectory(None) as pool:
        directory = pool.kernel_directory()
        plan = confinement.plan(directory)
        async with attacking("victim", plan, **IDLE) as kernel:
            assert await kernel.hear("done"), kernel.said
            misuse(directory.home)
            assert await kernel.ended()
            assert await confinement.release(plan) == reason


@pytest.mark.parametrize("mechanisms", [OWN_USER, SAME_USER])
async def test_a_release_ends_daemons_too_and_nobody_else(
    mechanisms: frozenset[Mechanism],
) -> None:
    async with confinement_by(mechanisms) as confinement, PoolDirectory(None) as pool:
        first, second = (confinement.plan(pool.kernel_directory()) for _ in range(2))
        async with (
            attacking("processes", first, count=5) as kernel,
            attacking("victim", second, **IDLE) as sibling,
        ):
            assert await kernel.hear("done"), kernel.said
            assert await sibling.hear("done"), sibling.said
            daemon = kernel.said["daemon"]
            assert is_running(daemon)
            assert await confinement.release(first) == ""
            assert not is_running(daemon)
            assert not is_running(kernel.said["ready"])
            assert is_running(sibling.said["ready"])
            await confinement.release(second)


@pytest.mark.parametrize("mechanisms", [OWN_USER, SAME_USER])
async def test_killing_is_not_waited_for(mechanisms: frozenset[Mechanism]) -> None:
    async with confinement_by(mechanisms) as confinement, PoolDirectory(None) as pool:
        plan = confinement.plan(pool.kernel_directory())
        async with attacking("processes", plan, count=2) as kernel:
            assert await kernel.hear("done"), kernel.said
            confinement.kill_all(plan)
            await until(lambda: not is_running(kernel.said["daemon"]))
            await confinement.release(plan)


async def test_a_lost_warden_is_replaced_and_watches_on() -> None:
    others = set(psutil.Process().children())

    def wardens() -> list[psutil.Process]:
        children = set(psutil.Process().children()) - others
        return [child for child in children if "warden_process" in " ".join(child.cmdline())]

    mechanisms = frozenset({Mechanism.SYSTEM_CALLS})
    async with confinement_by(mechanisms) as confinement, PoolDirectory(None) as pool:
        directory = pool.kernel_directory()
        plan = confinement.plan(directory)
        async with attacking("victim", plan, **IDLE) as kernel:
            assert await kernel.hear("done")
            (warden,) = wardens()
            warden.kill()
            fill(directory.home)
            assert await kernel.ended()
            assert "bytes in its folder" in await confinement.release(plan)
    assert wardens() == []


_POOL = """
import json, sys, anyio
from tests.sandbox.confinement.test_warden import confinement_by
from sandbox.confinement.stage import attacking
from sandbox.directory import PoolDirectory
from sandbox.inside.confinement import Mechanism

async def main():
    mechanisms = frozenset(map(Mechanism, sys.argv[1:]))
    async with confinement_by(mechanisms) as confinement, PoolDirectory(None) as pool:
        plan = confinement.plan(pool.kernel_directory())
        async with attacking("processes", plan, count=3) as kernel:
            assert await kernel.hear("done")
            print(json.dumps([kernel.said["ready"], kernel.said["daemon"]]), flush=True)
            await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.mark.parametrize("mechanisms", [OWN_USER, SAME_USER])
async def test_when_the_pool_is_killed_its_kernels_and_their_daemons_end(
    mechanisms: frozenset[Mechanism],
) -> None:
    pool = subprocess.Popen(  # noqa: ASYNC220 - it is killed, and its end is waited for
        [sys.executable, "-c", _POOL, *mechanisms], stdout=subprocess.PIPE
    )
    assert pool.stdout is not None
    with pool, pool.stdout:
        pids = json.loads(pool.stdout.readline())
        assert all(map(is_running, pids))
        pool.send_signal(signal.SIGKILL)
        pool.wait()
        await until(lambda: not any(map(is_running, pids)))


def test_a_plan_survives_its_way_to_the_kernel() -> None:
    plan = ConfinementPlan(
        home="/h",
        memory_bytes=1,
        file_bytes=2,
        uid=3,
        readable=("/r",),
        mechanisms=(Mechanism.IDENTITY, Mechanism.LANDLOCK),
    )
    assert ConfinementPlan.from_json(plan.to_json()) == plan
    assert Mechanism.MOUNTS not in ConfinementPlan.from_json(plan.to_json()).mechanisms


def test_a_plan_with_fields_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown fields \['colour'\]"):
        ConfinementPlan.from_json('{"home": "/h", "colour": "red"}')


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_user_is_drawn_twice_and_none_that_exists() -> None:
    identities = Identities()
    drawn = [identities.draw() for _ in range(500)]
    assert len(set(drawn)) == 500
    assert not set(drawn) & {process.uids().real for process in psutil.process_iter()}
