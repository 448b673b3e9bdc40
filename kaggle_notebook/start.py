"""Starts a session from the notebook's first cell, at once: all slow work goes on in the back."""

import json
import os
import secrets
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kaggle_notebook.clock import FILE as CLOCK_FILE
from kaggle_notebook.clock import (
    SessionClock,
    anchor_of,
    elapsed_at_start_s,
    keep_clock,
    kept_clock,
    start_clock,
)
from kaggle_notebook.current import current_session, set_current
from kaggle_notebook.files import read_json, writable_folder, write_json
from kaggle_notebook.session import Session
from kaggle_notebook.settings import RERUN, Mode, SessionSettings, read_settings, settings_dict

FILE = "session.json"
#: What a new session in the folder of an earlier one moves out of its way.
EARLIER = "earlier"
#: A score under others of these settings is another score.
_SCORED = (
    *("problems", "limit_s", "margin_s", "call_limit_s", "server", "solve", "data"),
    *("default_answer", "python", "command"),
)
#: Of several callers at once, one starts the session.
_starting = threading.RLock()


def start(settings: Mapping[str, Any] | None = None) -> Session:
    """Start a session, or go on with the one that the folder has; returns at once.

    `settings` are the first cell's: names and values of `SessionSettings`. The session's folder
    keeps answers and clock, so a notebook that is started again in mid-run goes on with both. A
    cell that is run again with the same settings has the session that is at work, with its server.

    Raises:
        SettingsError: a setting is unknown or malformed.
    """
    return _started(read_settings(settings))


def _started(chosen: SessionSettings) -> Session:
    with _starting:
        earlier = current_session()
        if earlier is not None:
            if earlier.is_what(chosen):
                return earlier
            earlier.retire()
        session = _opened(chosen, writable_folder(chosen.path))
        set_current(session)
        if earlier is not None:
            reason = "the notebook started another session"
            # the server takes no more problems of a run that is finished
            earlier.close(None if session.id == earlier.id else reason)
        session.begin()
    return session


def session_or_start() -> Session:
    """Return the session, or start one with the settings of the environment.

    Raises:
        SettingsError: those are malformed.
    """
    session = current_session()
    if session is not None:
        return session
    with _starting:
        return current_session() or start()


def session_at_work() -> Session:
    """Return the session, or another one of its settings where it has ended.

    Where there is none yet, one is started as by `session_or_start`.

    Raises:
        SettingsError: the settings of the environment are malformed.
    """
    session = session_or_start()
    return _started(session.settings) if session.ended else session


def finish(reason: str = "all problems are answered") -> None:
    """End the session of this process: the next one in its folder starts afresh.

    But not in the run that counts: should it go on after all, it has its answers and its clock.
    """
    session = current_session()
    if session is None:
        return
    session.close(reason)
    with suppress(OSError):
        _keep(session, finished=True)


def _opened(settings: SessionSettings, folder: Path) -> Session:
    kept = _kept(folder)
    clock = kept_clock(settings.usable_s, folder, also=kept.get("clock"))
    # in the margin too: a new clock would run past the limit, and its answers would be others
    if clock is not None and clock.elapsed_s < settings.over_s and _goes_on(kept, settings):
        return Session(settings, folder, clock, str(kept["id"]))
    _move_earlier(folder, str(kept.get("id", "")))
    return _new(settings, folder)


def _goes_on(kept: Mapping[str, Any], settings: SessionSettings) -> bool:
    """Tell whether a session of these settings is the one that is kept."""
    if not settings.resume or not isinstance(kept.get("id"), str):
        return False
    if RERUN in os.environ:
        # a folder has one run that counts: whatever the first cell says by now, its answers stand
        return True
    if kept.get("mode") != settings.mode.value or kept.get("finished"):
        return False
    return settings.mode is not Mode.FIXED_SET or _scored(kept.get("settings")) == _scored(
        settings_dict(settings)
    )


def _scored(settings: object) -> object:
    """Return what a score depends on, of settings as they are written; None where there are none.

    The command of the install is left out: it names folders that each notebook makes anew.
    """
    if not isinstance(settings, Mapping):
        return None
    return json.dumps({name: settings.get(name) for name in _SCORED}, sort_keys=True)


def _kept(folder: Path) -> dict[str, Any]:
    """Return what is kept of a session; of its two files one may have been torn."""
    found = read_json(folder / FILE)
    if found is None:
        found = (read_json(folder / CLOCK_FILE) or {}).get("session")
    return found if isinstance(found, dict) else {}


def _new(settings: SessionSettings, folder: Path) -> Session:
    elapsed_s = settings.elapsed_s
    clock: SessionClock = start_clock(
        settings.usable_s, elapsed_at_start_s() if elapsed_s is None else elapsed_s
    )
    session = Session(settings, folder, clock, f"kaggle-{secrets.token_hex(6)}")
    try:
        _keep(session, finished=False)
    except OSError as error:
        session.tell("disk", f"{folder}: cannot be written ({error.strerror or error})")
        session.unkept = lambda: _keep(session, finished=False)
    return session


def _keep(session: Session, *, finished: bool) -> None:
    """Write down whose session it is, and its clock: each file has both. Raises OSError."""
    identity = {
        "id": session.id,
        "mode": session.settings.mode.value,
        "finished": finished,
        "settings": settings_dict(session.settings),
    }
    keep_clock(session.clock, session.folder, identity)
    write_json(session.folder / FILE, {**identity, "clock": anchor_of(session.clock)})


def _move_earlier(folder: Path, name: str) -> None:
    """Move an earlier session's small files away; the server's journal stays: it has many runs."""
    target = folder / EARLIER / (name or "unnamed")
    for file in (FILE, CLOCK_FILE, "answers.jsonl", "session.log"):
        with suppress(OSError):
            if (folder / file).exists():
                target.mkdir(parents=True, exist_ok=True)
                shutil.move(folder / file, target / file)
