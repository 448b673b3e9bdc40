"""A journal that cannot be had at the start: nothing waits for it, and nothing is lost."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from client.schema import Event
from server.journal.check import check
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from tests.server.journal.disks import fill, mounted
from tests.server.journal.stories import opening, options, solve_events

SOON_S = 15.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 2 MiB."""
    with mounted(tmp_path / "small") as folder:
        yield folder


def tell(journal: Journal, solve_id: str) -> list[Event]:
    """Append a solve, and return its events."""
    events = list(solve_events(solve_id, journal.next_id))
    for event in events:
        journal.append(event)
    return events


async def opened(journal: Journal) -> None:
    with anyio.fail_after(SOON_S):
        await journal.wait_open()
    assert await journal.flush()


async def test_a_journal_that_another_server_holds_is_taken_up_once_that_ends(
    tmp_path: Path,
) -> None:
    other = AsyncExitStack()
    first = await other.enter_async_context(Journal(options(tmp_path)))
    async with Journal(options(tmp_path, patient=True)) as second:
        assert not second.is_open
        events = tell(second, "solve-second")
        assert not await second.flush(), "nobody knows when: nothing waits"
        status = second.part_status()
        assert (status.ready, status.state) == (False, "behind")
        assert f"{len(events)} events behind" in status.detail
        assert "only one may; set QUORUM_JOURNAL_PATH" in status.detail
        for event in opening("solve-cut", first.next_id):
            first.append(event)
        await other.aclose()
        await opened(second)
        assert second.part_status().state == "on"
        assert [solve.solve_id for solve in second.unfinished()] == ["solve-cut"]
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        assert list(reader.events(solve_id="solve-second")) == events


async def test_ids_that_both_gave_out_are_given_anew(tmp_path: Path) -> None:
    other = AsyncExitStack()
    first = await other.enter_async_context(Journal(options(tmp_path)))
    async with Journal(options(tmp_path, patient=True)) as second:
        earlier = tell(second, "solve-second")
        # It began before, and has told more events than microseconds lie between the two.
        first._last_id = earlier[0].id - 1
        tell(first, "solve-first")
        await other.aclose()
        await opened(second)
        assert second.status().dropped == 0
        last = tell(second, "solve-third")[0].id
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        stored = list(reader.events(solve_id="solve-second"))
        assert [event.type for event in stored] == [event.type for event in earlier]
        assert earlier[-1].id < stored[0].id < stored[-1].id < last
        assert list(check(reader)) == []


@pytest.mark.parametrize("known", [True, False], ids=["an old journal", "no journal yet"])
async def test_a_disk_that_was_full_at_the_start_and_has_room_later(
    small_disk: Path, known: bool
) -> None:
    if known:
        async with Journal(options(small_disk)) as journal:
            tell(journal, "solve-before")
    filler = small_disk / "filler"
    fill(filler)
    async with Journal(options(small_disk, patient=True)) as journal:
        events = tell(journal, "solve-meanwhile")
        assert "free space" in journal.part_status().detail
        filler.unlink()
        await opened(journal)
        assert journal.part_status().state == "on"
    with JournalReader(small_disk / "journal.sqlite") as reader:
        assert list(reader.events(solve_id="solve-meanwhile")) == events
        assert (reader.find("solve-before") is not None) == known


async def test_what_waits_at_the_end_is_written_where_that_has_become_possible(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    path.mkdir()
    async with Journal(options(tmp_path, patient=True)) as journal:
        assert not journal.is_open
        events = tell(journal, "solve-a")
        path.rmdir()
    with JournalReader(path) as reader:
        assert list(reader.events()) == events


async def test_what_is_set_aside_is_said_also_where_no_new_file_can_be_begun(
    small_disk: Path,
) -> None:
    (small_disk / "journal.sqlite").write_text(
        "this is no database, however long it may be\n" * 100
    )
    filler = small_disk / "filler"
    fill(filler)
    async with Journal(options(small_disk, patient=True)) as journal:
        assert "set aside: journal.sqlite.damaged-" in journal.part_status().detail
        filler.unlink()
        await opened(journal)
        (kept,) = journal.status().set_aside
        assert kept.read_text().startswith("this is no database")
