# ruff: noqa: ASYNC240 - small files of the tests' own
"""Whatever lies where the journal should be: a server gets one, and nothing is lost."""

import errno
import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from server.journal.errors import JournalInUse, JournalUnreadable, JournalUnusable
from server.journal.file import Defect, JournalFile
from server.journal.journal import Journal
from server.journal.migrations import APPLICATION_ID, migrate, schema_version, scripts
from server.journal.reader import JournalReader
from tests.server.journal.conftest import SOLVES
from tests.server.journal.stories import options, solve_events

#: A user without rights, where the tests run as root.
NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def write_and_count(folder: Path) -> int:
    """Open the journal, record one more solve, and return how many are listed."""
    async with Journal(options(folder)) as journal:
        for event in solve_events("solve-new", journal.next_id):
            journal.append(event)
        assert await journal.flush()
    with JournalReader(folder / "journal.sqlite") as reader:
        return len(reader.solves())


async def test_a_missing_journal_is_begun_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "quorum"
    async with Journal(options(folder)) as journal:
        for event in solve_events("solve-a", journal.next_id):
            journal.append(event)
        await journal.flush()
        assert mode(folder) == 0o700
        assert {mode(path) for path in folder.iterdir()} == {0o600}
        assert len(list(folder.iterdir())) == 4  # the file, -wal, -shm and the lock
        assert not journal.status().set_aside
    assert sorted(path.name for path in folder.iterdir()) == [
        "journal.sqlite",
        "journal.sqlite.lock",
    ]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
async def test_what_is_no_file_is_refused_at_once_and_left_alone(tmp_path: Path, kind: str) -> None:
    """A pipe without a writer would be waited for: the server would never start, nor end."""
    path = tmp_path / "journal.sqlite"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    before = path.stat().st_mode
    with pytest.raises(JournalUnusable, match="set QUORUM_JOURNAL_PATH"):
        async with Journal(options(tmp_path)):
            pass
    async with Journal(options(tmp_path, patient=True)) as journal:
        assert "cannot be opened" in journal.status().error
    assert path.stat().st_mode == before


@pytest.mark.parametrize("damage", ["text", "header", "pages", "cut"])
async def test_a_damaged_journal_is_kept_and_a_new_one_begun(told: Path, damage: str) -> None:
    content = bytearray(told.read_bytes())
    if damage == "text":
        content = bytearray(b"this is no database, however long it may be\n" * 100)
    elif damage == "header":
        content[:100] = os.urandom(100)
    elif damage == "pages":
        content[8192:] = b"\xa5" * (len(content) - 8192)
    else:
        del content[len(content) // 2 :]
    told.write_bytes(content)
    Path(f"{told}-wal").write_bytes(b"")
    with capture_logs() as logs:
        assert await write_and_count(told.parent) == 1
    (kept,) = told.parent.glob("journal.sqlite.damaged-*Z")
    assert kept.read_bytes() == content
    # SQLite removes the one of a file that it can read.
    assert Path(f"{kept}-wal").exists() == (damage in {"text", "header"})
    (warning,) = [line for line in logs if line["event"] == "journal.set_aside"]
    assert warning["log_level"] == "warning"
    assert warning["kept_as"] == str(kept)


async def test_damage_that_shows_only_while_writing_is_survived(told: Path) -> None:
    async with Journal(options(told.parent)) as journal:
        assert journal._file is not None
        connection = journal._file.connection
        # The page cache must not hide what happens to the file.
        connection.execute("PRAGMA cache_size = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with told.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (told.stat().st_size - 4096))
        events = list(solve_events("solve-new", journal.next_id))
        for event in events:
            journal.append(event)
        assert await journal.flush()
        (kept,) = journal.status().set_aside
        assert kept.name.startswith("journal.sqlite.damaged-")
        assert journal.part_status().ready
    with JournalReader(told) as reader:
        assert list(reader.events()) == events


async def test_a_newer_journal_is_kept_and_not_touched(told: Path) -> None:
    with sqlite3.connect(told) as connection:
        connection.execute(f"PRAGMA user_version = {len(scripts()) + 1}")
    connection.close()
    content = told.read_bytes()
    with pytest.raises(JournalUnreadable, match="update Quorum"):
        JournalReader(told)
    assert await write_and_count(told.parent) == 1
    (kept,) = told.parent.glob("journal.sqlite.newer-*Z")
    assert kept.read_bytes() == content


async def test_another_program_s_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (value)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(JournalUnusable, match="another program's database; set QUORUM_JOURNAL"):
        await write_and_count(tmp_path)
    assert path.read_bytes() == content


async def test_a_path_that_no_journal_can_have_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(JournalUnusable, match="its folder cannot be written"):
        await write_and_count(tmp_path / "file")
    (tmp_path / "journal.sqlite").mkdir()
    with pytest.raises(JournalUnusable, match="set QUORUM_JOURNAL_PATH"):
        await write_and_count(tmp_path)


async def test_only_one_may_write(tmp_path: Path) -> None:
    async with Journal(options(tmp_path)):
        with pytest.raises(JournalInUse, match=f"process {os.getpid()} writes it"):
            await write_and_count(tmp_path)
    assert await write_and_count(tmp_path) == 1


async def test_where_nothing_can_be_locked_that_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems over a network have no locks; a server there begins without a journal."""

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("server.journal.file.fcntl.flock", refuse)
    with pytest.raises(JournalUnusable, match=r"cannot be locked \(No locks available\)"):
        await write_and_count(tmp_path)
    async with Journal(options(tmp_path, patient=True)) as journal:
        assert not journal.is_open


READ_ALONE = """
import os, sys
from pathlib import Path
from server.journal.errors import JournalUnreadable
from server.journal.migrations import scripts
from server.journal.reader import JournalReader
# Reads the program's own files, while this may still be done.
scripts()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with JournalReader(Path(sys.argv[1])) as reader:
        print(len(reader.solves()))
except JournalUnreadable as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("log", "told_of_it"), [(None, "3"), (b"", "3"), (b"what a killed server left", "copy it")]
)
async def test_a_journal_in_a_folder_that_cannot_be_written_is_read(
    told: Path, log: bytes | None, told_of_it: str
) -> None:
    """As in a data set of Kaggle's: SQLite has no room there for the files that it keeps beside."""
    if log is not None:
        (told.parent / "journal.sqlite-wal").write_bytes(log)
    if os.getuid() == 0:
        for path in told.parents:
            if path == Path("/tmp"):
                break
            path.chmod(0o755)
    for path in told.parent.iterdir():
        path.chmod(0o444)
    told.parent.chmod(0o555)
    command = [sys.executable, "-c", READ_ALONE, str(told)]
    with anyio.fail_after(50):
        done = await anyio.run_process(command, check=False)
    assert told_of_it in done.stdout.decode(), done.stderr.decode()


READ_ONLY = """
import os, sys
from pathlib import Path
import anyio
from tests.server.journal.test_opening import write_and_count
folder, other = Path(sys.argv[1]), Path(sys.argv[2])
# Imports everything, while this may still be read.
anyio.run(write_and_count, other)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(anyio.run(write_and_count, folder))
"""


async def test_a_read_only_journal_is_kept_and_a_new_one_begun(
    told: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if os.getuid() == 0:
        # root may write anything: someone else opens a file of root's in a folder of his own.
        for path in (*told.parents, told):
            if path == Path("/tmp"):
                break
            path.chmod(0o755)
        os.chown(told.parent, NOBODY, NOBODY)
        os.chown(f"{told}.lock", NOBODY, NOBODY)
    told.chmod(0o444)
    other = tmp_path_factory.mktemp("other")
    command = [sys.executable, "-c", READ_ONLY, str(told.parent), str(other)]
    with anyio.fail_after(50):
        done = await anyio.run_process(command, check=False)
    assert done.stdout.splitlines()[-1:] == [b"1"], done.stderr.decode()
    (kept,) = told.parent.glob("journal.sqlite.read-only-*Z")
    with JournalReader(kept) as reader:
        assert {solve.id for solve in reader.solves()} == set(SOLVES)


async def test_ids_grow_over_restarts_even_where_the_file_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    last = 0
    for _ in range(3):
        async with Journal(options(tmp_path)) as journal:
            first = journal.next_id()
            assert first > last
            last = first + 1_000
            journal._last_id = last
        path.unlink(missing_ok=True)
    async with Journal(options(tmp_path)) as journal:
        # More events than microseconds passed: the file knows better than the clock.
        journal._last_id = 2**52
        for event in solve_events("solve-a", journal.next_id):
            journal.append(event)
    async with Journal(options(tmp_path)) as journal:
        assert journal.next_id() > 2**52


@pytest.mark.parametrize("how", ["removed", "moved", "with its folder"])
async def test_a_file_that_goes_away_under_a_server_is_begun_anew(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "state"
    path, moved = folder / "journal.sqlite", tmp_path / "moved.sqlite"
    async with Journal(options(folder)) as journal:
        for event in solve_events("solve-before", journal.next_id):
            journal.append(event)
        assert await journal.flush()
        if how == "moved":
            path.rename(moved)
        elif how == "removed":
            for each in folder.glob("journal.sqlite*"):
                each.unlink()
        else:
            shutil.rmtree(folder)
        events = list(solve_events("solve-after", journal.next_id))
        for event in events:
            journal.append(event)
        assert await journal.flush()
        assert journal.part_status().state == "on"
        with pytest.raises(JournalInUse):
            await write_and_count(folder)
        with JournalReader(path) as reader:
            assert list(reader.events()) == events
    if how == "moved":
        with JournalReader(moved) as reader:
            assert [solve.id for solve in reader.solves()] == ["solve-before"]


async def test_one_file_has_one_writer_by_whatever_name(told: Path, tmp_path: Path) -> None:
    link = tmp_path / "other" / "journal.sqlite"
    link.parent.mkdir()
    link.symlink_to(told)
    async with Journal(options(link.parent)):
        with pytest.raises(JournalInUse):
            await write_and_count(told.parent)
    told.write_bytes(b"this is no database" * 100)
    assert await write_and_count(link.parent) == 1
    assert link.is_symlink()
    assert len(list(told.parent.glob("journal.sqlite.damaged-*Z"))) == 1


def test_migrations_go_from_every_version_and_each_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    second = "ALTER TABLE solves ADD COLUMN run_id TEXT;"
    broken = "ALTER TABLE solves ADD COLUMN other TEXT; ALTER TABLE nowhere ADD COLUMN x;"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, scripts()[:1])
    assert schema_version(connection) == 1
    assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    connection.execute("INSERT INTO solves (id, created) VALUES ('solve-a', 1.5)")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        migrate(connection, (*scripts()[:1], second, broken))
    assert schema_version(connection) == 2
    columns = [row[1] for row in connection.execute("PRAGMA table_info(solves)")]
    assert "run_id" in columns
    assert "other" not in columns
    migrate(connection, (*scripts()[:1], second))
    rows = connection.execute("SELECT id, created, run_id FROM solves").fetchall()
    assert rows == [("solve-a", 1.5, None)]
    connection.close()


async def test_a_journal_of_version_one_is_brought_up_to_date(told: Path) -> None:
    """The file of the first version, as its own script makes it, is read by this program."""
    first = told.with_name("first.sqlite")
    connection = sqlite3.connect(first, isolation_level=None)
    migrate(connection, scripts()[:1])
    connection.execute("ATTACH ? AS filled", (str(told),))
    for table in ("solves", "attempts", "events", "segments"):
        # By name: later versions may have more columns.
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        columns = ", ".join(names)
        connection.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM filled.{table}"  # noqa: S608
        )
    connection.close()
    file = JournalFile.open(first)
    assert schema_version(file.connection) == len(scripts())
    file.close()
    assert not file.set_aside
    with JournalReader(first) as reader:
        assert {solve.id for solve in reader.solves()} == set(SOLVES)
        assert reader.tokens("solve-a", 0).complete


def test_the_words_of_defects_are_part_of_file_names() -> None:
    assert {defect.value for defect in Defect} == {"damaged", "newer", "read-only"}
