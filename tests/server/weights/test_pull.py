"""Pulling from files and other plain sources: resuming, checking, locking, failing."""

import hashlib
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from server.weights import (
    CacheUnusable,
    DiskFull,
    KnownWeights,
    Observer,
    PullFailed,
    PullInProgress,
    SourceUnavailable,
    UnknownModel,
    WeightsDamaged,
    pull,
    resolve,
)
from server.weights.lock import exclusive
from tests.server.weights.conftest import CONTENT, KNOWN, WEIGHTS, Listener


class Bytes:
    """A source that gives these bytes, then perhaps fails."""

    scratch_bytes = 0

    def __init__(self, content: bytes = CONTENT, label: str = "bytes", error: str = "") -> None:
        self.label = label
        self.offsets: list[int] = []
        self._content = content
        self._error = error

    def chunks(
        self, weights: KnownWeights, offset: int, observer: Observer
    ) -> Generator[bytes, None, None]:
        del weights, observer
        self.offsets.append(offset)
        for start in range(offset, len(self._content), 1000):
            yield self._content[start : start + 1000]
        if self._error:
            raise SourceUnavailable(self._error)


def test_a_given_file_is_copied(tmp_path: Path, folder: Path) -> None:
    given = tmp_path / "given.bin"
    given.write_bytes(CONTENT)
    listener = Listener()
    fetched = pull("tiny", path=given, folder=folder, known=KNOWN, observer=listener)
    assert fetched.read_bytes() == CONTENT == given.read_bytes()
    assert listener.positions[-1] == len(CONTENT)
    assert resolve("tiny", folder=folder, known=KNOWN) == fetched
    assert not list(folder.glob("*.partial"))


def test_a_given_file_must_be_the_published_one(tmp_path: Path, folder: Path) -> None:
    given = tmp_path / "given.bin"
    with pytest.raises(WeightsDamaged, match="no such file; give the path of tiny"):
        pull("tiny", path=given, folder=folder, known=KNOWN)
    given.write_bytes(CONTENT[1:])
    with pytest.raises(WeightsDamaged, match=r"holds 132,071 bytes .*; give the whole file"):
        pull("tiny", path=given, folder=folder, known=KNOWN)
    given.write_bytes(CONTENT[1:] + b"x")
    with pytest.raises(PullFailed, match=r"gave other bytes than published .*, now removed"):
        pull("tiny", path=given, folder=folder, known=KNOWN)
    assert sum(path.stat().st_size for path in folder.glob("*.partial")) == 0


def test_an_unknown_name_is_refused(folder: Path) -> None:
    with pytest.raises(UnknownModel, match="weights 'other': must be one of tiny"):
        pull("other", folder=folder, known=KNOWN)


def test_weights_that_are_here_are_not_fetched_again(folder: Path) -> None:
    pull("tiny", folder=folder, known=KNOWN, sources=[Bytes()])
    unused = Bytes()
    pull("tiny", folder=folder, known=KNOWN, sources=[unused])
    assert unused.offsets == []


def test_a_damaged_file_is_replaced(folder: Path) -> None:
    fetched = pull("tiny", folder=folder, known=KNOWN, sources=[Bytes()])
    fetched.write_bytes(CONTENT[:5000])
    listener = Listener()
    pull("tiny", folder=folder, known=KNOWN, sources=[Bytes()], observer=listener)
    assert fetched.read_bytes() == CONTENT
    assert "fetching it again" in listener.notes[0]


def test_the_next_source_goes_on_where_the_first_stopped(folder: Path) -> None:
    first = Bytes(CONTENT[:4000], "first", "line cut")
    second = Bytes(label="second")
    listener = Listener()
    fetched = pull("tiny", folder=folder, known=KNOWN, sources=[first, second], observer=listener)
    assert fetched.read_bytes() == CONTENT
    assert second.offsets == [4000]
    assert listener.notes == ["first: line cut"]
    assert listener.steps == [("from first", 0), ("from second", 4000)]


def test_a_later_pull_goes_on_where_the_first_stopped(folder: Path) -> None:
    with pytest.raises(PullFailed, match=r"\(first: line cut\); 4\.0 kB are kept; connect this"):
        pull(
            "tiny",
            folder=folder,
            known=KNOWN,
            sources=[Bytes(CONTENT[:4000], "first", "line cut")],
        )
    second = Bytes()
    assert pull("tiny", folder=folder, known=KNOWN, sources=[second]).read_bytes() == CONTENT
    assert second.offsets == [4000]


@pytest.mark.parametrize("left", [b"x" * 4000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_damaged_beginning_is_fetched_again(folder: Path, left: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "tiny.gguf.partial").write_bytes(left)
    source = Bytes()
    assert pull("tiny", folder=folder, known=KNOWN, sources=[source]).read_bytes() == CONTENT
    assert source.offsets[-1] == 0


def test_wrong_bytes_are_never_published(folder: Path) -> None:
    wrong = Bytes(bytes(len(CONTENT)), "wrong")
    long = Bytes(CONTENT + b"x", "long")
    short = Bytes(CONTENT[:-1], "short")
    with pytest.raises(
        PullFailed, match=r"wrong: gave other bytes .*short: ended 1 bytes early; long: gave more"
    ):
        pull("tiny", folder=folder, known=KNOWN, sources=[wrong, short, long])
    assert not (folder / "tiny.gguf").exists()


def test_too_little_space_is_seen_before_anything_is_fetched(folder: Path) -> None:
    huge = replace(WEIGHTS, size_bytes=10**18)
    source = Bytes()
    with pytest.raises(DiskFull, match=r"1000000000\.0 GB are needed, .* are free; free some"):
        pull("tiny", folder=folder, known={"tiny": huge}, sources=[source])
    assert source.offsets == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheUnusable, match="set QUORUM_CACHE to another folder"):
        pull("tiny", folder=tmp_path / "file" / "weights", known=KNOWN, sources=[Bytes()])


def test_a_second_pull_is_refused_when_it_may_not_wait(folder: Path) -> None:
    folder.mkdir(parents=True)
    lock = folder / "tiny.gguf.lock"
    with (
        exclusive(lock, 0, Observer()),
        pytest.raises(PullInProgress, match=r"held by process \d+, .*; wait for it or end it"),
    ):
        pull("tiny", folder=folder, known=KNOWN, sources=[Bytes()], lock_wait_s=0)


def test_a_second_pull_waits_and_uses_what_the_first_fetched(folder: Path) -> None:
    started, second_waits = threading.Event(), threading.Event()

    class Slow(Bytes):
        def chunks(
            self, weights: KnownWeights, offset: int, observer: Observer
        ) -> Generator[bytes, None, None]:
            started.set()
            assert second_waits.wait(20)
            yield from super().chunks(weights, offset, observer)

    class Waiting(Observer):
        def note(self, sentence: str) -> None:
            assert "another pull is under way" in sentence
            second_waits.set()

    unused = Bytes()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pull, "tiny", folder=folder, known=KNOWN, sources=[Slow()])
        assert started.wait(20)
        second = threads.submit(
            pull, "tiny", folder=folder, known=KNOWN, sources=[unused], observer=Waiting()
        )
        assert first.result(20) == second.result(20)
    assert unused.offsets == []
    assert hashlib.sha256(second.result().read_bytes()).hexdigest() == WEIGHTS.sha256
