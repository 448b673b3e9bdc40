"""Tables of a problem, written in LaTeX, as records in Python.

Small models copy single numbers well, and lose the columns between `&` and `\\\\`: of a table with
six columns they take the wrong one, or all; or they write programs for a `data` that nobody has
told them of. So a program can begin with it.
"""

import json
import re
from collections.abc import Iterator

_TABLE = re.compile(r"\\begin\{tabular\}(?:\[\w*\])?\s*(.*?)\\end\{tabular\}", re.DOTALL)
#: `{|l|c|c|}`, in which braces may be nested once: `p{3cm}`.
_COLUMNS = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}")
_RULES = re.compile(r"\\(?:hline|toprule|midrule|bottomrule|cline\{[^{}]*\})")
_ROW_END = re.compile(r"\\\\(?:\[[^\]\n]{0,20}\])?")
_CELL_END = re.compile(r"(?<!\\)&")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|mathbf|mathrm|rm|bf)\b|[${}]|\\[,!;: ]")
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,15})?")

#: Longer ones would fill a small model's context.
MOST_CHARACTERS = 3_000


def records(problem: str) -> str:
    """Return Python code with the tables of a problem, a list of dictionaries each.

    Empty where there is none that can be read: a row of headings and rows as long as it.
    """
    found = [rows for match in _TABLE.finditer(problem) if (rows := _records(match[1]))]
    names = (
        ["data"] if len(found) == 1 else [f"data{number}" for number in range(1, 1 + len(found))]
    )
    code = "".join(map(_assignment, names, found))
    return code if len(code) <= MOST_CHARACTERS else ""


def _records(table: str) -> list[dict[str, str | float]]:
    columns = _COLUMNS.match(table)
    body = _RULES.sub(" ", table[columns.end() :] if columns else table)
    rows = list(_rows(body))
    if not rows:
        return []
    heads, *others = rows
    if len(set(heads)) < len(heads) or not all(heads):
        return []
    return [
        dict(zip(heads, map(_value, row), strict=True)) for row in others if len(row) == len(heads)
    ]


def _rows(body: str) -> Iterator[list[str]]:
    """Yield the cells of each row that has more than one: a single one is a caption."""
    for row in _ROW_END.split(body):
        cells = [_plain(cell) for cell in _CELL_END.split(row)]
        if len(cells) > 1:
            yield cells


def _plain(cell: str) -> str:
    return " ".join(_MARKUP.sub("", cell).replace("\\%", "%").replace("\\&", "&").split())


def _value(cell: str) -> str | float:
    if not _NUMBER.fullmatch(cell):
        return cell
    plain = cell.replace(",", "")
    return float(plain) if "." in plain else int(plain)


def _assignment(name: str, rows: list[dict[str, str | float]]) -> str:
    lines = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f"{name} = [\n{lines},\n]\n"
