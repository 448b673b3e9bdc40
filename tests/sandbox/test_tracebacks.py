"""The short form of errors; the code under test runs in kernels, but needs none."""

import linecache
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType

import pytest

from sandbox.inside.tracebacks import CELL_NAME, format_error, format_warning

Raised = Callable[[str], str]

_CELL = CELL_NAME.format(number=1)


@pytest.fixture
def raised() -> Iterator[Raised]:
    """Formats the error that a source raises when it runs as cell 1."""

    def format_raised(source: str) -> str:
        source = textwrap.dedent(source)
        lines = source.splitlines(keepends=True)
        linecache.cache[_CELL] = (len(source), None, lines, _CELL)
        try:
            exec(compile(source, _CELL, "exec"), {})  # noqa: S102
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the subject
            return format_error(error)
        raise AssertionError("the source raises nothing")

    yield format_raised
    linecache.cache.pop(_CELL, None)


def test_frames_of_the_cell_and_the_message(raised: Raised) -> None:
    assert raised("def f(n):\n    return 1 / n\nf(0)") == (
        "Cell 1, line 3\n    f(0)\n"
        "Cell 1, line 2, in f\n    return 1 / n\n    n = 0\n"
        "ZeroDivisionError: division by zero\n"
    )


def test_frames_of_libraries_are_left_out(raised: Raised) -> None:
    assert raised("import fractions\nfractions.Fraction('x')") == (
        "Cell 1, line 2\n    fractions.Fraction('x')\n"
        "ValueError: Invalid literal for Fraction: 'x'\n"
    )


def test_frames_of_a_string_that_the_cell_runs_are_shown(raised: Raised) -> None:
    assert raised("exec('x = 1\\n1 / 0')") == (
        "Cell 1, line 1\n    exec('x = 1\\n1 / 0')\n"
        "String, line 2\nZeroDivisionError: division by zero\n"
    )


def test_a_mutual_recursion_is_cut_in_the_middle(raised: Raised) -> None:
    text = raised("def f(n):\n    g(n)\ndef g(n):\n    f(n) if n else 1 / 0\nf(1)")
    lines = text.splitlines()
    assert lines[-1].startswith("RecursionError: maximum recursion depth exceeded")
    assert any("frames left out" in line for line in lines)
    assert len(lines) < 20


def test_earlier_errors_take_a_line_each(raised: Raised) -> None:
    source = """
        try:
            try:
                1 / 0
            except ZeroDivisionError:
                {}["a"]
        except KeyError as error:
            raise ValueError("last") from error
    """
    lines = raised(source).splitlines()
    assert lines[:2] == ["(after ZeroDivisionError: division by zero)", "(after KeyError: 'a')"]
    assert lines[-1] == "ValueError: last"


def test_a_suppressed_context_is_not_shown(raised: Raised) -> None:
    source = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('last') from None"
    assert "ZeroDivisionError" not in raised(source)


def test_notes_follow_the_message(raised: Raised) -> None:
    text = raised("error = ValueError('a')\nerror.add_note('b')\nraise error")
    assert text.endswith("ValueError: a\nb\n")


def test_an_error_without_message_is_its_name_and_a_colon(raised: Raised) -> None:
    assert raised("assert False").endswith("assert False\nAssertionError:\n")


def test_a_group_shows_its_first_errors(raised: Raised) -> None:
    text = raised("raise ExceptionGroup('all', [ValueError('a'), TypeError('b')] * 100)")
    assert text.endswith(
        "ExceptionGroup: all (200 sub-exceptions)\n"
        "  ValueError: a\n  TypeError: b\n  ValueError: a\n"
    )


def test_a_syntax_error_has_a_caret(raised: Raised) -> None:
    assert raised("x = 1\ny = (2") == (
        "Cell 1, line 2\n    y = (2\n        ^\nSyntaxError: '(' was never closed\n"
    )


def test_a_syntax_error_in_a_long_line_shows_its_surroundings(raised: Raised) -> None:
    text = raised("x = [" + "1, " * 5_000 + "2 3" + ", 4" * 5_000 + "]")
    place, line, caret, message = text.splitlines()
    assert place == "Cell 1, line 1"
    assert len(line) < 210
    assert line[caret.index("^") :].startswith("2 3")
    assert message.startswith("SyntaxError: invalid syntax")


def test_a_syntax_error_of_a_later_stage_gets_its_line(raised: Raised) -> None:
    text = raised("x = 1\nreturn x")
    assert text.startswith("Cell 1, line 2\n    return x\n")
    assert text.endswith("SyntaxError: 'return' outside function\n")


@pytest.mark.parametrize(
    ("source", "told"),
    [("raise SystemExit", "SystemExit"), ("raise SystemExit('done')", "SystemExit: done")],
)
def test_the_end_that_a_program_asks_for_has_no_empty_colon(
    raised: Raised, source: str, told: str
) -> None:
    assert raised(source).splitlines()[-1] == told


_COUNTING = """\
import sys
count = 0
for number in range(3):
    if number == 7:
        count += 1
    frame = sys._getframe()
    if number == 9:
        count += 1
raise ValueError("best so far 7")
"""


def _without_lines(code: CodeType) -> list[int]:
    """Where Python knows no line, as at a loop's end in version 3.11."""
    return [begin for begin, _, line in code.co_lines() if line is None]


def _at(error: BaseException, place: int) -> BaseException:
    """The error as if it had come at another instruction of the frame that it came in."""
    trace = error.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    frame: FrameType = trace.tb_next.tb_frame
    # The number -1 has Python find the line out, which may be none.
    return error.with_traceback(TracebackType(None, frame, place, -1))


def test_an_interrupt_at_the_end_of_a_loop_is_told_with_its_place() -> None:
    lines = _COUNTING.splitlines(keepends=True)
    linecache.cache[_CELL] = (len(_COUNTING), None, lines, _CELL)
    code = compile(_COUNTING, _CELL, "exec")
    with pytest.raises(ValueError, match="best so far") as raising:
        exec(code, {})  # noqa: S102
    texts = [format_error(_at(raising.value, place)) for place in _without_lines(code)]
    linecache.cache.pop(_CELL, None)
    # Newer Pythons know a line for each instruction.
    for text in texts:
        assert text.startswith("Cell 1, line ")
        assert text.endswith("ValueError: best so far 7\n")
    if texts:
        assert "Cell 1, line 8\n    count += 1\n    count = 0\n" in texts[-1]


def test_where_no_line_is_known_at_all_the_first_is_told() -> None:
    code = compile("raise ValueError('kept')", _CELL, "exec").replace(co_linetable=b"")
    with pytest.raises(ValueError, match="kept") as raising:
        exec(code, {})  # noqa: S102
    # The frame of this test is none of a cell's.
    assert format_error(raising.value) == "Cell 1, line 1\nValueError: kept\n"


def test_an_error_whose_place_cannot_be_told_keeps_its_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> None:
        raise TypeError

    monkeypatch.setattr("sandbox.inside.tracebacks._frame_lines", fail)
    assert format_error(ValueError("best so far 7")) == "ValueError: best so far 7\n"


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('x' * 10**6)",
        "raise type('E' * 10**6, (Exception,), {})",
        "e = ValueError('a')\ne.__notes__ = ['x' * 10**6] * 1000\nraise e",
        "e = ValueError('a')\ne.__notes__ = 7\nraise e",
        "e = SyntaxError('x' * 10**6)\ne.filename = 'y' * 10**6\ne.lineno = 'z'\nraise e",
        "e = ValueError('a')\ne.__cause__ = e\nraise e",
    ],
    ids=["message", "name", "notes", "no notes", "syntax error", "cycle"],
)
def test_hostile_errors_stay_short(raised: Raised, source: str) -> None:
    assert len(raised(source)) < 3_000


def test_a_warning_tells_its_place_only_in_a_cell() -> None:
    warning = UserWarning("careful")
    assert format_warning(UserWarning, warning, CELL_NAME.format(number=3), 2) == (
        "Cell 3, line 2: UserWarning: careful\n"
    )
    assert format_warning(UserWarning, warning, "/lib/x.py", 2) == "UserWarning: careful\n"
