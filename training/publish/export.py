"""An adapter from the service: exported there, fetched by signed addresses, checked here."""

import warnings
from pathlib import Path
from typing import Any

import httpx
import orjson

from training.errors import BadAdapter, ServiceFailed, reading
from training.files import whole_folder, write_json
from training.merge.adapter import CONFIG, WEIGHTS
from training.merge.tensor_file import open_tensors
from training.provenance import of_file, provenance
from training.tuning.folder import checkpoint_name
from training.tuning.service import TIMEOUT_S, wait

#: What a path of exported weights has in it.
EXPORTED = "/external_weights/"
ORIGIN = "export.json"
#: Seconds without a byte of a download.
SILENCE_S = 60.0


def export(
    client: Any,  # noqa: ANN401 - the SDK's service client
    path: str,
    target: Path,
    *,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Write the adapter of a checkpoint to the folder `target`.

    Args:
        client: of the service.
        path: the `state_path` of a checkpoint, or of weights that were exported before.
        target: the folder to write, with the files as PEFT names them.
        timeout_s: seconds for each answer of the service.

    Raises:
        BadAdapter, BadTensors: what came is no adapter.
        OutputExists, OutputFailed: the folder cannot be written.
        ServiceFailed: the service refused, or a file did not come whole.
    """
    with whole_folder(target, {"path": path}) as work:
        exported = path if EXPORTED in path else _exported(client, path, timeout_s)
        with warnings.catch_warnings():
            # the SDK's way from 0.38 on is a client of its own, which older ones do not have
            warnings.simplefilter("ignore", FutureWarning)
            rest = client.create_rest_client()
        answer = wait(rest.get_external_weights_urls(exported), "asking for files", timeout_s)
        names = {Path(name).name: url for name, url in answer.urls.items()}
        missing = [name for name in (CONFIG, WEIGHTS) if name not in names]
        if missing:
            raise BadAdapter(f"{exported}: has no {missing[0]}; export another checkpoint")
        for name, url in sorted(names.items()):
            _fetch(url, work / name)
        name_targets(work)
        told = provenance("export", {"path": path, "exported": exported})
        told["files"] = [of_file(work / name) for name in sorted(names)]
        write_json(work / ORIGIN, told)


def _exported(client: Any, path: str, timeout_s: float) -> str:  # noqa: ANN401
    made = client.create_training_client_from_state(path)
    trainer = wait(made, f"loading {path}", timeout_s)
    if not hasattr(trainer, "save_weights_external"):
        raise ServiceFailed("this version of tinker cannot export weights: install 0.38 or later")
    saved = trainer.save_weights_external(checkpoint_name(0))
    return str(wait(saved, f"exporting {path}", timeout_s).path)


def _fetch(url: str, target: Path) -> None:
    """Download a file. The address grants access: no error repeats it."""
    try:
        with (
            httpx.stream("GET", url, timeout=SILENCE_S, follow_redirects=True) as reply,
            target.open("wb") as file,
        ):
            reply.raise_for_status()
            for part in reply.iter_bytes():
                file.write(part)
    except httpx.HTTPStatusError as error:
        raise ServiceFailed(
            f"{target.name}: its address answers {error.response.status_code}; export again"
        ) from None
    except httpx.HTTPError as error:
        raise ServiceFailed(
            f"{target.name}: did not come whole ({type(error).__name__}); run the command again"
        ) from None


def name_targets(folder: Path) -> None:
    """Name the trained modules in an adapter's settings, where they are not named.

    PEFT silently leaves out most of an adapter whose `target_modules` is null.

    Raises:
        BadAdapter, BadTensors: the files are no adapter.
    """
    path = folder / CONFIG
    with reading(path, BadAdapter):
        content = path.read_bytes()
    try:
        config: dict[str, Any] = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadAdapter(f"{path}: not JSON ({error}); export the adapter again") from None
    names = open_tensors(folder / WEIGHTS).entries
    modules = {name.split(".lora_")[0].rpartition(".")[2] for name in names if ".lora_" in name}
    if not modules:
        raise BadAdapter(f"{folder / WEIGHTS}: holds no LoRA matrices; export the adapter again")
    if not config.get("target_modules") and not config.get("target_parameters"):
        write_json(path, config | {"target_modules": sorted(modules)})
