"""Calls to Kaggle by its own package: opened, tried again, and translated, in one place.

The package prints where it should raise, and its texts may carry addresses that grant access: what
it says is caught, and nothing of the credentials leaves this module.
"""

import contextlib
import importlib
import io
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kaggle_notebook.errors import PublishError

T = TypeVar("T")

#: Tries of a call, and the pauses between them in seconds: the last comes after half a minute.
TRIES = 5
FIRST_PAUSE_S = 2.0
_NO_CREDENTIALS = (
    "Kaggle: no valid credentials; make a token on kaggle.com (Settings, API) and put it in "
    "KAGGLE_API_TOKEN or ~/.kaggle/access_token, or run `kaggle auth login`"
)
_NO_PACKAGE = (
    "Kaggle: the package kaggle is not installed; install the extra, as in "
    '`pip install "quorum-aimo[kaggle]"`'
)
#: Queries of addresses grant access to uploads; user information in them is a password.
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\")]+")
_USER = re.compile(r"(https?://)[^/\s@]+@")
#: Names of settings whose values are secret, in the package's configuration and the environment.
_SECRET_NAMES = re.compile(r"key|token|password|secret", re.IGNORECASE)
_SHORTEST_SECRET = 6


class Account:
    """An opened account; `api` is the package's `KaggleApi`, ``pause`` waits between tries."""

    def __init__(self, api: Any, pause: Callable[[float], None] = time.sleep) -> None:  # noqa: ANN401 - the package has no types
        self.api = api
        self.pause = pause
        self._secrets = _secrets(getattr(api, "config_values", {}))

    @property
    def user(self) -> str:
        """The account's name."""
        return str(self.api.config_values.get("username", ""))

    def call(self, what: str, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Call the package; try again, with growing pauses, what may pass.

        Raises:
            PublishError: Kaggle refuses, or cannot be reached in `TRIES` tries.
        """
        for tried in range(1, TRIES + 1):
            try:
                with _silent():
                    return function(*arguments, **named)
            except PublishError:
                raise
            except Exception as error:  # noqa: BLE001 - of requests, urllib3 and the package's own
                if tried == TRIES or not _may_pass(error):
                    raise PublishError(f"Kaggle: {what}: {self.told(error)}") from None
                self.pause(_pause_s(error, tried))
        raise AssertionError("unreachable")

    def found(self, what: str, function: Callable[..., T], *arguments: object) -> T | None:
        """Return what a call finds; None where Kaggle says that there is no such thing.

        Of what is private to others, and of what does not exist, it says the same: 403 or 404.
        """
        try:
            return self.call(what, _absent_is_none(function), *arguments)
        except _Absent:
            return None

    def told(self, error: BaseException) -> str:
        """Return an error's text for a person, without secrets."""
        status = _status(error)
        text = redacted(_message(error) or type(error).__name__, self._secrets)
        if status == 401:
            return f"refuses the credentials ({text}); make a new token"
        if status == 403:
            return f"does not allow it ({text}); is the owner's name right?"
        return text


class _Absent(PublishError):
    """There is no such thing."""


def open_account(*, local: bool = False, pause: Callable[[float], None] = time.sleep) -> Account:
    """Open the account whose credentials are here; `local` is Kaggle's own way to a test server.

    Raises:
        PublishError: there are none, or they are refused, or the package is not installed.
    """
    # at the level of debugging it tells the addresses of uploads, which grant access
    logging.getLogger("urllib3").setLevel(logging.INFO)
    try:
        with _silent():
            package: Any = importlib.import_module("kaggle.api.kaggle_api_extended")
    except ImportError:
        raise PublishError(_NO_PACKAGE) from None

    class CheckedApi(package.KaggleApi):  # type: ignore[misc] # the package has no types
        """Refuses to go on where an upload failed: the package would leave the file out."""

        def upload_files(self, request: Any, resources: Any, folder: str, *rest: Any) -> None:  # noqa: ANN401
            super().upload_files(request, resources, folder, *rest)
            wanted = [n for n in os.listdir(folder) if not n.endswith("-metadata.json")]  # noqa: PTH208
            if len(request.files) != len(wanted):
                raise ConnectionError(f"{len(wanted) - len(request.files)} uploads failed")

    api = CheckedApi()
    if local:
        api.args = ["--local"]
    account = Account(api, pause)
    try:
        account.call("signing in", _authenticated, api)
    except _Absent:
        raise PublishError(_NO_CREDENTIALS) from None
    return Account(api, pause)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return text without secrets: those given, users in addresses, and addresses' queries."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return _USER.sub(r"\1…@", _QUERY.sub(r"\1?…", text))[:600]


def _authenticated(api: Any) -> None:  # noqa: ANN401 - the package has no types
    try:
        api.authenticate()
    except SystemExit:
        raise _Absent(_NO_CREDENTIALS) from None


def _absent_is_none(function: Callable[..., T]) -> Callable[..., T]:
    def call(*arguments: object) -> T:
        try:
            return function(*arguments)
        except Exception as error:
            if _status(error) in (403, 404):
                raise _Absent(str(_status(error))) from None
            raise

    return call


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _message(error: BaseException) -> str:
    """Return Kaggle's own words, where its answer has any."""
    try:
        said = error.response.json()["message"]  # type: ignore[attr-defined] # of requests
    except (AttributeError, ValueError, KeyError, TypeError):
        said = None
    return said if isinstance(said, str) and said else str(error)


def _may_pass(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    of_network = type(error).__module__.partition(".")[0] in ("requests", "urllib3")
    return of_network or isinstance(error, ConnectionError | TimeoutError)


def _pause_s(error: BaseException, tried: int) -> float:
    wait = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    if isinstance(wait, str) and wait.isdigit():
        return min(float(wait), 300.0)
    return FIRST_PAUSE_S * float(2 ** (tried - 1))


def _secrets(configuration: dict[str, Any]) -> tuple[str, ...]:
    named = {**{k: v for k, v in os.environ.items() if k.startswith("KAGGLE_")}, **configuration}
    values = {str(value) for name, value in named.items() if _SECRET_NAMES.search(name)}
    return tuple(sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what the package prints off the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
