"""Where in a cell an error came, also where Python knows no line."""

from types import TracebackType


def line_of(trace: TracebackType) -> int:
    """The line that an entry of a traceback is at, or the last one known before that place.

    Python 3.11 gives none to the jump back at the end of a loop, which is where an interrupt comes
    to a loop that ends in an `if`.
    """
    line: int | None = trace.tb_lineno  # typed as a number always
    if line is not None:
        return line
    code = trace.tb_frame.f_code
    known = [number for begin, _, number in code.co_lines() if number and begin <= trace.tb_lasti]
    return known[-1] if known else code.co_firstlineno
