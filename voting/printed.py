"""Whether an attempt's code printed its answer."""

import re
from collections.abc import Sequence

from voting.answers import Answer, AnswerKind, parse_answer
from voting.equivalence import compare
from voting.exact import Comparison

#: The end of each output that is looked at, in characters: results are printed last.
MAX_CHARACTERS = 2_000
#: Outputs that are looked at, from the last back.
MAX_OUTPUTS = 16
#: Lines of an output that may be the answer as a whole, from the last back.
MAX_LINES = 8

_LABEL = re.compile(r"^[^=:]{1,40}[=:]\s*")


def printed(answer: Answer, outputs: Sequence[str]) -> bool:
    """Return whether one of the outputs holds the answer.

    An integer must stand there as a number of its own; other answers must be a line, perhaps after
    a label, or equal one exactly.
    """
    return any(_holds(output[-MAX_CHARACTERS:], answer) for output in outputs[-MAX_OUTPUTS:])


def _holds(output: str, answer: Answer) -> bool:
    if answer.integer is not None:
        digits = re.escape(answer.key.removeprefix("-"))
        sign = "-" if answer.key.startswith("-") else r"(?<!-)"
        number = rf"(?<![0-9A-Za-z_.]){sign}{digits}(?:\.0+)?(?![0-9A-Za-z_]|\.[0-9])"
        return re.search(number, output) is not None
    lines = [line.strip() for line in output.splitlines() if line.strip()][-MAX_LINES:]
    texts = {text for line in lines for text in (line, _LABEL.sub("", line))}
    written = (parse_answer(text.strip("'\""), AnswerKind.TEXT) for text in texts)
    return any(each and compare(each, answer) is Comparison.SAME for each in written)
