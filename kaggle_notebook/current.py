"""The session of this process: the gateway calls a function, which must find it."""

import threading

from kaggle_notebook.session import Session

_lock = threading.Lock()
_current: list[Session] = []


def current_session() -> Session | None:
    """Return the session that was started last; None where there is none."""
    with _lock:
        return _current[-1] if _current else None


def set_current(session: Session | None) -> None:
    """Make a session the one that `predict` answers from; None ends that."""
    with _lock:
        _current.clear()
        if session is not None:
            _current.append(session)
