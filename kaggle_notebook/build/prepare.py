"""What the notebook's second cell does: looks at the inputs and completes the session's settings.

Standard library alone, and quick: the inference server waits for it.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kaggle_notebook.build.checks import (
    Finding,
    Verdict,
    bundle_finding,
    image_findings,
    model_finding,
    summary,
)
from kaggle_notebook.build.models import FoundModel, choose_model, find_models
from kaggle_notebook.bundle.doctor import FILE as DOCTOR_FILE
from kaggle_notebook.bundle.manifest import Kind, Manifest, place, read, sha256_of
from kaggle_notebook.errors import InputError, KaggleError
from kaggle_notebook.files import writable_folder
from kaggle_notebook.output import say
from kaggle_notebook.settings import RERUN, Mode, plain_settings, read_settings

FINDINGS = "findings.json"
#: For a GPU's engine where the first cell does not say otherwise: what recorded contest runs used.
GPU_DEFAULTS: Mapping[str, int | float] = {
    "engine.context_tokens": 81_920,
    "engine.start_timeout_s": 900,
    "solve.attempts": 8,
    "solve.agree": 4,
    "solve.max_turns": 128,
    "solve.max_tokens": 81_920,
    "solve.temperature": 1.0,
    "sandbox.kernels": 16,
}
#: Engines of which a setting says where they are: no model is looked for.
_ELSEWHERE = ("engine.model", "engine.urls")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The session's settings, complete, and what was found on the way."""

    settings: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return all(finding.verdict is not Verdict.MISSING for finding in self.findings)


def prepare(
    bundle: Path | None,
    settings: Mapping[str, Any],
    *,
    inputs: str | Path = "/kaggle/input",
    model: str = "",
) -> Prepared:
    """Find model and bundle, print one summary, and return the settings for `start`.

    `model` is a path, or a part of one, where several are attached. In the run that counts nothing
    is refused: a session without a model still answers.

    Raises:
        InputError: something is missing, in a run that does not count; the sentence says what.
        SettingsError: a setting is unknown or malformed.
    """
    read_settings(settings)
    settings = plain_settings(settings)
    root = Path(inputs)
    completed: dict[str, Any] = {
        "inputs": str(root),
        **settings,
        "server": dict(settings.get("server", {})),
    }
    manifest = _manifest(bundle)
    findings = _image()
    if isinstance(manifest, KaggleError):
        findings.append(Finding("bundle", Verdict.MISSING, str(manifest)))
        manifest = None
    else:
        findings.append(_bundle(bundle, manifest))
    if _needs_model(completed):
        found = _model(root, model, bundle, manifest)
        findings.append(model_finding(found))
        if isinstance(found, FoundModel):
            completed["server"] = {**engine_settings(found), **completed["server"]}
    if bundle is not None and manifest is not None and not settings.get("install"):
        completed["install"] = install_command(bundle, completed["server"])
    prepared = Prepared(completed, tuple(findings))
    say(summary(findings) + "\n")
    _keep(prepared)
    if not prepared.whole and RERUN not in os.environ:
        wrong = [each for each in findings if each.verdict is Verdict.MISSING]
        raise InputError("; ".join(f"{each.subject}: {each.detail}" for each in wrong))
    return prepared


def install_command(bundle: Path, server: Mapping[str, Any]) -> list[str]:
    """Return the command that makes the server's environment from a bundle.

    Where the run does not count, the server's own doctor then looks at it, for the report.
    """
    code = str(Path(__file__).parent.parent.parent)
    program = (
        f"import sys; sys.path.insert(0, {code!r}); "
        "from kaggle_notebook.bundle.install import main; main()"
    )
    command = [sys.executable, "-c", program, str(bundle)]
    if RERUN in os.environ:
        return command
    return [*command, "--doctor", DOCTOR_FILE, "--server", json.dumps(server)]


def engine_settings(model: FoundModel) -> dict[str, str | int | float]:
    """Return the server's settings for a model."""
    if model.is_gguf:
        return {"engine.kind": "llamacpp", "engine.model": str(model.path)}
    return {"engine.kind": "sglang", "engine.model": str(model.path), **GPU_DEFAULTS}


def _needs_model(settings: Mapping[str, Any]) -> bool:
    if settings.get("mode") == Mode.TIMING or settings.get("command"):
        return False
    server = settings["server"]
    return server.get("engine.kind") in (None, "llamacpp", "sglang") and not any(
        server.get(name) for name in _ELSEWHERE
    )


def _image() -> list[Finding]:
    """Return what the image has; a look that fails is a finding too, and ends no run."""
    try:
        return list(image_findings())
    except Exception as error:  # noqa: BLE001 - of a system that no program foresaw
        return [Finding("image", Verdict.NOTE, f"{type(error).__name__}: {error}")]


def _bundle(bundle: Path | None, manifest: Manifest | None) -> Finding:
    """Return how the bundle is, whatever the mounts do."""
    try:
        return bundle_finding(bundle, manifest)
    except Exception as error:  # noqa: BLE001 - of mounts and files that no program foresaw
        detail = f"{bundle}: cannot be looked through ({type(error).__name__}: {error})"
        return Finding("bundle", Verdict.MISSING, detail, "attach it again")


def _model(
    root: Path, wanted: str, bundle: Path | None, manifest: Manifest | None
) -> FoundModel | KaggleError:
    """Return the model, or why there is none, whatever the mounts do and the files hold."""
    try:
        return _found_model(root, wanted, bundle, manifest)
    except Exception as error:  # noqa: BLE001 - of mounts and files that no program foresaw
        reason = f"{type(error).__name__}: {error}"
        return InputError(f"{root}: cannot be searched ({reason}); attach the model again")


def _manifest(bundle: Path | None) -> Manifest | KaggleError | None:
    try:
        return None if bundle is None else read(bundle)
    except KaggleError as error:
        return error


def _found_model(
    root: Path, wanted: str, bundle: Path | None, manifest: Manifest | None
) -> FoundModel | KaggleError:
    named = Path(wanted).expanduser() if wanted else root
    try:
        # a path that is given need not be below the inputs
        found = find_models(named if named.is_dir() else root)
        if named.is_file():
            found = [each for each in find_models(named.parent) if each.path == named]
        chosen = choose_model(found, "" if named.exists() else wanted, str(root))
    except InputError as error:
        return error
    if chosen.has_vocabulary or bundle is None or manifest is None:
        return chosen
    return _with_vocabulary(chosen, bundle, manifest)


def _with_vocabulary(model: FoundModel, bundle: Path, manifest: Manifest) -> FoundModel:
    """Return a model that has no token table as a folder of links, with the bundle's beside."""
    where = place(bundle, manifest)
    ranks = [
        where[file.path]
        for file in manifest.files
        if file.kind is Kind.VOCABULARY
        and file.path in where
        and sha256_of(where[file.path]) == file.sha256
    ]
    if len(ranks) != 1:
        return model
    folder = Path(tempfile.mkdtemp(prefix="quorum-model-"))
    for path in [*model.path.iterdir(), *ranks]:
        (folder / path.name).symlink_to(path)
    return replace(model, path=folder, has_vocabulary=True)


def _keep(prepared: Prepared) -> None:
    """Leave the findings where the run report looks for them."""
    with suppress(OSError):
        folder = writable_folder(read_settings(prepared.settings).path)
        text = json.dumps([finding.as_json() for finding in prepared.findings])
        (folder / FINDINGS).write_text(text, encoding="utf-8")
