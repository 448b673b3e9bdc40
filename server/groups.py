"""Exception groups of task groups that are nobody's business but their own."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collapsed() -> Iterator[None]:
    """Raise the only exception of a group in the group's place.

    For a block around a task group that its user knows nothing of: what the user's code raises
    comes out as it went in. Where several tasks failed, the group says so.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if only is group:
            raise
        raise only from only.__cause__
