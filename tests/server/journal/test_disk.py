"""A disk that is full or slow, and a journal that outgrows its bound: solves go on."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from client.schema import AttemptGap
from server.journal.check import check
from server.journal.errors import JournalUnusable
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from tests.server.journal.disks import fill, mounted
from tests.server.journal.stories import attempt_events, opening, options, solve_events

SOON_S = 15.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 2 MiB."""
    with mounted(tmp_path / "small") as folder:
        yield folder


async def until_error(journal: Journal) -> str:
    with anyio.fail_after(SOON_S):
        while not (error := journal.status().error):  # noqa: ASYNC110 - the writer's own thread
            await anyio.sleep(0.01)
    return error


async def test_a_full_disk_delays_and_loses_nothing(small_disk: Path) -> None:
    filler = small_disk / "filler"
    async with Journal(options(small_disk)) as journal:
        for event in solve_events("solve-before", journal.next_id):
            journal.append(event)
        assert await journal.flush()
        fill(filler)
        events = [
            event
            for number in range(30)
            for event in solve_events(f"solve-{number}", journal.next_id, turns=4)
        ]
        for event in events:
            journal.append(event)
        assert "full" in await until_error(journal)
        assert not await journal.flush(timeout_s=0.5)
        status = journal.part_status()
        assert (status.ready, status.state) == (False, "behind")
        assert f"{len(events)} events behind" in status.detail
        filler.unlink()
        assert await journal.flush(timeout_s=SOON_S)
        assert journal.part_status().state == "on"
        assert journal.status().dropped == 0
    with JournalReader(small_disk / "journal.sqlite") as reader:
        assert list(reader.events(after=events[0].id - 1)) == events
        assert list(check(reader)) == []


async def test_beyond_the_memory_bound_old_tokens_give_way_to_counted_gaps(tmp_path: Path) -> None:
    holder = tmp_path / "journal.sqlite"
    async with Journal(options(tmp_path, max_queued_bytes=900_000)) as journal:
        blocker = sqlite3.connect(holder, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        events = [
            event
            for number in range(20)
            for event in solve_events(f"solve-{number}", journal.next_id, turns=4)
        ]
        for event in events:
            journal.append(event)
            assert journal._backlog._bytes <= 900_000
        assert "locked" in await until_error(journal)
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await journal.flush(timeout_s=SOON_S)
        assert journal.status().dropped > 0
    with JournalReader(holder) as reader:
        stored = list(reader.events())
        gaps = [event for event in stored if isinstance(event, AttemptGap)]
        assert len(stored) - len(gaps) + sum(gap.events for gap in gaps) == len(events)
        assert len(reader.solves()) == 20
        assert {solve.outcome for solve in reader.solves()} == {"agreement"}
        lost = sum(a.lost_tokens for s in reader.solves() for a in reader.attempts(s.id))
        assert lost == sum(gap.tokens for gap in gaps) > 0
        assert list(check(reader)) == []


async def test_one_solve_that_outgrows_the_bound_ends_in_the_journal_too(tmp_path: Path) -> None:
    bound = 400_000
    async with Journal(options(tmp_path, max_size_bytes=bound)) as journal:
        for event in opening("solve-a", journal.next_id):
            journal.append(event)
        for attempt in range(100):
            for event in attempt_events("solve-a", journal.next_id, attempt, turns=20):
                journal.append(event)
            assert await journal.flush()
        assert journal.status().dropped > 0
        assert not journal.status().error
        journal.append(list(solve_events("solve-a", journal.next_id))[-1])
        assert await journal.flush()
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        assert reader.solve("solve-a").outcome == "agreement"
        assert any(isinstance(event, AttemptGap) for event in reader.events())


async def test_an_event_that_cannot_be_stored_holds_up_no_other(tmp_path: Path) -> None:
    async with Journal(options(tmp_path)) as journal:
        events = list(solve_events("solve-a", journal.next_id))
        bad = events[5].model_copy(update={"id": journal.next_id(), "text": "\ud800"})
        twice = events[0]
        for event in (*events, bad, twice):
            journal.append(event)
        assert await journal.flush()
        assert journal.status().dropped == 2
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        assert list(reader.events()) == events


@pytest.mark.anyio
@pytest.mark.parametrize("known", [True, False], ids=["an old journal", "no journal yet"])
async def test_a_disk_that_is_full_before_the_journal_opens_is_said(
    small_disk: Path, known: bool
) -> None:
    """SQLite needs room for the files beside it: the server goes on without a journal."""
    if known:
        async with Journal(options(small_disk)) as journal:
            for event in solve_events("solve-before", journal.next_id):
                journal.append(event)
    filler = small_disk / "filler"
    fill(filler)
    with pytest.raises(JournalUnusable, match="free space"):
        async with Journal(options(small_disk)):
            pass
    filler.unlink()
    async with Journal(options(small_disk)) as journal:
        for event in solve_events("solve-after", journal.next_id):
            journal.append(event)
    with JournalReader(small_disk / "journal.sqlite") as reader:
        assert (reader.find("solve-before") is not None) == known
        assert reader.find("solve-after") is not None
