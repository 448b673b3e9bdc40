"""Pictures of a study: accuracy against tokens, and how budgets spend a run. Needs matplotlib."""

import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.replay.errors import PicturesUnavailable
from server.replay.study import Study
from voting.replay.budgets import BudgetResult
from voting.replay.evaluate import Measure

DOTS_PER_INCH = 120
SIZE = (9.0, 5.0)
#: Names longer than this would cover the picture.
MOST_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: the name of its file without an ending, what it shows, and its PNG."""

    name: str
    caption: str
    png: bytes


def pictures(study: Study) -> Iterator[Picture]:
    """Yield a study's pictures; equal studies give equal ones, byte by byte.

    Raises:
        PicturesUnavailable: matplotlib is not installed.
    """
    figure_module, agg = _matplotlib()
    caption = "Accuracy against tokens; bars are 95 % intervals by problem."
    figure = figure_module.Figure(figsize=SIZE, layout="constrained")
    _accuracy(figure.add_subplot(), study)
    yield Picture("accuracy_against_tokens", caption, _png(figure, agg))
    for hours, results in study.budgets.items():
        figure = figure_module.Figure(figsize=SIZE, layout="constrained")
        _budget_use(figure.subplots(len(results), sharex=True, squeeze=False)[:, 0], results)
        yield Picture(
            f"budget_use_{hours:g}h",
            f"The first run under {hours:g} hours: seconds of each problem; dark is right.",
            _png(figure, agg),
        )


def _accuracy(axes: Any, study: Study) -> None:  # noqa: ANN401 - matplotlib is not typed here
    for place, combination in enumerate(study.evaluation.combinations):
        accuracy = study.accuracy(place)
        tokens = study.mean(place, Measure.TOKENS) / 1e3
        below, above = accuracy.mean - accuracy.low, accuracy.high - accuracy.mean
        axes.errorbar(
            tokens, accuracy.mean, yerr=[[max(0.0, below)], [max(0.0, above)]], fmt="o", capsize=3,
            label=_plain(combination.name),
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel("thousand tokens a problem")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.figure.legend(fontsize="small", loc="outside lower center", ncols=2)


def _budget_use(axes: Any, results: list[BudgetResult]) -> None:  # noqa: ANN401
    for each, result in zip(axes, results, strict=True):
        seconds = np.array([solve.seconds for solve in result.first.solves])
        right = np.array([solve.right for solve in result.first.solves])
        colors = np.where(right, "#1b4965", "#bcd4e6").tolist()
        each.bar(np.arange(1, len(seconds) + 1), seconds, color=colors)
        each.set_title(f"{_plain(result.name)}: {right.sum()} right", fontsize="medium")
        each.set_ylabel("seconds")
    axes[-1].set_xlabel("problem, in the order of the run")


def _plain(name: str) -> str:
    """Return a name that matplotlib shows as it is: a dollar would begin mathematics."""
    short = name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 1]}…"
    return short.replace("$", r"\$").lstrip("_")


def _png(figure: Any, agg: Any) -> bytes:  # noqa: ANN401
    agg.FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # No date and no version: the same study gives the same bytes.
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _matplotlib() -> tuple[Any, Any]:
    """Return matplotlib's figures and its canvas without a window; no global state is touched."""
    try:
        figure = importlib.import_module("matplotlib.figure")
        return figure, importlib.import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        raise PicturesUnavailable(
            "pictures: need matplotlib, which is not installed: install the extra, as in "
            '`pip install "quorum-aimo[plots]"`, or leave --png and --html out'
        ) from error
