"""Where a trace's paragraphs begin, as positions of token ids."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from training.traces.trace import Mask

#: What ends a paragraph, and what a continuation is asked to stop with.
BOUNDARY = "\n\n"
#: A blank line at the end of what was written so far, whatever the last token has after it.
_ENDS = re.compile(r"\n[ \t]*\n\s*\Z")
#: Code, in which a blank line ends no paragraph: fenced, called by a tag, or sent to a tool in
#: Harmony's messages, whose header names the tool before its channel or after. What is still open
#: at the end of a turn is code to there.
_CODE = re.compile(
    r"```.*?(?:```|\Z)"
    r"|<tool_call>.*?(?:</tool_call>|\Z)"
    r"|(?:<\|channel\|>[^<]*\bto=[^<]*|\bto=[^<]{1,256}<\|channel\|>[^<]*)"
    r"(?:<\|constrain\|>[^<]*)?<\|message\|>.*?(?:<\|call\|>|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Ids `begin` to `end` (not included) of a trace, with their text, and the text before."""

    begin: int
    end: int
    text: str
    offset: int
    """Where the text begins in the trace's text, in characters."""


def paragraphs(texts: Sequence[str], mask: Mask) -> list[Paragraph]:
    """Return the paragraphs that the model wrote, in order; code has none.

    A paragraph begins where the model's turn does, or after a blank line of its own; it ends with
    the blank line, or where the turn does. `texts` has what each id adds to the text.
    """
    whole = "".join(texts)
    offsets = [0, *accumulate(map(len, texts))]
    code = _code(whole, offsets, mask)
    begins = [begin for begin, _ in code]

    def in_code(offset: int) -> bool:
        place = bisect_right(begins, offset) - 1
        # where code begins there may be a paragraph's end
        return place >= 0 and code[place][0] < offset < code[place][1]

    cuts = [
        place
        for place in range(1, len(texts))
        if mask[place] and _is_cut(whole, offsets, place, mask) and not in_code(offsets[place])
    ]
    found = []
    for begin, following in pairwise([*cuts, len(texts)]):
        end = _end_of_turn(mask, begin, following)
        text = whole[offsets[begin] : offsets[end]]
        if text.strip():
            found.append(Paragraph(begin, end, text, offsets[begin]))
    return found


def _code(whole: str, offsets: Sequence[int], mask: Mask) -> list[tuple[int, int]]:
    """Return where the model's code begins and ends, in characters, in order.

    Each turn is read by itself: a fence that a prompt or an output leaves open opens none in it.
    """
    turns = [0, *(np.flatnonzero(np.diff(mask)) + 1).tolist(), len(mask)]
    return [
        match.span()
        for begin, end in pairwise(turns)
        if begin < end and mask[begin]
        for match in _CODE.finditer(whole, offsets[begin], offsets[end])
    ]


def _is_cut(whole: str, offsets: Sequence[int], place: int, mask: Mask) -> bool:
    if not mask[place - 1]:
        return True
    if offsets[place] == offsets[place - 1]:
        return False  # inside of a character
    # the longest run of white space that anybody writes between paragraphs
    return _ENDS.search(whole, max(offsets[place] - 64, 0), offsets[place]) is not None


def _end_of_turn(mask: Mask, begin: int, end: int) -> int:
    place = begin
    while place < end and mask[place]:
        place += 1
    return place
