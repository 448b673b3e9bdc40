import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import orjson
import pytest
import typer

from server.preload import residency
from server.preload.ahead import preloading
from server.preload.commands import preload_command
from server.preload.errors import NothingToPreload, PreloadError
from server.preload.memory import available_bytes
from server.preload.plan import cut, find_files
from server.preload.preload import (
    MemoryGuard,
    PreloadEnd,
    PreloadOptions,
    PreloadState,
    describe,
    preload,
)
from server.preload.reader import Tally, read_piece
from server.weights import DEFAULT, weights_folder
from tests.server.preload.cold_files import MIB, make_cold, missing, write_cold

NOTHING_KEPT = PreloadOptions(threads=3, chunk_bytes=5 * MIB, keep_free_bytes=0)
#: Machines with proactive reclaim (DAMON) may take pages back before they are looked at.
TRIES = 3


async def test_cold_files_are_in_the_page_cache_afterwards(tmp_path: Path) -> None:
    files = [write_cold(tmp_path / f"part{n}", 11 * MIB + 17 * n) for n in range(3)]
    left = [1]
    for _ in range(TRIES):
        for file in files:
            make_cold(file)
        states: list[PreloadState] = []
        state = await preload(tmp_path, NOTHING_KEPT, states.append)
        left = [missing(file) for file in files]
        if not any(left):
            break
    total = sum(file.stat().st_size for file in files)
    assert left == [0, 0, 0]
    assert (state.end, state.total, state.resident, state.read) == (
        PreloadEnd.COMPLETE,
        total,
        0,
        total,
    )
    assert states[-1] == state
    assert [one.read for one in states] == sorted(one.read for one in states)


async def test_what_is_resident_is_not_read_again(tmp_path: Path) -> None:
    file = write_cold(tmp_path / "weights", 8 * MIB)
    with file.open("rb") as opened:
        # Without read-ahead exactly these pages come in.
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(opened.fileno(), 2 * MIB, 3 * MIB)
    here = file.stat().st_size - missing(file)
    assert 2 * MIB <= here < 8 * MIB
    state = await preload(file, NOTHING_KEPT)
    assert (state.resident, state.read) == (here, 8 * MIB - here)
    again = await preload(file, NOTHING_KEPT)
    assert (again.resident, again.read) == (8 * MIB, 0)


async def test_it_stops_at_the_limit_of_free_memory_and_says_so(tmp_path: Path) -> None:
    file = write_cold(tmp_path / "weights", 4 * MIB)
    state = await preload(file, PreloadOptions(keep_free_bytes=1 << 60))
    assert state.end is PreloadEnd.MEMORY
    assert state.read == 0
    assert "lower --keep-free" in describe(state)


def test_the_guard_counts_what_the_preload_itself_has_cached() -> None:
    tally = Tally()
    guard = MemoryGuard(tally, keep_free_bytes=100, available=lambda: 1000)
    assert guard.may_go_on()
    tally.add(read=600, resident=299)
    patient = MemoryGuard(tally, keep_free_bytes=100, available=lambda: 1000)
    assert patient.may_go_on()
    tally.add(read=1)
    strict = MemoryGuard(tally, keep_free_bytes=100, available=lambda: 1000)
    assert not strict.may_go_on()
    assert strict.refused


def test_a_container_may_have_less_than_the_machine(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) > MIB
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 400\n")
    assert available_bytes(tmp_path) == 500
    (tmp_path / "memory.stat").write_text("anon 500\nfile 400\nshmem 150\n")
    assert available_bytes(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > MIB


def test_large_files_come_first_and_links_count_once(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / "small").write_bytes(b"s" * 10)
    (blobs / "large").write_bytes(b"l" * 30)
    (blobs / "empty").write_bytes(b"")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "model").symlink_to(blobs / "large")
    (snapshot / "gone").symlink_to(tmp_path / "nowhere")
    (snapshot / "round").symlink_to(snapshot)
    assert [file.stat().st_size for file in find_files(tmp_path)] == [30, 10]


def test_of_a_split_model_all_parts_are_found_by_one(tmp_path: Path) -> None:
    names = [f"a[b]-q4-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    for name in (*names, "a[b]-q8-00001-of-00003.gguf", "ab-q4-00001-of-00003.gguf", "a.gguf"):
        (tmp_path / name).write_bytes(b"x")
    assert [file.name for file in find_files(tmp_path / names[0])] == names
    assert [file.name for file in find_files(tmp_path / "a.gguf")] == ["a.gguf"]


def test_pieces_cover_every_byte_once(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"x" * (3 * residency.PAGE + 5))
    pieces = cut([file], chunk_bytes=residency.PAGE + 1)
    assert [(piece.offset, piece.length) for piece in pieces] == [
        (0, 2 * residency.PAGE),
        (2 * residency.PAGE, residency.PAGE + 5),
    ]


def test_threads_share_a_model_that_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    with file.open("wb") as sparse:
        sparse.truncate(1024 * MIB)
    assert [piece.length for piece in cut([file], threads=8)] == [128 * MIB] * 8
    assert [piece.length for piece in cut([file], 256 * MIB, threads=8)] == [128 * MIB] * 8
    assert [piece.length for piece in cut([file], 96 * MIB, threads=2)][-2:] == [96 * MIB, 64 * MIB]
    os.truncate(file, 100 * MIB)
    assert [piece.length for piece in cut([file], threads=8)] == [64 * MIB, 36 * MIB]


@pytest.mark.parametrize("name", ["nowhere", "empty"])
async def test_a_path_without_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToPreload, match=name):
        await preload(tmp_path / name)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_a_number_of_threads_out_of_range_is_refused(threads: int) -> None:
    with pytest.raises(PreloadError, match="from 1 to 256"):
        PreloadOptions(threads=threads)


async def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = write_cold(tmp_path / "good", 2 * MIB)
    (tmp_path / "bad").write_bytes(b"b" * MIB)
    opened = os.open

    def refuse(path: Path, flags: int) -> int:
        if Path(path).name == "bad":
            raise PermissionError(13, "Permission denied")
        return opened(path, flags)

    monkeypatch.setattr("server.preload.reader.os.open", refuse)
    state = await preload(tmp_path, NOTHING_KEPT)
    assert missing(good) == 0
    assert state.failed == (f"{tmp_path / 'bad'}: Permission denied",)


async def test_what_a_models_folder_lacks_is_named(tmp_path: Path) -> None:
    shard = write_cold(tmp_path / "model-00001-of-00003.safetensors", MIB)
    (tmp_path / "model-00002-of-00003.safetensors").symlink_to(tmp_path / "no such blob")
    names = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    index = {"weight_map": {f"layer.{n}": name for n, name in enumerate(names * 2)}}
    (tmp_path / "model.safetensors.index.json").write_bytes(orjson.dumps(index))
    (tmp_path / "other.safetensors.index.json").write_bytes(b"[]")
    state = await preload(tmp_path, NOTHING_KEPT)
    assert (state.end, missing(shard)) == (PreloadEnd.COMPLETE, 0)
    assert state.failed == (
        f"{tmp_path / names[1]}: the link leads nowhere",
        f"{tmp_path / names[2]}: is missing, model.safetensors.index.json names it",
    )
    assert "model-00003-of-00003.safetensors: is missing" in describe(state)


async def test_it_ends_when_it_is_done_and_not_with_its_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.preload.preload.PROGRESS_EVERY_S", 3600)
    write_cold(tmp_path / "weights", MIB)
    with anyio.fail_after(30):
        assert (await preload(tmp_path, NOTHING_KEPT)).end is PreloadEnd.COMPLETE


def test_of_many_files_some_are_named() -> None:
    failed = tuple(f"file {n}: gone" for n in range(40))
    text = describe(PreloadState(0, 0, 0, 1.0, PreloadEnd.COMPLETE, failed))
    assert text.count("not read: ") == 5
    assert text.endswith("; and 35 more not read")


def test_a_file_that_has_become_shorter_is_an_error_of_its_own(tmp_path: Path) -> None:
    file = write_cold(tmp_path / "weights", 2 * MIB)
    (piece,) = cut([file])
    os.truncate(file, MIB)
    with pytest.raises(OSError, match="shorter"):
        read_piece(piece, Tally(), lambda: True)


def test_a_file_may_become_shorter_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_cold(tmp_path / "weights", 2 * MIB)
    real = mmap.mmap

    def late(*arguments: int, **named: int) -> object:
        os.truncate(file, MIB)
        return real(*arguments, **named)

    (piece,) = cut([file])
    monkeypatch.setattr(mmap, "mmap", late)
    with pytest.raises(OSError, match="shorter"):
        read_piece(piece, Tally(), lambda: True)


@pytest.mark.parametrize("told", [True, False])
async def test_a_file_that_shrinks_while_it_is_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """Where the kernel tells of a file's pages, and where the bytes have to be counted."""
    file = write_cold(tmp_path / "weights", 9 * MIB)
    if not told:
        monkeypatch.setattr(residency, "is_told", lambda _: False)
    monkeypatch.setattr("server.preload.reader._announce", lambda *_: os.truncate(file, MIB))
    state = await preload(file, NOTHING_KEPT)
    assert state.failed == (f"{file}: it has become shorter since it was looked at",)
    assert state.read < 9 * MIB


def test_bytes_that_are_gone_in_the_midst_of_a_step_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_cold(tmp_path / "weights", 9 * MIB)
    monkeypatch.setattr(residency, "is_told", lambda _: False)
    read = os.preadv

    def late(descriptor: int, buffers: list[memoryview], position: int) -> int:
        os.truncate(file, 6 * MIB)
        return read(descriptor, buffers, position)

    monkeypatch.setattr("server.preload.reader.os.preadv", late)
    tally = Tally()
    with pytest.raises(OSError, match="shorter"):
        read_piece(cut([file])[0], tally, lambda: True)
    assert tally.read == 0


def test_nobodys_home_is_refused() -> None:
    with pytest.raises(NothingToPreload, match="no such user's home"):
        find_files(Path("~nobody-of-that-name/model"))


@pytest.mark.parametrize(
    ("name", "reason"), [("n" * 300, "name too long"), ("loop", "symbolic links"), ("\0", "exists")]
)
def test_a_path_that_cannot_be_looked_at_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NothingToPreload, match=f"(?i){reason}"):
        find_files(tmp_path / name)


def test_without_read_ahead_the_bytes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_cold(tmp_path / "weights", 9 * MIB)
    monkeypatch.setattr("server.preload.reader._announce", lambda *_: None)
    tally = Tally()
    read_piece(cut([file])[0], tally, lambda: True)
    assert missing(file) == 0
    assert tally.read == 9 * MIB


def test_where_the_kernel_does_not_tell_everything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_cold(tmp_path / "weights", 9 * MIB)
    monkeypatch.setattr(residency, "is_told", lambda _: False)
    tally = Tally()
    read_piece(cut([file])[0], tally, lambda: True)
    monkeypatch.undo()
    assert missing(file) == 0
    assert tally.read == 9 * MIB


async def test_cancelled_it_stops_its_threads(tmp_path: Path) -> None:
    write_cold(tmp_path / "weights", 64 * MIB)
    before = threading.active_count()
    begun = anyio.Event()
    with anyio.move_on_after(30) as scope:
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await preload(tmp_path, NOTHING_KEPT, lambda _: begun.set())

            group.start_soon(run)
            await begun.wait()
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught
    with anyio.fail_after(30):
        while any(t.name.startswith("AnyIO worker") and _is_reading(t) for t in _threads()):  # noqa: ASYNC110 - no event tells
            await anyio.sleep(0.01)
    assert threading.active_count() <= before + 8


def _threads() -> list[threading.Thread]:
    return list(threading.enumerate())


def _is_reading(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "read_piece":
            return True
        frame = frame.f_back
    return False


async def test_a_failed_preload_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    async with preloading(tmp_path / "nowhere"):
        await anyio.sleep(0.05)


async def test_what_fails_beside_it_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with preloading(tmp_path / "nowhere"):
            raise ZeroDivisionError


async def test_a_server_that_is_ready_first_does_not_wait(tmp_path: Path) -> None:
    file = write_cold(tmp_path / "weights", 4 * MIB)
    for _ in range(TRIES):
        with anyio.move_on_after(15) as waiting:
            async with preloading(file):
                while missing(file):  # noqa: ASYNC110 - no event tells
                    await anyio.sleep(0.01)
        if not waiting.cancelled_caught:
            return
    pytest.fail("the file never came in")


def test_the_command_knows_weights_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path))
    folder = weights_folder()
    with pytest.raises(typer.Exit):
        preload_command(Path(DEFAULT.name))
    assert f"{folder / DEFAULT.file_name}: must be a file" in capsys.readouterr().err
    folder.mkdir(parents=True)
    write_cold(folder / DEFAULT.file_name, MIB)
    preload_command(Path(DEFAULT.name), keep_free=0)
    assert "1.00 of 1.00 MiB in the page cache" in capsys.readouterr().out


def test_the_command_reads_and_reports(tmp_path: Path) -> None:
    file = write_cold(tmp_path / "weights", 3 * MIB)
    command = [sys.executable, "-m", "client.main", "preload"]
    left: list[int] = []
    while len(left) < TRIES and 0 not in left:
        done = subprocess.run(
            [*command, str(file), "--keep-free", "0"],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        left.append(missing(file))
        assert done.returncode == 0, done.stderr
        assert "in the page cache" in done.stdout
    assert 0 in left
    make_cold(file)
    missing_path = subprocess.run(
        [*command, str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert missing_path.returncode == 1
    assert "must be a file or a folder that exists" in missing_path.stderr
