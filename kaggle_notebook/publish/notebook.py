"""The notebook: pushed, and asked after."""

import json
from pathlib import Path
from typing import Any

from kaggle_notebook.build.notebook import METADATA
from kaggle_notebook.errors import PublishError
from kaggle_notebook.publish.account import Account
from kaggle_notebook.publish.names import split_name

_SOURCES = ("dataset_sources", "competition_sources", "kernel_sources", "model_sources")


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return a notebook folder's metadata, checked.

    Raises:
        PublishError: there is none, or it cannot be pushed.
    """
    path = folder / METADATA
    try:
        value = json.loads(path.read_bytes())
        name, code = str(value["id"]), folder / str(value["code_file"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PublishError(
            f"{path}: cannot be read ({error}); write one with `quorum kaggle build --out {folder}`"
        ) from error
    if not code.is_file():
        raise PublishError(f"{code}: no such file; write it with `quorum kaggle build`")
    try:
        split_name(name, 2, "OWNER/NAME")
    except PublishError as error:
        raise PublishError(f"{path}: {error}, with `quorum kaggle build --owner NAME`") from None
    return dict(value)


def plan(folder: Path) -> list[str]:
    """Return what a push would send, in lines. Raises `PublishError`."""
    value = read_metadata(folder)
    lines = [f"would push {folder / value['code_file']} as {value['id']}"]
    lines += [
        f"  {name.partition('_')[0]}: {', '.join(value[name])}"
        for name in _SOURCES
        if value.get(name)
    ]
    internet = "on" if value.get("enable_internet") else "off"
    private = "private" if value.get("is_private") else "public"
    return [*lines, f"  {private}, internet {internet}"]


def push(account: Account, folder: Path) -> str:
    """Push a notebook, which runs it; return its address and version.

    Raises:
        PublishError: Kaggle refuses it or one of its sources, or cannot be reached.
    """
    value = read_metadata(folder)
    response = account.call("pushing the notebook", account.api.kernels_push, str(folder))
    error = getattr(response, "error", "")
    if error:
        raise PublishError(f"Kaggle: {value['id']}: {error}")
    refused = [
        f"{name.partition('_')[0]} {each}"
        for name in _SOURCES
        for each in getattr(response, f"invalid_{name}", None) or []
    ]
    if refused:
        raise PublishError(
            f"Kaggle: {value['id']}: was pushed, but without {', '.join(refused)}: there is no "
            "such source, or it is not shared with you"
        )
    return f"{getattr(response, 'url', '')} version {getattr(response, 'version_number', '?')}"


def status(account: Account, name: str) -> str:
    """Return in a line how a notebook's last run stands. Raises `PublishError`."""
    split_name(name, 2, "OWNER/NAME")
    response = account.call("the notebook's status", account.api.kernels_status, name)
    state = getattr(response, "status", "unknown")
    word = str(getattr(state, "name", state)).lower()
    failure = getattr(response, "failure_message", "")
    return f"{name}: {word}{f' ({failure})' if failure else ''}"
