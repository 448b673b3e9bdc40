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


def require_trackers(trackers: Sequence[str]) -> None:
    """See, before any work is done for them, that there are these trackers.

    Raises:
        TrackerUnavailable: there is no such tracker, or its package is missing.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise TrackerUnavailable(
                f"tracker {name[:40]!r}: must be one of {', '.join(TRACKERS)}; choose one of these"
            )
        try:
            _module(name)
        except ImportError as error:
            raise _missing(name, error) from error
        except Exception as error:
            raise _refused(name, error) from error


def _missing(name: str, error: ImportError) -> TrackerUnavailable:
    return TrackerUnavailable(
        f"tracker {name!r}: needs a package that is not installed ({error.name}): install "
        f"Quorum's extra `trackers`, or `pip install {MODULES[name][0]}`, or leave it out"
    )


def _refused(name: str, error: Exception) -> TrackerUnavailable:
    return TrackerUnavailable(
        f"tracker {name!r}: {type(error).__name__}: {error}; log in to it, or leave it out"
    )


def _module(name: str) -> Any:  # noqa: ANN401 - each has functions of its own
    """Import the first of a tracker's packages that is installed; raises `ImportError` if none."""
    first, *others = MODULES[name]
    try:
        return importlib.import_module(first)
    except ImportError:
        if not others:
            raise
        return importlib.import_module(others[0])


def track(report: Report, trackers: Sequence[str], folder: Path) -> None:
    """Log a report's figures to each tracker.

    Raises:
        TrackerUnavailable: there is no such tracker, its package is missing, or it refuses.
    """
    require_trackers(trackers)
    for name in trackers:
        try:
            TRACKERS[name](_module(name), report.title, dict(figures(report)), folder)
        except ImportError as error:
            raise _missing(name, error) from error
        # Each package has errors of its own, without a common root.
        except Exception as error:
            raise _refused(name, error) from error


def _tensorboard(module: Any, title: str, values: Mapping[str, float], folder: Path) -> None:  # noqa: ANN401
    writer = module.SummaryWriter(str(folder / "tensorboard"))
    try:
        writer.add_text("title", title)
        for name, value in values.items():
            writer.add_scalar(name, value, 0)
    finally:
        writer.close()


def _run(module: Any, title: str, values: Mapping[str, float], folder: Path) -> None:  # noqa: ANN401
    """Log to a package with wandb's interface, which is trackio's too."""
    del folder
    module.init(project=PROJECT, name=title)
    try:
        module.log(dict(values))
    finally:
        module.finish()


#: Packages that a tracker is had through: the one that is installed with the extra comes first.
MODULES: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboardX", "torch.utils.tensorboard"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
TRACKERS: Mapping[str, Callable[[Any, str, Mapping[str, float], Path], None]] = {
    "tensorboard": _tensorboard,
    "wandb": _run,
    "trackio": _run,
}
