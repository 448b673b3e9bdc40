"""Rows of a small problem set."""

import json

ROWS = [
    {"id": "a", "problem": "What is 1 + 1?", "answer": "2", "level": 1, "subject": "Sums"},
    {"id": "b", "problem": "Half of 1?", "answer": "\\frac{1}{2}", "level": 2},
    {"id": "c", "problem": "Name a pair.", "answer": "(1, 2)", "level": 2},
]


def json_lines(rows: list[dict[str, object]]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows) + b"\n"
