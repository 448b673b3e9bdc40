"""Listing, finding and following, while a server writes."""

import threading
from pathlib import Path

import anyio
import pytest

from server.journal.errors import JournalUnreadable, UnknownSolve
from server.journal.journal import Journal
from server.journal.reader import JournalReader, SolveFilter
from tests.server.journal.stories import options, solve_events

PROBLEMS = {
    "solve-1": "How many primes are below 100?",
    "solve-2": "Найдите 100% of 50_000. Étude",
    "solve-3": "How many PRIMES are below 1000?",
}


@pytest.fixture
def reader(tmp_path: Path) -> JournalReader:
    anyio.run(tell, tmp_path)
    return JournalReader(tmp_path / "journal.sqlite")


async def tell(folder: Path) -> None:
    async with Journal(options(folder)) as journal:
        for solve_id, problem in PROBLEMS.items():
            for event in solve_events(solve_id, journal.next_id, problem=problem):
                journal.append(event)
            await journal.flush()
        for event in list(solve_events("solve-4", journal.next_id))[:5]:
            journal.append(event)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (SolveFilter(), "4321"),
        (SolveFilter(limit=2), "43"),
        (SolveFilter(text="ÉTUDE"), "2"),
        (SolveFilter(text="найдите"), "2"),
        (SolveFilter(text="\x00"), ""),
        (SolveFilter(text="pri\x00"), ""),
        (SolveFilter(text="primes"), "31"),
        (SolveFilter(text="0%"), "2"),
        (SolveFilter(text="0_"), "2"),
        (SolveFilter(problem_id="name of solve-2"), "2"),
        (SolveFilter(answer="42"), "321"),
        (SolveFilter(answer="41"), ""),
        (SolveFilter(outcome="agreement", text="below"), "31"),
        (SolveFilter(outcome=""), "4"),
        (SolveFilter(until=1.0), ""),
        (SolveFilter(since=1.0), "4321"),
    ],
)
def test_filters(reader: JournalReader, wanted: SolveFilter, found: str) -> None:
    with reader:
        assert "".join(solve.id[-1] for solve in reader.solves(wanted)) == found


def test_times_bound_the_listing(reader: JournalReader) -> None:
    with reader:
        second = reader.solve("solve-2").created
        assert {s.id for s in reader.solves(SolveFilter(since=second))} == {
            "solve-2", "solve-3", "solve-4",
        }  # fmt: skip
        assert [s.id for s in reader.solves(SolveFilter(until=second))] == ["solve-1"]


def test_a_solve_is_found_by_its_id_or_a_beginning(reader: JournalReader) -> None:
    with reader:
        assert reader.solve("solve-3").problem == PROBLEMS["solve-3"]
        with pytest.raises(UnknownSolve, match="begins several ids"):
            reader.solve("solve-")
        with pytest.raises(UnknownSolve, match="is not recorded"):
            reader.solve("other")
        assert [attempt.attempt for attempt in reader.attempts("solve-3")] == [0, 1]
        assert reader.attempts("solve-3")[0].outcome == "answered"


def test_views_tell_calls_and_ballots(reader: JournalReader) -> None:
    with reader:
        rows = reader.connection.execute(
            "SELECT call, code, status, output FROM tool_calls "
            "WHERE solve_id = 'solve-1' AND attempt = 1 ORDER BY call"
        ).fetchall()
        assert rows == [(n, "print(6 * 7)", "ok", "42") for n in range(2)]
        rows = reader.connection.execute("SELECT solve_id, stop, reason FROM ballots").fetchall()
        assert rows == [(f"solve-{n}", 1, "agreement") for n in range(1, 4)]


async def test_readers_follow_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    done = threading.Event()
    followed: list[list[int]] = [[], []]
    failures: list[BaseException] = []

    def follow(reader: JournalReader, ids: list[int]) -> None:
        try:
            while True:
                last_look = done.is_set()
                ids += [event.id for event in reader.events(after=ids[-1] if ids else 0)]
                reader.solves(SolveFilter(text="6"))
                if last_look:
                    return
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    async with Journal(options(tmp_path)) as journal:
        # One connection of two threads, and one of its own.
        with JournalReader(path) as shared, JournalReader(path) as other:
            own: list[int] = []
            threads = [
                threading.Thread(target=follow, args=(shared, followed[0])),
                threading.Thread(target=follow, args=(shared, followed[1])),
                threading.Thread(target=follow, args=(other, own)),
            ]
            for thread in threads:
                thread.start()
            written: list[int] = []
            for number in range(20):
                for event in solve_events(f"solve-{number}", journal.next_id):
                    journal.append(event)
                    written.append(event.id)
                assert await journal.flush()
            done.set()
            for thread in threads:
                thread.join(30)
    assert failures == []
    assert followed == [written, written]
    assert own == written


def test_what_is_no_journal_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with pytest.raises(JournalUnreadable, match="there is no such file"):
        JournalReader(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalUnreadable, match=r"damaged .* move the file away"):
        JournalReader(path)
    path.write_bytes(b"")
    with pytest.raises(JournalUnreadable, match="another program's database"):
        JournalReader(path)
