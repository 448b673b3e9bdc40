"""A report's files: report.html, report.md, report.json, problems.csv, each whole or not at all."""

import csv
import io
from pathlib import Path

import orjson

from server.evaluation.errors import EvaluationUnusable
from server.evaluation.page import markdown, page
from server.evaluation.report import Report


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write a report's files into a folder; return their paths.

    Raises:
        EvaluationUnusable: they cannot be written.
    """
    contents = {
        "report.html": page(report).encode(),
        "report.md": markdown(report).encode(),
        "report.json": orjson.dumps(
            report.data(), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        ),
        "problems.csv": _csv(report).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            partial = folder / f".{name}.partial"
            partial.write_bytes(content)
            partial.replace(folder / name)
    except OSError as error:
        raise EvaluationUnusable(
            f"{folder}: cannot be written ({error.strerror or error}); free space, or name a "
            "folder that can be written"
        ) from error
    return [folder / name for name in contents]


def _csv(report: Report) -> str:
    text = io.StringIO()
    if report.rows:
        writer = csv.DictWriter(text, list(report.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in report.rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Keep a spreadsheet from taking what a model wrote for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
