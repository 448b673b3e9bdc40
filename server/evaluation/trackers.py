"""A report's figures in experiment trackers: TensorBoard, Weights & Biases, trackio.

Each through its own package, which is installed by whoever wants it.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from server.evaluation.errors import TrackerUnavailable
from server.evaluation.report import Report

PROJECT = "quorum-eval"


def figures(report: Report) -> Iterator[tuple[str, float]]:
    """Yield every figure of a report by a path of names; an interval as its mean, low and high."""

    def walk(path: str, value: Any) -> Iterator[tuple[str, float]]:  # noqa: ANN401 - JSON
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int | float):
            yield path, float(value)
        elif isinstance(value, Mapping):
            for key, each in value.items():
                yield from walk(f"{path}/{key}", each)
        elif isinstance(value, list | tuple) and len(value) == 3:
            for key, each in zip(("mean", "low", "high"), value, strict=True):
                yield from walk(f"{path}/{key}", each)

    for section in report.sections:
        yield from walk(section.name, section.data)


def track(report: Report, trackers: Sequence[str], folder: Path) -> None:
    """Log a report's figures to each tracker.

    Raises:
        TrackerUnavailable: there is no such tracker, its package is missing, or it refuses.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise TrackerUnavailable(
                f"tracker {name[:40]!r}: must be one of {', '.join(TRACKERS)}; choose one of these"
            )
        try:
            TRACKERS[name](report.title, dict(figures(report)), folder)
        except ImportError as error:
            raise TrackerUnavailable(
                f"tracker {name!r}: needs a package that is not installed ({error.name}): install "
                f"Quorum's extra `trackers`, or `pip install {PACKAGES[name]}`, or leave it out"
            ) from error
        # Each package has errors of its own, without a common root.
        except Exception as error:
            raise TrackerUnavailable(
                f"tracker {name!r}: {type(error).__name__}: {error}; log in to it, or leave it out"
            ) from error


def _tensorboard(title: str, values: Mapping[str, float], folder: Path) -> None:
    try:
        module: Any = importlib.import_module("tensorboardX")
    except ImportError:
        module = importlib.import_module("torch.utils.tensorboard")
    writer = module.SummaryWriter(str(folder / "tensorboard"))
    try:
        writer.add_text("title", title)
        for name, value in values.items():
            writer.add_scalar(name, value, 0)
    finally:
        writer.close()


def _run_of(module_name: str) -> Callable[[str, Mapping[str, float], Path], None]:
    """Return what logs to a package with wandb's interface, which is trackio's too."""

    def log(title: str, values: Mapping[str, float], folder: Path) -> None:
        del folder
        module: Any = importlib.import_module(module_name)
        module.init(project=PROJECT, name=title)
        try:
            module.log(dict(values))
        finally:
            module.finish()

    return log


PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
TRACKERS: Mapping[str, Callable[[str, Mapping[str, float], Path], None]] = {
    "tensorboard": _tensorboard,
    "wandb": _run_of("wandb"),
    "trackio": _run_of("trackio"),
}
