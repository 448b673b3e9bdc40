"""What a look of the warden shows, how long it may take, and whose turn it is; see test_warden."""

import ctypes
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sandbox.confinement import ending, looking, maps, processes, warden_process
from sandbox.confinement.effort import Effort
from sandbox.confinement.ending import Ending
from sandbox.confinement.looking import Watch, WatchedKernel
from sandbox.confinement.maps import shared_bytes, sizes_can_be_asked
from sandbox.confinement.usage import Held, held_by_descriptors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the warden reads Linux' /proc")

ROOT = Path(__file__).parents[3]
MIB = 1024 * 1024
ME = [os.getpid()]

#: More than any look takes.
LONG = 60.0


def watch(path: Path) -> Watch:
    return Watch(uid=None, brand=1, memory=1 << 40, scratch=1 << 40, file=1 << 40, path=str(path))


def kernel_of(path: Path) -> WatchedKernel:
    return WatchedKernel(watch(path))


class TestShared:
    @pytest.fixture
    def page(self) -> Iterator[None]:
        """8 MiB of shared memory, written, of which one page stays mapped."""
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        length = 8 * MIB
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
        place = library.mmap(None, ctypes.c_size_t(length), 3, flags, -1, ctypes.c_long(0))
        ctypes.memset(place, 1, length)
        library.munmap(ctypes.c_void_p(place + 4096), ctypes.c_size_t(length - 4096))
        yield
        library.munmap(ctypes.c_void_p(place), ctypes.c_size_t(4096))

    @pytest.mark.skipif(not sizes_can_be_asked(), reason="needs root of the machine")
    @pytest.mark.usefixtures("page")
    def test_counts_whole_while_one_page_is_mapped(self) -> None:
        assert 8 * MIB <= shared_bytes(ME, 1 << 40, Effort(LONG)) < 1 << 30

    @pytest.mark.usefixtures("page")
    def test_counts_as_the_longest_where_its_size_is_not_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maps, "_size", lambda *_: None)
        held = shared_bytes(ME, 1 << 40, Effort(LONG))
        assert held >= 1 << 40
        assert held % (1 << 40) == 0

    def test_is_found_by_its_name_too(self) -> None:
        line = "7f00-8f00 rw-s 00000000 00:01 77                         [anon_shmem:a name]"
        assert maps._is_shared_memory(line)
        assert maps._is_shared_memory("7f00-8f00 rw-s 00000000 00:01 7      /dev/zero (deleted)")
        assert not maps._is_shared_memory("7f00-8f00 rw-p 00000000 00:00 0      [anon:a name]")


class TestDescriptors:
    def test_what_sockets_and_pipes_can_hold_counts_once_each(self, tmp_path: Path) -> None:
        before = held_by_descriptors(ME, str(tmp_path), Effort(LONG)).buffers
        reader, writer = os.pipe()
        again = os.dup(writer)
        left, right = socket.socketpair()
        with left, right:
            grown = held_by_descriptors(ME, str(tmp_path), Effort(LONG)).buffers - before
        for descriptor in (reader, writer, again):
            os.close(descriptor)
        assert grown == 65_536 + 2 * 212_992

    def test_a_process_that_shows_nothing_is_noticed(self) -> None:
        program = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from sandbox.confinement.effort import Effort
from sandbox.confinement.usage import held_by_descriptors
from sandbox.inside.identity import become, let_user_inspect
from sandbox.inside.system import control
if os.geteuid() == 0:
    become(50_123, 50_123)
    let_user_inspect()
(ready, is_ready), (done, is_done) = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    control(4, 0)
    os.write(is_ready, b"x")
    os.read(done, 1)
    os._exit(0)
os.read(ready, 1)
both = [os.getpid(), child]
print(*(held_by_descriptors(pids, "/", Effort(60)).hidden for pids in (both, both[:1], both[1:])))
os.write(is_done, b"x")
"""
        # Where none shows itself, it is not the kernel's doing.
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
        )
        assert done.stdout == "1 0 0\n", done.stderr


class TestLookingTooLong:
    def test_ends_a_kernel_after_three_looks_in_a_row(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kernel = kernel_of(tmp_path)
        reasons = []
        # An ordinary look in between forgives.
        for seconds in (-1.0, -1.0, LONG, -1.0, -1.0, -1.0):
            monkeypatch.setattr(looking, "_LONGEST_LOOK_S", seconds)
            reasons.append(kernel.excess(ME, 0))
        assert reasons[:5] == [""] * 5
        assert reasons[5].startswith("too long to look at")

    def test_does_so_where_processes_share_memory_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking, "_LONGEST_LOOK_S", -1.0)
        monkeypatch.setattr(looking, "held_by_descriptors", lambda *_: Held(0, 0, 0))
        kernel = WatchedKernel(watch(tmp_path)._replace(memory=1))
        assert [kernel.excess(ME, 0) for _ in range(2)] == ["", ""]
        assert kernel.excess(ME, 0).startswith("too long to look at")

    def test_hidden_processes_end_a_kernel_likewise(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking, "held_by_descriptors", lambda *_: Held(0, 0, 2))
        kernel = kernel_of(tmp_path)
        reasons = [kernel.excess(ME, 0) for _ in range(3)]
        assert reasons == ["", "", "what cannot be seen, in 2 of 1 processes"]

    def test_does_not_hide_the_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_bytes(bytes(8192))
        monkeypatch.setattr(looking, "_LONGEST_LOOK_S", -1.0)
        kernel = WatchedKernel(watch(tmp_path)._replace(scratch=4096))
        assert kernel.excess(ME, 0) == "more than 4096 bytes in its folder"


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    process_time = monotonic


class TestTurns:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(warden_process, "time", clock)
        monkeypatch.setattr(ending, "time", clock)
        return clock

    @pytest.fixture
    def warden(self) -> Iterator[warden_process.Warden]:
        here, there = socket.socketpair()
        with here, there:
            yield warden_process.Warden(here, None)

    def test_kernels_that_take_long_to_look_at_wait_for_the_others(
        self,
        warden: warden_process.Warden,
        clock: Clock,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kernels = {number: kernel_of(tmp_path) for number in range(5)}
        names = {id(kernel): number for number, kernel in kernels.items()}
        quick, costs = 4, (0.4, 0.4, 0.4, 0.4, 0.001)
        looks: list[int] = []

        def look(kernel: WatchedKernel, *_: object) -> str:
            looks.append(names[id(kernel)])
            clock.now += costs[looks[-1]]
            return ""

        monkeypatch.setattr(WatchedKernel, "excess", look)
        warden._watched.update(kernels)
        for _ in range(40):
            warden._look()
            clock.now += 0.05
        # Once it is known what each costs, the quick one comes between any two of the others.
        known = looks[looks.index(quick) :]
        assert all(quick in pair for pair in pairwise(known)), looks
        assert set(known) == set(kernels)

    def test_memory_that_others_gave_back_is_not_there_to_be_taken(
        self, warden: warden_process.Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        amounts = iter((100, 20, 90))
        growths: list[int] = []

        def look(_: WatchedKernel, __: list[int], growth: int) -> str:
            growths.append(growth)
            return ""

        monkeypatch.setattr(WatchedKernel, "excess", look)
        monkeypatch.setattr(warden_process, "shared_of_machine", lambda: next(amounts))
        for number in range(3):
            warden._watched = {number: kernel_of(tmp_path)}
            warden._look()
        assert growths[-1] == 70

    def test_others_are_looked_at_while_one_ends(
        self, warden: warden_process.Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[WatchedKernel] = []
        kernels = {number: kernel_of(tmp_path) for number in (1, 2)}

        def look(kernel: WatchedKernel, *_: object) -> str:
            looked.append(kernel)
            return ""

        monkeypatch.setattr(WatchedKernel, "excess", look)
        monkeypatch.setattr(Ending, "round", lambda _: None)
        warden._watched.update(kernels)
        warden._breach(1, kernels[1].watch, "too much")
        warden._look()
        assert looked == [kernels[2]]


def test_a_pool_that_has_left_reports_unread_has_ended() -> None:
    here, there = socket.socketpair()
    with here:
        warden = warden_process.Warden(here, None)
        warden._report({"number": 1, "breach": "too much"})
        there.close()
        assert not warden._receive()


class TestEnding:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(ending, "time", clock)
        monkeypatch.setattr(ending, "kill", lambda *_: None)
        monkeypatch.setattr(ending, "_found", lambda _: [1, 2])
        monkeypatch.setattr(ending, "has_ended", lambda _: False)
        return clock

    def rounds(self, clock: Clock, path: Path) -> list[int | None]:
        begun = Ending(watch(path), None, is_awaited=True)
        results = []
        for _ in range(5):
            results.append(begun.round())
            clock.now += 1.1
        return results

    def test_processes_that_give_back_their_memory_do_not_resist(
        self, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ending, "is_ending", lambda _: True)
        assert self.rounds(clock, tmp_path)[:3] == [None, None, 0]

    def test_others_do_after_a_while(
        self, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ending, "is_ending", lambda pid: pid == 1)
        assert self.rounds(clock, tmp_path) == [None, None, None, None, 1]

    def test_which_process_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not processes.is_ending(os.getpid())
        ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert processes.is_ending(ended.pid)
        ended.wait()
        assert processes.is_ending(ended.pid)
        # PF_EXITING, of a process with an odd name that the system is still freeing.
        stat = "7 (a) R 1) R 1 7 7 0 -1 {flags} 100 0 0 0"
        for flags, ends in ((0x400004, True), (0x400000, False)):
            text = stat.format(flags=flags)
            monkeypatch.setattr(processes, "_read", lambda *_, text=text: text)
            assert processes.is_ending(os.getpid()) is ends
