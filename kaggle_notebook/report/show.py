"""Shows a run's report in the notebook's output."""

import importlib
import os
from html import escape
from pathlib import Path
from typing import Any

from kaggle_notebook.errors import KaggleError
from kaggle_notebook.ladder import Rung
from kaggle_notebook.output import say
from kaggle_notebook.report.collect import collect
from kaggle_notebook.report.data import RunReport
from kaggle_notebook.report.page import clock
from kaggle_notebook.report.write import html_of, write_report
from kaggle_notebook.settings import RERUN, Mode


def show(folder: Path) -> None:
    """Write the report beside the answers and show it; where it cannot be made, say why.

    The run is over and answered by then: nothing here may fail the notebook that counts.

    Raises:
        KaggleError: this run does not count, and nothing was solved in it: submitted as it is, the
            one that counts would answer as little.
    """
    report = _shown(folder)
    if report is not None and RERUN not in os.environ and _solved_nothing(report):
        raise KaggleError(
            f"none of {report.answered} problems was solved, all have the default answer: must be "
            f"one at least; see the summary of the second cell, and server.log in {folder}"
        )


def _solved_nothing(report: RunReport) -> bool:
    return (
        report.mode != Mode.TIMING
        and report.answered > 0
        and set(report.rungs) == {Rung.DEFAULT.value}
    )


def _shown(folder: Path) -> RunReport | None:
    try:
        report = collect(folder)
        say(text_of(report))
        _display(html_of(report))
        write_report(report, folder)
        return report
    except KaggleError as error:
        say(f"no report: {error}\n")
    except Exception as error:  # noqa: BLE001 - of files that anything may have torn
        say(f"no report: {type(error).__name__}: {error}\n")
    return None


def text_of(report: RunReport) -> str:
    """Return the report in some lines of plain text."""
    right = "" if report.right is None else f", {report.right} right"
    time = f"{clock(report.elapsed_s)} of {clock(report.limit_s)}"
    lines = [f"{report.answered} of {report.problems_expected} answered{right} in {time}"]
    for each in report.problems:
        votes = ", ".join(f"{vote.answer} x {vote.votes}" for vote in each.votes if vote.votes)
        lines.append(
            f"{each.number:>3}  {each.id:<20.20} {each.answer:>6}  {each.rung:<8} "
            f"{clock(each.seconds):>8}  {votes:.60}"
        )
    return "\n".join(lines) + "\n"


def frame(page: str) -> str:
    """Return a page in a frame of its own, in which nothing can run and no style leaks."""
    return (
        '<iframe sandbox="" referrerpolicy="no-referrer" title="Quorum run" '
        'style="width:100%;height:40rem;border:1px solid #8884" '
        f'srcdoc="{escape(page, quote=True)}"></iframe>'
    )


def _display(page: str) -> None:
    """Show a page where there is a notebook to show it in."""
    try:
        display: Any = importlib.import_module("IPython.display").display
        shell: Any = importlib.import_module("IPython").get_ipython()
    except ImportError:
        return
    if shell is not None:
        # IPython's own class for markup warns of frames
        display({"text/html": frame(page), "text/plain": "the run's report"}, raw=True)
