"""A model's variation, or a new version of one."""

from collections.abc import Callable
from dataclasses import dataclass

from kaggle_notebook.build.models import choose_model, find_models
from kaggle_notebook.errors import InputError, PublishError
from kaggle_notebook.publish.account import Account
from kaggle_notebook.publish.names import split_name, title_of
from kaggle_notebook.publish.staging import Upload, discard, stage

MODEL_METADATA = "model-metadata.json"
INSTANCE_METADATA = "model-instance-metadata.json"
FORM = "OWNER/MODEL/FRAMEWORK/VARIATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What to upload, and under which name (OWNER/MODEL/FRAMEWORK/VARIATION)."""

    name: str
    upload: Upload
    title: str = ""
    licence: str = "Apache 2.0"
    public: bool = False
    notes: str = ""


def check(request: ModelRequest) -> None:
    """Raise `PublishError` unless the request can be sent and its folder holds whole weights."""
    split_name(request.name, 4, FORM)
    try:
        choose_model(find_models(request.upload.folder), root=str(request.upload.folder))
    except InputError as error:
        raise PublishError(str(error)) from None


def publish(account: Account, request: ModelRequest, tell: Callable[[str], object]) -> str:
    """Upload; return the model's name. An upload that was cut goes on where it was.

    Raises:
        PublishError: Kaggle refuses or cannot be reached.
    """
    check(request)
    api = account.api
    owner, model, framework, variation = split_name(request.name, 4, FORM)
    folder = stage(request.upload, _metadata(request))
    if account.found("the model", api.model_get, f"{owner}/{model}") is None:
        tell(f"creating {owner}/{model}")
        _accepted(request, account.call("creating the model", api.model_create_new, str(folder)))
    notes = " ".join(filter(None, [request.notes, f"sha256 {request.upload.digest}"]))
    if account.found("the variation", api.model_instance_get, request.name) is None:
        tell(f"creating the variation {framework}/{variation}")
        response = account.call(
            "creating the variation", api.model_instance_create, str(folder), quiet=True
        )
    else:
        tell(f"adding a version to {request.name}")
        response = account.call(
            "adding a version",
            api.model_instance_version_create,
            request.name,
            str(folder),
            notes,
            quiet=True,
        )
    _accepted(request, response)
    discard(folder)
    return str(getattr(response, "url", "") or request.name)


def _metadata(request: ModelRequest) -> dict[str, dict[str, object]]:
    owner, model, framework, variation = split_name(request.name, 4, FORM)
    about = f"Uploaded with Quorum; sha256 {request.upload.digest}"
    return {
        MODEL_METADATA: {
            "ownerSlug": owner,
            "slug": model,
            "title": request.title or title_of(model),
            "subtitle": "",
            "isPrivate": not request.public,
            "description": about,
            "publishTime": "",
            "provenanceSources": "",
        },
        INSTANCE_METADATA: {
            "ownerSlug": owner,
            "modelSlug": model,
            "instanceSlug": variation,
            "framework": framework,
            "overview": about,
            "usage": "",
            "licenseName": request.licence,
            "fineTunable": False,
            "trainingData": [],
        },
    }


def _accepted(request: ModelRequest, response: object) -> None:
    error = getattr(response, "error", "")
    if error:
        raise PublishError(f"Kaggle: {request.name}: {error}")
