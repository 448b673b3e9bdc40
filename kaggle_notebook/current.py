"""The session of this process: the gateway calls a function, which must find it."""

from kaggle_notebook.session import Session

_current: list[Session] = []


def current_session() -> Session | None:
    """Return the session that was started last; None where there is none."""
    return next(iter(_current), None)


def set_current(session: Session | None) -> None:
    """Make a session the one that `predict` answers from; None ends that."""
    _current[:] = [] if session is None else [session]
