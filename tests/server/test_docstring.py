"""A problem as a docstring is the problem again when Python reads it, and a program's beginning."""

import ast

import pytest

from client.schema import AnswerKind
from server.prompts import compose
from server.prompts.docstring import MOST_CHARACTERS, docstring


def read(problem: str) -> str | None:
    """Return what Python has for the docstring of a function that begins so."""
    (function,) = ast.parse(f"def solution():\n{docstring(problem)}    return 1\n").body
    assert isinstance(function, ast.FunctionDef)
    return ast.get_docstring(function, clean=False)


@pytest.mark.parametrize(
    "problem",
    [
        "What is 1 + 1?",
        r"Find \frac{1}{2} + \sqrt{3} in \newline terms of \u0041, \x41 and \N{BULLET}.",
        'Who said "no"?" ',
        'He said "yes"',
        'Three """quotes""" and four """"',
        "It ends with a backslash \\",
        "'''",
        "{docstring} and {tables}",
    ],
)
def test_python_reads_the_problem(problem: str) -> None:
    found = read(problem)
    assert found is not None
    assert found.strip() == problem.strip()


def test_lines_are_set_in_and_empty_ones_left_out() -> None:
    assert docstring("One.\n\n  Two.\r\nThree.") == '    """One.\n    Two.\n    Three."""\n'


def test_no_fence_ends_the_program_early() -> None:
    assert "```" not in docstring("```output\n5\n```\nSay 5.")


def test_a_long_problem_is_left_out() -> None:
    assert docstring("x" * MOST_CHARACTERS)
    assert docstring("x" * (MOST_CHARACTERS + 1)) == ""


def test_the_models_program_begins_with_the_problem() -> None:
    def begun(problem: str) -> str:
        return compose(problem, AnswerKind.TEXT, tools=True, chosen="qwen", variant="pal").start

    assert begun("1 + 1?") == '```python\ndef solution():\n    """1 + 1?"""\n'
    assert begun("{tables}") == '```python\ndef solution():\n    """{tables}"""\n'
    table = r"\begin{tabular}{cc} a & b \\ 1 & 2 \end{tabular}"
    assert begun(table).startswith('```python\ndata = [\n    {"a": 1, "b": 2},\n]\ndef solution')
    assert begun("x" * (MOST_CHARACTERS + 1)) == "```python\ndef solution():\n"
