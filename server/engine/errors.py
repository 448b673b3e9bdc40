"""Errors of engines.

EngineError (a QuorumServerError)
├── EngineUnavailable    not running or not reachable: wait for it, then go on with the same ids
├── EngineStalled        a stream that sends nothing: as above
├── EngineRefused        the request cannot be served (too long, malformed): do not repeat it
├── EngineProtocolError  it answered with something that is no answer
└── EngineFailed         it cannot be started, or died too often: nothing more will come
"""

from server.errors import QuorumServerError


class EngineError(QuorumServerError):
    """Base of what engines raise."""


class EngineUnavailable(EngineError):
    """The engine is not running or not reachable; `Engine.wait_ready` tells when it is back."""


class EngineStalled(EngineUnavailable):
    """A stream sent nothing for longer than `engine.stall_timeout_s`."""


class EngineRefused(EngineError):
    """The engine will not serve this request, now or later."""


class EngineProtocolError(EngineError):
    """The engine's answer does not follow its protocol."""


class EngineFailed(EngineError):
    """The engine cannot be started, or died more often than `engine.max_restarts`."""
