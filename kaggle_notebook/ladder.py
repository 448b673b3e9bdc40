r"""Which answer a problem gets: the best that is known of it, whatever has happened.

The rungs, from the top: the vote of a solve that ended, the ballot of one that did not, the last
`\boxed{}` that an attempt wrote, the last integer that its code printed, a default.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from kaggle_notebook.evidence import Evidence
from kaggle_notebook.output import warn
from voting.answers import AnswerKind, extract, parse_answer

Found = TypeVar("Found")

#: The largest answer of the contest.
_MOST_ANSWER = 99_999
#: The end of each output that is read: results are printed last.
_OUTPUT_CHARACTERS = 2_000
#: Every text holds an attempt's end; more than this of it is not read at a deadline.
_TEXT_CHARACTERS = 200_000
#: A sign, and digits, which may be in groups of three, as in 12,345.
_INTEGER = re.compile(
    r"(?<![\w.+-])([+-]?)"
    r"((?<![0-9],)[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,5}(?!,[0-9]{3}(?![0-9])))"
    r"(?!\w|\.[0-9])"
)


class Rung(StrEnum):
    """Where an answer comes from."""

    VOTE = "vote"
    """The solve ended and its selector chose."""
    BALLOT = "ballot"
    """The solve did not end; the ballot so far decides."""
    BOXED = "boxed"
    """No vote: the last boxed answer in any attempt's text."""
    PRINTED = "printed"
    """No boxed answer: the last integer that code printed."""
    DEFAULT = "default"
    """Nothing at all is known."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer from 0 to 99999, and where it comes from.

    ``source`` is what is known of the solve that it was taken from; None where there is none.
    """

    answer: int
    rung: Rung
    source: Evidence | None = field(default=None, compare=False)


def contest_integer(value: object) -> int | None:
    """Return the integer from 0 to 99999 that a value writes, or None."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    answer = parse_answer(str(value), AnswerKind.INTEGER)
    return None if answer is None else answer.integer


def choose(
    evidence: Iterable[Evidence], fallback: Mapping[str, Any] | None, default: int
) -> Choice:
    """Return the answer of the highest rung.

    `evidence` is what was seen of the problem's solves, the latest first; `fallback` is what the
    server left on disk of it: {"answer", "rung", "solve"}. What of it cannot be read costs its rung
    alone.
    """
    seen = list(evidence)
    left = _readable(lambda: _fallback_choice(fallback, seen))
    looks: tuple[tuple[Rung, Callable[[Evidence], int | None]], ...] = (
        (Rung.VOTE, lambda each: contest_integer(each.result)),
        (Rung.BALLOT, lambda each: _leader(each.ballot)),
        (Rung.BOXED, lambda each: _boxed(each.latest_texts())),
        (Rung.PRINTED, lambda each: _printed(each.outputs)),
    )
    for rung, look in looks:
        for each in seen:
            answer = _readable(partial(look, each))
            if answer is not None:
                return Choice(answer, rung, each)
        if left is not None and left.rung is rung:
            return left
    return Choice(default, Rung.DEFAULT)


def _readable(look: Callable[[], Found | None]) -> Found | None:
    """Return what is found; None also where looking fails: a rung below may still hold."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a defect of ours, or what no program foresaw
        warn(f"a rung cannot be read ({type(error).__name__}: {error})")
        return None


def _fallback_choice(fallback: Mapping[str, Any] | None, seen: Iterable[Evidence]) -> Choice | None:
    if fallback is None:
        return None
    answer = contest_integer(fallback.get("answer"))
    if answer is None:
        return None
    try:
        rung = Rung(str(fallback.get("rung")))
    except ValueError:
        rung = Rung.BALLOT
    if rung is Rung.VOTE and fallback.get("final") is False:
        rung = Rung.BALLOT
    solve = str(fallback.get("solve") or "")
    followed = (each for each in seen if each.solve_id == solve)
    return Choice(answer, rung, next(followed, Evidence(solve_id=solve)))


def _leader(ballot: Iterable[tuple[str, float, int]]) -> int | None:
    """Return the contest integer with the most weight, then votes; the first of equals."""
    best: tuple[float, int, int] | None = None
    for text, weight, votes in ballot:
        answer = contest_integer(text)
        if answer is not None and (best is None or (weight, votes) > best[:2]):
            best = (weight, votes, answer)
    return None if best is None else best[2]


def _boxed(texts: Iterable[str]) -> int | None:
    for text in texts:
        answer = extract(text[-_TEXT_CHARACTERS:], AnswerKind.INTEGER)
        if answer is not None and answer.integer is not None:
            return answer.integer
    return None


def _printed(outputs: Iterable[str]) -> int | None:
    for output in reversed(list(outputs)):
        signed = _INTEGER.findall(output[-_OUTPUT_CHARACTERS:])
        numbers = [int(digits.replace(",", "")) for sign, digits in signed if sign != "-"]
        fitting = [number for number in numbers if number <= _MOST_ANSWER]
        if fitting:
            return fitting[-1]
    return None
