"""Errors of the client and of the `quorum` command, and the one translation of foreign errors.

QuorumClientError            base of all that this package raises; exit code 1
├── UsageError               the caller gave something that cannot work; exit code 2
│   └── BadServerAddress     the server's URL cannot be used
├── TransportError           no usable answer came over the wire
│   ├── ServerUnreachable    no connection: not a byte of the request was sent
│   ├── ServerTimeout        connected, but silent for too long
│   └── ConnectionLost       cut before the answer was complete
├── InvalidResponse          what answered does not speak Quorum's schema
├── ServerError              the server says no, in RFC 9457 problem details (`problem`)
│   ├── RequestRefused       any other 4xx
│   │   ├── Unauthorized     401: the server demands a key, or does not know this one
│   │   ├── Forbidden        403: the key is not for this
│   │   ├── InvalidRequest   422; `problem.errors` names the fields
│   │   ├── RequestTooLarge  413
│   │   ├── NotFound         404
│   │   │   ├── SandboxOff       the sandbox is not served over HTTP there
│   │   │   └── LeaseNotFound    no lease of that id, or it was given back
│   │   ├── LeaseExpired     410: the server heard nothing of its holder in time
│   │   ├── LeaseBusy        409: a cell of the lease still runs
│   │   └── RunFinished      409: the run takes no more problems
│   ├── ServerBusy           429: the queue is full; `retry_after_s`
│   │   └── SandboxBusy      too many wait for a kernel
│   ├── ServerUnavailable    503: not ready, or shutting down; `retry_after_s`
│   │   └── SandboxUnavailable   no kernel came in time, or none can be started
│   └── ServerFailed         any other 5xx
├── ServerBroken             a part of the server failed for good; waiting is of no use
└── LocalServerFailed        the server that a command started for itself failed
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import httpx
from httpx_sse import SSEError
from pydantic import ValidationError

from client.schema import ProblemDetails, without_password

PROBLEM_MEDIA_TYPE = "application/problem+json"


class QuorumClientError(Exception):
    """Base of all errors of the client."""

    is_user_error = True
    """The command line prints the sentence, without a traceback."""
    exit_code = 1
    """What the command exits with."""


class UsageError(QuorumClientError):
    """The caller gave something that cannot work; nothing was started."""

    exit_code = 2


class BadServerAddress(UsageError):
    """The server's URL cannot be used."""


class TransportError(QuorumClientError):
    """No usable answer came over the wire."""


class ServerUnreachable(TransportError):
    """No connection could be made: not a byte of the request was sent, so it may be repeated."""


class ServerTimeout(TransportError):
    """Connected, but the server was silent for too long."""


class ConnectionLost(TransportError):
    """The connection was cut before the answer was complete."""


class InvalidResponse(QuorumClientError):
    """What answered does not speak Quorum's schema."""


class ServerError(QuorumClientError):
    """The server refused the request or failed at it."""

    def __init__(self, problem: ProblemDetails) -> None:
        told = problem.detail or problem.title
        # our server's detail has the fields' messages in it, another one's may have not
        untold = [error for error in problem.errors if error.message not in told]
        fields = "; ".join(f"{error.field}: {error.message}" for error in untold)
        super().__init__(": ".join(part for part in (told, fields) if part))
        self.problem = problem

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server expects to take the request; None: it did not say."""
        return self.problem.retry_after_s


class RequestRefused(ServerError):
    """The request cannot succeed as it is (4xx)."""


class Unauthorized(RequestRefused):
    """The server demands a key, or does not know the one that was sent (401)."""


class Forbidden(RequestRefused):
    """The key is not for this, or the request comes from where it may not (403)."""


class InvalidRequest(RequestRefused):
    """A field of the request is invalid (422); `problem.errors` names the fields."""


class RequestTooLarge(RequestRefused):
    """The request's body is too large (413)."""


class NotFound(RequestRefused):
    """There is no such solve, or no such route (404)."""


class SandboxOff(NotFound):
    """The server does not serve its sandbox over HTTP (404)."""


class LeaseNotFound(NotFound):
    """There is no lease of that id, or it was given back (404)."""


class LeaseExpired(RequestRefused):
    """The lease ended because the server heard nothing of its holder in time (410)."""


class LeaseBusy(RequestRefused):
    """A cell of the lease still runs (409); nothing was run."""


class RunFinished(RequestRefused):
    """The run takes no more problems, and has no answer to this one (409)."""


class ServerBusy(ServerError):
    """The server's queue is full (429); the request was not taken."""


class ServerUnavailable(ServerError):
    """The server is not ready or is shutting down (503)."""


class SandboxBusy(ServerBusy):
    """Too many wait for a kernel already (429); the request was not taken."""


class SandboxUnavailable(ServerUnavailable):
    """No kernel came in the time given, or none can be started (503)."""


class ServerFailed(ServerError):
    """The server failed (another 5xx)."""


class ServerBroken(QuorumClientError):
    """A part of the server, such as its engine, failed for good."""


class LocalServerFailed(QuorumClientError):
    """The server that a command started for itself did not start, or died."""


#: Everything that httpx raises on purpose; it has no common base of its own.
HTTPX_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)

#: What quotes headers of the request, and so a key: its text is not passed on.
SECRETIVE = httpx.LocalProtocolError

#: From the most specific to the most general; the first match decides. The text continues
#: "the server at URL …".
_TRANSLATIONS: tuple[tuple[type[Exception], type[QuorumClientError], str], ...] = (
    (
        httpx.ConnectTimeout,
        ServerUnreachable,
        "did not accept a connection in time: check the address",
    ),
    (
        httpx.ConnectError,
        ServerUnreachable,
        "cannot be reached: start one with `quorum serve`, or check the address",
    ),
    (httpx.ProxyError, ServerUnreachable, "cannot be reached through the proxy"),
    (
        httpx.PoolTimeout,
        ServerUnreachable,
        "was not asked: all connections of this client stayed busy",
    ),
    (httpx.TimeoutException, ServerTimeout, "stayed silent for too long"),
    (httpx.UnsupportedProtocol, BadServerAddress, "must have an http:// or https:// address"),
    (httpx.InvalidURL, BadServerAddress, "has an invalid address"),
    (SSEError, InvalidResponse, "did not answer with an event stream: is it Quorum?"),
    (httpx.NetworkError, ConnectionLost, "cut the connection before its answer was complete"),
    (
        httpx.RemoteProtocolError,
        ConnectionLost,
        "cut the connection before its answer was complete",
    ),
    (httpx.LocalProtocolError, UsageError, "cannot be sent this request"),
    (httpx.HTTPError, InvalidResponse, "gave an answer that cannot be read: is it Quorum?"),
    (httpx.CookieConflict, InvalidResponse, "gave an answer that cannot be read"),
    (httpx.StreamError, ConnectionLost, "was left before its answer was complete"),
)


def translate(error: Exception, url: str) -> QuorumClientError:
    """Return our error for one of `HTTPX_ERRORS`, met while talking to the server at `url`."""
    for foreign, ours, text in _TRANSLATIONS:
        if isinstance(error, foreign):
            reason = f" ({error})" if str(error) and not isinstance(error, SECRETIVE) else ""
            return ours(f"the server at {url} {text}{reason}")
    raise TypeError(f"{type(error).__name__}: not an error of httpx") from error


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise our error in place of an error of httpx."""
    try:
        yield
    except HTTPX_ERRORS as error:
        raise translate(error, url) from error


@contextmanager
def usable_environment() -> Iterator[None]:
    """Raise `UsageError` where httpx cannot use the proxies or certificates of the environment.

    It reads them as a client is made, and raises what Python and its own parts happen to raise.
    """
    try:
        yield
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise UsageError(
            f"the proxies or certificates that the environment names cannot be used ({error}); "
            "correct or unset HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and "
            "SSL_CERT_DIR"
        ) from error


_BY_STATUS: dict[int, type[ServerError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    413: RequestTooLarge,
    422: InvalidRequest,
    429: ServerBusy,
    503: ServerUnavailable,
}


#: For the calls of some route: what a status means there.
Refusals = Mapping[int, type[ServerError]]


def error_of(response: httpx.Response, refusals: Refusals | None = None) -> QuorumClientError:
    """Return our error for a response that says no, whose body has been read."""
    status = response.status_code
    if status < 400:
        url = without_password(str(response.url))
        return InvalidResponse(
            f"the server at {url} answered {status}, which Quorum never does: check the address"
        )
    return error_for(_problem_of(response), status, refusals)


def error_for(
    problem: ProblemDetails, status: int | None = None, refusals: Refusals | None = None
) -> ServerError:
    """Return our error for problem details, by the status they came with or the one they name."""
    status = problem.status if status is None else status
    default = RequestRefused if status < 500 else ServerFailed
    return {**_BY_STATUS, **(refusals or {})}.get(status, default)(problem)


def _problem_of(response: httpx.Response) -> ProblemDetails:
    problem = _foreign_problem(response)
    if is_problem(response):
        with suppress(ValidationError):  # a broken body must not hide the status
            problem = ProblemDetails.model_validate_json(response.content)
    if problem.retry_after_s is not None:
        return problem
    return problem.model_copy(update={"retry_after_s": _retry_after_s(response)})


def is_problem(response: httpx.Response) -> bool:
    """Whether the response's body claims to be RFC 9457 problem details."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return bool(media_type == PROBLEM_MEDIA_TYPE)


def _foreign_problem(response: httpx.Response) -> ProblemDetails:
    title = response.reason_phrase or "error"
    # What a proxy in front of Quorum says of a server that is away has a status from 500 on.
    doubt = ": is it Quorum?" if response.status_code < 500 else ""
    url = without_password(str(response.url))
    return ProblemDetails(
        title=title,
        status=response.status_code,
        detail=f"the server at {url} answered {response.status_code} {title}{doubt}",
    )


def _retry_after_s(response: httpx.Response) -> float | None:
    """Read Retry-After in its form of seconds; Quorum never sends the form of a date."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None
