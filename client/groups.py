"""Exception groups of task groups in which only one task can fail."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collapsed() -> Iterator[None]:
    """Raise a group's exception in the group's place when it is the only one.

    For a task group that is an implementation detail: its user expects the body's own error.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        single: BaseException = group
        while isinstance(single, BaseExceptionGroup) and len(single.exceptions) == 1:
            single = single.exceptions[0]
        if single is group:
            raise
        # its own cause and context stay; the group around it says nothing
        raise single from single.__cause__
