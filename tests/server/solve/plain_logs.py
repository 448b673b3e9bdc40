"""Logs of tests: structlog's own default draws the locals of every frame, which takes seconds."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def plain_logs() -> Iterator[None]:
    """Log to standard output with plain tracebacks."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    try:
        yield
    finally:
        structlog.configure(**before)
