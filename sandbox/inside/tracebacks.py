"""Errors as a model can use them: its own lines, the exception's name and message, and no more."""

import linecache
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from types import TracebackType

from sandbox.inside.hints import hints
from sandbox.inside.places import line_of
from sandbox.inside.remedies import syntax_remedy
from sandbox.output import clip

#: File name of a cell's code object; IPython's execution count goes in. By its beginning numba
#: knows a cell, which is no file: else `njit(cache=True)` fails.
CELL_NAME = "<ipython-cell {number}>"
_CELL_PREFIX = "<ipython-cell "

#: An error says what it has to in far less; a model that puts its data there must not flood.
_MESSAGE_CHARS = 1_000
_LINE_CHARS = 200
_NAME_CHARS = 100

#: Frames shown of a deep stack: how it was entered and where it ended.
_FIRST_FRAMES = 3
_LAST_FRAMES = 5

_CHAIN_DEPTH = 3

#: What Python, and IPython 7, call the code that is in no function.
_TOP_LEVEL = ("<module>", "<cell line:")


def error_name(error: BaseException) -> str:
    """The class name of an exception, bounded."""
    return type(error).__name__[:_NAME_CHARS]


def error_message(error: BaseException) -> str:
    """The text of an exception, bounded, whatever its `__str__` does."""
    try:
        # A copy by the base's own method: one of a cell's class could do anything when clipped.
        text = str.__str__(str(error))
    except BaseException as broken:  # noqa: BLE001 - a model's __str__ can raise anything
        text = f"<no message: __str__ raised {error_name(broken)}>"
    return clip(text, _MESSAGE_CHARS)


def format_error(error: BaseException) -> str:
    """Several lines, each ended by a newline: the frames in cells, then name and message."""
    try:
        lines = [*_chain_lines(error), *_own_lines(error), *_notes(error)]
    except BaseException:  # noqa: BLE001 - a model's exception can have any attribute of any type
        # Whatever cannot be told of its place, the message is what a program has to say.
        lines = [_headline(error)]
    return "\n".join(lines) + "\n"


def format_warning(category: type[Warning], message: object, filename: str, line: int) -> str:
    """One line, with the place only when it is in a cell."""
    place = f"{_place(filename, line)}: " if filename.startswith(_CELL_PREFIX) else ""
    return f"{place}{category.__name__}: {clip(str(message), _MESSAGE_CHARS)}\n"


def _headline(error: BaseException) -> str:
    name, message = error_name(error), error_message(error)
    # The colon stays without a message, as IPython has it, but for the end that a program asks for.
    is_exit = issubclass(type(error), SystemExit)
    return name if is_exit and not message else f"{name}: {message}".rstrip(" ")


def _own_lines(error: BaseException) -> Iterator[str]:
    if (
        isinstance(error, SyntaxError)
        and isinstance(error.filename, str)
        and isinstance(error.lineno, int)
    ):
        yield from _syntax_error_lines(error, error.filename, error.lineno)
    else:
        yield from _frame_lines(error.__traceback__)
        yield from _hint_lines(error)
        yield _headline(error)
        if isinstance(error, BaseExceptionGroup):
            yield from (f"  {_headline(member)}" for member in error.exceptions[:_CHAIN_DEPTH])


def _notes(error: BaseException) -> Iterator[str]:
    notes = getattr(error, "__notes__", [])
    if isinstance(notes, list):
        yield from (clip(str(note), _LINE_CHARS) for note in notes[:_CHAIN_DEPTH])


def _chain_lines(error: BaseException) -> Iterator[str]:
    """One line for each exception that led to this one, the earliest first."""
    chain: list[str] = []
    current = error
    for _ in range(_CHAIN_DEPTH):
        hidden = None if current.__suppress_context__ else current.__context__
        earlier = current.__cause__ or hidden
        if earlier is None or earlier is current:
            break
        chain.append(f"(after {_headline(earlier)})")
        current = earlier
    return reversed(chain)


def _place(filename: str, line: int) -> str:
    inner = filename.removeprefix("<").removeprefix("ipython-").removesuffix(">")[:_NAME_CHARS]
    return f"{inner[:1].upper()}{inner[1:]}, line {line}"


def _user_frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    """Entries of a traceback that are in a cell, or in a string that a cell ran."""
    called_by_user = False
    while trace is not None:
        code = trace.tb_frame.f_code
        in_cell = code.co_filename.startswith(_CELL_PREFIX)
        called_by_user = in_cell or (called_by_user and code.co_filename == "<string>")
        if called_by_user:
            yield trace
        trace = trace.tb_next


def _hint_lines(error: BaseException) -> Iterator[str]:
    """What helps to correct it; nothing where looking for that fails, or is interrupted."""
    last = deque(_user_frames(error.__traceback__), maxlen=1)
    found: list[str] = []
    with suppress(BaseException):
        found = list(hints(error, last.pop() if last else None))
    yield from found


def _named(trace: TracebackType) -> tuple[str, int, str]:
    """File name, line and function."""
    code = trace.tb_frame.f_code
    return code.co_filename, line_of(trace), code.co_name


def _frame_lines(trace: TracebackType | None) -> Iterator[str]:
    # A recursion repeats one frame a thousand times: equal neighbours are one entry.
    frames = [(frame, len(list(run))) for frame, run in groupby(map(_named, _user_frames(trace)))]
    hidden = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    for index, ((filename, line, function), count) in enumerate(frames):
        if hidden > 0 and _FIRST_FRAMES <= index < _FIRST_FRAMES + hidden:
            if index == _FIRST_FRAMES:
                yield f"  [{hidden} frames left out]"
            continue
        within = "" if function.startswith(_TOP_LEVEL) else f", in {function[:_NAME_CHARS]}"
        yield f"{_place(filename, line)}{within}"
        if source := linecache.getline(filename, line).strip():
            yield f"    {source[:_LINE_CHARS]}"
        if count > 1:
            yield f"  [this frame {count} times]"


def _syntax_error_lines(error: SyntaxError, filename: str, number: int) -> Iterator[str]:
    """The place, the line and a caret under the offending column."""
    yield _place(filename, number)
    text = error.text if isinstance(error.text, str) else ""
    if not text and (line := linecache.getline(filename, number)):
        # Raised by a later stage of the compiler, which has no source at hand.
        text = error.text = line
    if text.strip() and len(text) <= _LINE_CHARS:
        # The standard library aligns the caret with tabs and ranges taken into account.
        shown = traceback.TracebackException(type(error), error, None).format_exception_only()
        yield from (line.rstrip("\n") for line in list(shown)[1:-1])
    elif text.strip():
        column = max((error.offset or 1) - 1, 0)
        start = max(column - _LINE_CHARS // 2, 0)
        yield f"    {text[start : start + _LINE_CHARS].rstrip()}"
        yield "    " + " " * (column - start) + "^"
    if remedy := syntax_remedy(text):
        yield remedy
    yield f"{error_name(error)}: {clip(str(error.msg), _MESSAGE_CHARS)}"
