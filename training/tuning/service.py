"""The training service: opened with a key, bounded in time, its errors in our words."""

import os
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import tinker

from training.errors import ServiceFailed

#: Seconds that one answer may take: a pass over long examples, behind a queue.
TIMEOUT_S = 1_800.0
#: Seconds for the goodbye.
CLOSE_S = 10.0
KEY = "TINKER_API_KEY"


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `ServiceFailed` in place of the SDK's errors and of time-outs."""
    try:
        yield
    except (tinker.TinkerError, FutureTimeoutError, ValueError) as error:
        raise _failed(f"Tinker, {doing}", error) from error


def _failed(where: str, error: Exception) -> ServiceFailed:
    what = str(error) or type(error).__name__
    return ServiceFailed(
        f"{where}: {what}; run the same command again: it goes on from the last checkpoint"
    )


def wait(future: Any, doing: str, timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401
    """Return the answer of a call.

    Raises:
        ServiceFailed: the service refused, or did not answer in time.
    """
    if not hasattr(future, "result"):
        return future  # some versions of the SDK wait by themselves
    with translated(doing):
        return future.result(timeout_s)


@contextmanager
def open_service(url: str | None, folder: Path) -> Iterator[Any]:
    """Yield a client of the service; the key is in the environment, or in `.env` in `folder`.

    Raises, in the block too:
        ServiceFailed: there is no key, or the service cannot be reached, or refuses.
    """
    key = os.environ.get(KEY) or _from_file(folder / ".env")
    if not key:
        raise ServiceFailed(f"no key: set {KEY}, or write {KEY}=… to {folder / '.env'}")
    with translated("opening a session"):
        client = tinker.ServiceClient(base_url=url, api_key=key)
    ended: Literal["success", "errored"] = "errored"
    try:
        yield client
        ended = "success"
    except tinker.TinkerError as error:
        # not all calls raise where they are waited for: the first one opens the session itself
        raise _failed("Tinker", error) from error
    finally:
        with suppress(tinker.TinkerError, FutureTimeoutError):  # the session expires by itself
            client.close(ended).result(CLOSE_S)


def open_trainer(
    client: Any,  # noqa: ANN401 - the SDK's service client
    model: str,
    rank: int,
    seed: int,
    state_path: str | None,
    *,
    start: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Any:  # noqa: ANN401
    """Return a training client with a new adapter, or with that of a checkpoint's state.

    `start` is the state of another run whose weights a new adapter begins with.

    Raises:
        ServiceFailed: the service refused, or did not answer in time.
    """
    if state_path is None and start is not None:
        made = client.create_training_client_from_state(start)
        return wait(made, f"beginning with {start}", timeout_s)
    if state_path is None:
        made = client.create_lora_training_client(base_model=model, rank=rank, seed=seed)
        return wait(made, "creating the adapter", timeout_s)
    made = client.create_training_client_from_state_with_optimizer(state_path)
    return wait(made, f"going on from {state_path}", timeout_s)


def _from_file(path: Path) -> str | None:
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.strip().removeprefix("export ").partition("=")
        if name.strip() == KEY:
            return value.strip().strip("\"'")
    return None
