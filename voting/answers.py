"""Answers: what an attempt committed to, and the key under which it shares a ballot line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from voting.boxes import Box, boxed, joined, outside_and_in_code
from voting.canonical import canonical_text
from voting.integers import parse_integer
from voting.latex import THIN_SPACE, is_balanced, plain_spacing
from voting.typed import narrow
from voting.unclosed import committed

__all__ = ["Answer", "AnswerKind", "Box", "boxed", "extract", "parse_answer"]

#: The contest's answers are integers of at most five digits: 0 to 99999.
MAX_INTEGER_DIGITS = 5

#: The longest answer looked at, in characters as written. Ten times what an answer may have once
#: its spelling is canonical leaves room for spaces and fonts.
MAX_WRITTEN_CHARACTERS = 10_000

#: How much of a text's boxes is read, in characters, from the last box back; boxes too long to be
#: answers do not count. A solution's boxes hold a few hundred; the bound keeps the time for 1 MB of
#: hostile boxes under a second.
MAX_READ_CHARACTERS = 200_000


#: A modulus at the end: a number, perhaps in groups or a power, or the letter that stands for one.
_MODULUS = re.compile(
    r"\\?\(?\s{0,9}+(?:\\[pb]?mod|\(?\s{0,9}+\\(?:text|mathrm|operatorname)\s{0,9}+\{\s{0,9}+\(?mod"
    r"(?:ulo)?\s{0,9}+\}?|\(?mod(?:ulo)?)"
    rf"(?:[\s{{(]{{0,9}}+(?P<number>[0-9]{{1,20}}+(?:(?:\{{,\}}|[,{THIN_SPACE}])[0-9]{{3}}){{0,6}})"
    r"(?:\s?\^\s?(?P<power>[0-9]|\{\s?[0-9]{1,3}\s?\}))?"
    r"|[\s{(]{0,9}+(?<=[\s{(}])[A-Za-z](?![A-Za-z]))[\s})]{0,9}+\.?\Z"
)
_NO_DIGIT = re.compile("[^0-9]")
#: The letter of a choice before its value, set as text: ``(C)`` alone may be a factor.
_LETTERED = re.compile(
    r"\A\\(?:text|textbf|mathrm|mathbf)\s{0,9}\{\s{0,9}\([A-J]\)(?:\s|~|\\[,;:\ ]){0,9}\}"
    r"(?:\s|~|\\[,;:\ ]|\\q?quad)*+(?=.)"
)
#: What a text that was cut may go on with, so that most answers become other ones.
_MORE = "7"
#: A computation without unknowns, whose remainder can only be what it is said to be.
_COMPUTATION = re.compile(r"(?:[0-9^{}()+\-*/!\s]|\\cdot|\\times)*")


class AnswerKind(StrEnum):
    """What counts as an answer."""

    #: Contest mode: an integer from 0 to 99999.
    INTEGER = "integer"
    #: Any text, spelled in one way; an integer in disguise is that integer, of any size.
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Answer:
    """A committed answer.

    ``written`` is the text as its writer put it, ``key`` its canonical spelling: answers with equal
    keys are the same answer.
    """

    written: str
    key: str
    kind: AnswerKind

    @property
    def integer(self) -> int | None:
        """The answer as an integer; None for a text that is none."""
        return int(self.key) if parse_integer(self.key) == self.key else None


def parse_answer(written: str, kind: AnswerKind) -> Answer | None:
    """Return the answer that a text such as a box's content writes, or None where it is none.

    Never raises on a text, and takes time linear in it.
    """
    written = written.strip()
    if len(written) > MAX_WRITTEN_CHARACTERS:
        return None
    if kind is AnswerKind.INTEGER:
        written = _residue(_LETTERED.sub("", written, count=1))
    plain = narrow(written)
    key = parse_integer(plain) if kind is AnswerKind.INTEGER else canonical_text(plain)
    if key is None:
        return None
    if kind is AnswerKind.INTEGER and (key.startswith("-") or len(key) > MAX_INTEGER_DIGITS):
        return None
    return Answer(written=written, key=key, kind=kind)


def _residue(written: str) -> str:
    r"""Return the residue of ``x \equiv 3 \pmod 7``: in contest mode that is what is asked for.

    Of ``N \bmod 7 = 3`` it is what ``N = 3`` says; a computation's remainder is what stands there.
    Of two congruences, and of ``10 \bmod 7``, which is yet to be worked out, there is none.
    """
    if "mod" not in written:
        return written
    written = plain_spacing(written)
    if match := _MODULUS.search(written):
        before, _, residue = written[: match.start()].rpartition(r"\equiv")
        two = r"\equiv" in before and "," in before
        if two or not _is_reduced(residue, match):
            return written
        written = residue.strip()
    left, equals, right = written.rpartition("=")
    if not equals or not (match := _MODULUS.search(left.rstrip())):
        return written
    left = left[: match.start()]
    name, _, of = left.rpartition("=")
    if _COMPUTATION.fullmatch(of):
        left = name
    return f"{left.strip()} = {right.strip()}" if left.strip() else right.strip()


def _is_reduced(residue: str, modulus: re.Match[str]) -> bool:
    """Return whether what stands before a modulus is no number that is as large, or larger."""
    value = parse_integer(residue)
    if value is None or modulus["number"] is None:
        return True
    base, power = (int(_NO_DIGIT.sub("", modulus[name] or "1")) for name in ("number", "power"))
    limit: int = base**power
    return int(value) < limit


def extract(text: str, kind: AnswerKind, *, cut: bool = False) -> Answer | None:
    r"""Return the answer that a text commits to, or None.

    Boxes at the end of a text that only commas or "and" part are one list, where texts count. Else
    it is the last closed box whose content is an answer of the kind; failing that, the last such
    box that was left open, up to where its answer can reach, unless that goes through a group or
    the box holds prose. Boxes in a fenced program are looked at after all others. An empty box is
    never an answer. Of a text that was `cut` in the middle an answer counts only where it cannot go
    on: ``\boxed{123`` may be the beginning of 12345.
    Never raises on a text, and takes time linear in it.
    """
    answer = _extract(text, kind)
    if cut and answer is not None and _extract(text + _MORE, kind) != answer:
        return None
    return answer


def _extract(text: str, kind: AnswerKind) -> Answer | None:
    for boxes in outside_and_in_code(text, boxed(text)):
        if (answer := _answer_of(text, boxes, kind)) is not None:
            return answer
    return None


def _answer_of(text: str, boxes: list[Box], kind: AnswerKind) -> Answer | None:
    unread = MAX_READ_CHARACTERS
    if kind is AnswerKind.TEXT and (several := _list_of(joined(text, boxes))) is not None:
        return several
    for content in _candidates(boxes):
        unread -= len(content)
        if unread < 0:
            return None
        answer = parse_answer(content, kind)
        if answer is not None:
            return answer
    return None


def _list_of(boxes: list[Box]) -> Answer | None:
    """Return the list that several boxes make, None where one of them is no answer."""
    if len(boxes) < 2 or any(len(box.content) > MAX_WRITTEN_CHARACTERS for box in boxes):
        return None
    answers = [parse_answer(box.content, AnswerKind.TEXT) for box in boxes]
    if None in answers:
        return None
    return parse_answer(", ".join(box.content.strip() for box in boxes), AnswerKind.TEXT)


def _candidates(boxes: list[Box]) -> Iterator[str]:
    """Yield what may be an answer, the best first."""
    for closed in (True, False):
        for box in reversed(boxes):
            if box.closed is not closed:
                continue
            content = box.content.strip() if closed else committed(box.content)
            if 0 < len(content) <= MAX_WRITTEN_CHARACTERS and (closed or is_balanced(content)):
                yield content
