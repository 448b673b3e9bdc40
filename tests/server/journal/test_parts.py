"""The gateway's journal: opened with the other parts, and none of them waits for it."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from client.schema import PartStatus
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.parts import journal_status, open_journal
from server.sections.journal import JournalSettings
from server.settings import Settings, load_settings
from tests.server.journal.stories import opening, options


def settings(folder: Path, *, enabled: bool = True) -> Settings:
    section = JournalSettings(path=str(folder / "journal.sqlite"), enabled=enabled)
    return Settings(journal=section)


async def status(folder: Path, *, enabled: bool = True) -> PartStatus:
    """Return what `/ready` says of a journal that is opened as the gateway opens it."""
    chosen = settings(folder, enabled=enabled)
    async with AsyncExitStack() as stack:
        journal, reason = await open_journal(chosen, stack)
        return journal_status(journal, reason)


async def test_on_behind_or_off_with_the_reason(tmp_path: Path) -> None:
    assert await status(tmp_path) == PartStatus(
        ready=True, state="on", detail=str(tmp_path / "journal.sqlite")
    )
    off = await status(tmp_path, enabled=False)
    assert (off.ready, off.state, off.detail) == (False, "off", "journal.enabled is false")
    async with Journal(options(tmp_path)):
        used = await status(tmp_path)
    assert (used.ready, used.state) == (False, "behind")
    assert "only one may; set QUORUM_JOURNAL_PATH" in used.detail


async def test_what_a_dead_server_left_is_closed_at_the_next_start(tmp_path: Path) -> None:
    async with Journal(options(tmp_path)) as journal:
        for event in opening("solve-cut", journal.next_id):
            journal.append(event)
    await status(tmp_path)
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        assert reader.solve("solve-cut").outcome == "interrupted"


def test_the_default_is_in_the_user_s_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert load_settings().journal_path == Path("/somewhere/quorum/journal.sqlite")
    named = load_settings({"journal.path": "~/other.sqlite"})
    assert named.journal_path == Path.home() / "other.sqlite"
