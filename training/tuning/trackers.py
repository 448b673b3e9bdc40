"""Metrics sent to other programs as well: W&B, TensorBoard."""

import hashlib
import importlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from training.errors import BadFile, MissingExtra

#: Takes a step and its figures.
Send = Callable[[int, dict[str, float]], None]


def open_trackers(
    names: Sequence[str], folder: Path, config: dict[str, Any], stack: ExitStack
) -> list[Send]:
    """Open trackers by name; `stack` closes them.

    Raises:
        BadFile: there is none of that name.
        MissingExtra: its package is not installed.
    """
    unknown = [name for name in names if name not in _KNOWN]
    if unknown:
        raise BadFile(f"tracker {unknown[0]!r}: must be one of {', '.join(sorted(_KNOWN))}")
    return [_KNOWN[name](folder, config, stack) for name in names]


def _wandb(folder: Path, config: dict[str, Any], stack: ExitStack) -> Send:
    wandb = _library("wandb", "wandb")
    # the same id at every start: a run that goes on is one run there, too
    told = orjson.dumps([str(folder.resolve()), config], option=orjson.OPT_SORT_KEYS)
    run = wandb.init(
        project="quorum", id=hashlib.sha256(told).hexdigest()[:16], name=folder.name,
        dir=str(folder), config=config, resume="allow",
    )  # fmt: skip
    stack.callback(run.finish)
    return lambda step, figures: run.log(figures, step=step)


def _tensorboard(folder: Path, config: dict[str, Any], stack: ExitStack) -> Send:
    del config
    try:
        module = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        module = _library("tensorboardX", "tensorboardX")
    writer = module.SummaryWriter(str(folder / "tensorboard"))
    stack.callback(writer.close)

    def send(step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    return send


def _library(name: str, package: str) -> Any:  # noqa: ANN401 - not installed where checks run
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(
            f"this tracker needs {package}: install Quorum's extra `trackers`, or leave it out"
        ) from None


_KNOWN: dict[str, Callable[[Path, dict[str, Any], ExitStack], Send]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
