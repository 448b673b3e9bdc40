"""A data set, or a new version of one."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from kaggle_notebook.errors import PublishError
from kaggle_notebook.publish.account import Account
from kaggle_notebook.publish.names import dataset_name, title_of
from kaggle_notebook.publish.staging import Upload, discard, stage

METADATA = "dataset-metadata.json"
#: Kaggle unpacks and checks an upload; a bundle of 0.1 GB took a minute.
READY_LIMIT_S = 1800.0
ASK_EVERY_S = 10.0
_READY = "ready"
_FAILED = ("error", "failed", "deleted")
_PAGE = 200
_MOST_PAGES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRequest:
    """What to upload, and under which name (OWNER/NAME)."""

    name: str
    upload: Upload
    title: str = ""
    licence: str = "apache-2.0"
    public: bool = False
    notes: str = ""


def check(request: DatasetRequest) -> None:
    """Raise `PublishError` unless the request can be sent."""
    _, slug = dataset_name(request.name)
    title = request.title or title_of(slug)
    if not 6 <= len(title) <= 50:
        raise PublishError(f"title {title!r}: must have 6 to 50 characters; give one with --title")


def publish(account: Account, request: DatasetRequest, tell: Callable[[str], object]) -> str:
    """Upload; return the data set's address. An upload that was cut goes on where it was.

    Raises:
        PublishError: Kaggle refuses, cannot be reached, or a file is missing there afterwards.
    """
    check(request)
    api = account.api
    _, slug = dataset_name(request.name)
    metadata = {
        "id": request.name,
        "title": request.title or title_of(slug),
        "licenses": [{"name": request.licence}],
    }
    folder = stage(request.upload, {METADATA: metadata})
    notes = " ".join(filter(None, [request.notes, f"sha256 {request.upload.digest}"]))
    known = account.found("the data set's status", api.dataset_status, request.name)
    if known is None:
        tell(f"creating {request.name}")
        response = account.call(
            "creating the data set",
            api.dataset_create_new,
            str(folder),
            public=request.public,
            quiet=True,
        )
    else:
        tell(f"adding a version to {request.name}")
        response = account.call(
            "adding a version", api.dataset_create_version, str(folder), notes, quiet=True
        )
    if getattr(response, "error", "") or getattr(response, "status", "") in _FAILED:
        raise PublishError(f"Kaggle: {request.name}: {getattr(response, 'error', 'refused')}")
    _wait_ready(account, request.name, tell)
    _compare(account, request)
    discard(folder)
    return str(getattr(response, "url", "") or request.name)


def _wait_ready(account: Account, name: str, tell: Callable[[str], object]) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while True:
        status = str(account.call("the data set's status", account.api.dataset_status, name))
        if status == _READY:
            return
        if status in _FAILED:
            raise PublishError(f"Kaggle: {name}: cannot be unpacked there; see its page")
        if time.monotonic() > deadline:
            raise PublishError(
                f"Kaggle: {name}: not ready within {READY_LIMIT_S:.0f} s (it is {status}); look "
                f"again with `quorum kaggle status --dataset {name}`"
            )
        tell(f"{name} is {status}")
        account.pause(ASK_EVERY_S)


def _compare(account: Account, request: DatasetRequest) -> None:
    """Refuse a version in which a file is missing; its bytes are checked at the install."""
    there: set[str] = set()
    token = None
    for _ in range(_MOST_PAGES):
        listed = account.call(
            "listing its files", account.api.dataset_list_files, request.name, token, _PAGE
        )
        there |= {str(file.name) for file in listed.dataset_files or []}
        token = getattr(listed, "next_page_token", "") or None
        if token is None:
            break
    # an archive may be shown as one, or as what is in it, with folders or without
    names = {name.rpartition("/")[2] for name in there} | there
    missing = [
        name
        for name in request.upload.files
        if name.rpartition("/")[2] not in names and f"{name.partition('/')[0]}.zip" not in names
    ]
    if missing:
        listed_names = ", ".join(missing[:5])
        raise PublishError(
            f"Kaggle: {request.name}: lacks {len(missing)} files of the upload ({listed_names}); "
            "run the command again"
        )
