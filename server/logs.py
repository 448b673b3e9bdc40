"""Logging to standard error: ours and that of the libraries, in one form."""

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from server.sections.log import LogSettings

#: Libraries that report at info level what ours says already.
QUIET = ("httpx", "httpcore", "uvicorn.access", "uvicorn.error", "asyncio", "sse_starlette.sse")

#: What must not be in a log, whoever put it there: our keys, what is sent as a credential, and most
#: of a lease's id, which is the right to use the lease.
SECRET = re.compile(
    r"quorum_[0-9a-f]{8}_[A-Za-z0-9_-]{16,}|(?<=bearer )\S+|(?<=lease-[0-9a-f]{6})[0-9a-f]+",
    re.IGNORECASE,
)
#: Names of values that are secrets, whatever they look like.
SECRET_NAMES = frozenset({"authorization", "api_key", "cookie", "password", "secret", "token"})
HIDDEN = "(hidden)"
#: Characters that act on a terminal (controls but tab and newline) or reorder what is read.
ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

#: What asyncio says of each write to a peer that has gone, until it tells the protocol so: a burst
#: of events makes hundreds of it.
_GONE = "socket.send() raised exception."


def _is_news(record: logging.LogRecord) -> bool:
    return record.msg != _GONE


def configure(settings: LogSettings) -> None:
    """Set up structlog and the standard logging module; called once a process."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_is_news)


def _renderers(settings: LogSettings) -> list[Processor]:
    if settings.format == "json":
        return [
            structlog.processors.format_exc_info,
            _hide_secrets,
            structlog.processors.JSONRenderer(),
        ]
    plain = structlog.dev.plain_traceback
    return [
        structlog.processors.format_exc_info,
        _hide_secrets,
        _show_acting,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
    ]


def _show_acting(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what callers and models wrote: in a log on a terminal it must not act."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = ACTING.sub(lambda found: ascii(found[0])[1:-1], value)
    return event


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if name.lower() in SECRET_NAMES:
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = SECRET.sub(HIDDEN, value)
    return event
