"""Writes a run report: `report.html` and `report.json`, both small."""

import json
from dataclasses import replace
from pathlib import Path

from kaggle_notebook.errors import KaggleError
from kaggle_notebook.report.data import RunReport
from kaggle_notebook.report.page import page

HTML = "report.html"
JSON = "report.json"
#: A notebook's output is read on a phone, and kept in every version of it.
MOST_HTML_BYTES = 400_000
MOST_JSON_BYTES = 600_000
#: What is given up where a page is too large: attempts of each problem, then problems.
_ATTEMPTS = (64, 16, 4, 0)


def html_of(report: RunReport) -> str:
    """Return the page, with as much as fits `MOST_HTML_BYTES`."""
    for most_attempts in _ATTEMPTS:
        text = page(report, most_attempts)
        if len(text.encode()) <= MOST_HTML_BYTES:
            return text
    return html_of(_fewer(report))


def json_of(report: RunReport) -> str:
    """Return the JSON, with as much as fits `MOST_JSON_BYTES`."""
    for most_attempts in _ATTEMPTS:
        problems = tuple(
            replace(each, attempts=each.attempts[:most_attempts]) for each in report.problems
        )
        text = json.dumps(replace(report, problems=problems).as_json()) + "\n"
        if len(text) <= MOST_JSON_BYTES:
            return text
    return json_of(_fewer(report))


def write_report(report: RunReport, folder: Path) -> tuple[Path, Path]:
    """Write both files and return their paths.

    Raises:
        KaggleError: the folder cannot be written.
    """
    paths = folder / HTML, folder / JSON
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(html_of(report), encoding="utf-8")
        paths[1].write_text(json_of(report), encoding="utf-8")
    except OSError as error:
        raise KaggleError(
            f"{folder}: cannot be written ({error.strerror}); name another folder with --out"
        ) from error
    return paths


def _fewer(report: RunReport) -> RunReport:
    """Return a report with half of the problems told."""
    kept = report.problems[: len(report.problems) // 2]
    return replace(report, problems=kept, omitted=report.omitted + len(report.problems) - len(kept))
