"""Classes of equal answers: those that share a line of the ballot."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from voting.answers import Answer, AnswerKind
from voting.ballot import Ballot, Vote
from voting.exact import (
    MAX_CHARACTERS,
    Comparison,
    Exact,
    Items,
    Opaque,
    as_fraction,
    compare_exact,
    read_exact,
    with_commas,
)
from voting.requests import Replies, Same, Sameness

#: A new class is held against so many others, the oldest first: each question may take a worker
#: seconds, and a ballot with more answers than that is lost anyway.
MAX_COMPARED = 24

#: One of several choices, as they are lettered.
_CHOICE = re.compile(r"(?:(?:[Oo]ption|[Cc]hoice) ?)?\(?([A-Z])\)?")
#: A choice with what it stands for: ``(C)42``, ``C.x=42``; a product begins otherwise.
_CHOICE_IN_FULL = re.compile(r"(?:\(([A-J])\)|([A-J])[.):])(?=[0-9\\]|[^\W\d_]{3}|[a-z]=)")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ \-][^\W\d_]+)*")
#: A product of variables without a sign, as short as those are.
_PRODUCT = re.compile(r"[a-z]{2,3}")
#: Words of a sentence without numbers: a symbolic check would multiply their letters.
_COMMAND = re.compile(r"\\(?:begin|end)\{[a-z]+\}|\\[A-Za-z]+")
_JOINING = r"(?!(?:or|and|mod|if)\b)"
_PROSE = re.compile(
    rf"[A-Za-z]{{4}}|\b{_JOINING}[A-Za-z]{{2,3}} [A-Za-z]| {_JOINING}[A-Za-z]{{2,3}}\b"
)
_DIGIT = re.compile(r"[0-9]")
#: Numbers side by side (two, one in groups, or the whole of a mixed one), and an exponent of ten. A
#: symbolic check adds or multiplies what is side by side: to it ``1 234`` is 235.
_SIDE_BY_SIDE = re.compile(r"[0-9] [0-9]|[0-9][eE][+-]?[0-9]")


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What counts as the same answer where mathematics leaves it open.

    With `percent_is_number`, 50 % equals 50 and not one half. With `ordered_lists`, the bare list
    ``1, 2`` differs from ``2, 1``; tuples always have an order, sets never.
    """

    percent_is_number: bool = False
    ordered_lists: bool = False

    def as_written(self, answer: Answer) -> str:
        """Return an answer in LaTeX such that a symbolic check keeps these rules.

        A number that is known is written as a plain fraction: the check reads fewer forms of one.
        """
        key = with_commas(answer.key)
        value = read_exact(key, percent_is_number=self.percent_is_number)
        if isinstance(value, Fraction) and len(plain := as_fraction(value)) <= MAX_CHARACTERS:
            return plain
        if self.percent_is_number:
            key = key.removesuffix("%")
        if self.ordered_lists and isinstance(value, Items) and not value.opening:
            return f"({key})"
        return key

    def can_ask(self, question: Same) -> bool:
        """Return whether a symbolic check reads both answers as they are meant."""
        written = (self.as_written(each) for each in (question.one, question.other))
        return not any(map(_SIDE_BY_SIDE.search, written))


def compare(one: Answer, other: Answer, rules: AnswerRules | None = None) -> Comparison:
    """Return whether two answers are equal, as far as exact arithmetic and spelling tell.

    Integers are decided by their digits alone, in a microsecond.
    """
    if one.key == other.key:
        return Comparison.SAME
    if AnswerKind.INTEGER in (one.kind, other.kind) or _both_integers(one.key, other.key):
        return Comparison.DIFFERENT
    rules = rules or AnswerRules()
    values = [_value(each, rules) for each in (one, other)]
    return _compare_values(values[0], values[1], rules)


def _both_integers(one: str, other: str) -> bool:
    return one.removeprefix("-").isdecimal() and other.removeprefix("-").isdecimal()


def _value(answer: Answer, rules: AnswerRules) -> Exact:
    return read_exact(answer.key, percent_is_number=rules.percent_is_number)


def _compare_values(one: Exact, other: Exact, rules: AnswerRules) -> Comparison:
    if isinstance(one, Opaque) and isinstance(other, Opaque):
        verdict = _compare_words(one.key, other.key)
        if verdict is not Comparison.UNKNOWN:
            return verdict
    return compare_exact(one, other, ordered_lists=rules.ordered_lists)


def _compare_words(one: str, other: str) -> Comparison:
    """Compare choices, words and sentences; unknown where neither is any of these."""
    choices = [_CHOICE.fullmatch(each) for each in (one, other)]
    if choices[0] and choices[1]:
        return _sameness(choices[0][1] == choices[1][1])
    if choices[0] or choices[1]:
        letter, full = (one, other) if choices[0] else (other, one)
        if match := _CHOICE_IN_FULL.match(full):
            return _sameness((match[1] or match[2]) in letter)
    words = [_WORDS.fullmatch(each) for each in (one, other)]
    if all(words) or _is_prose(one) or _is_prose(other):
        return _sameness(one.casefold() == other.casefold())
    if any(words) and not any(_PRODUCT.fullmatch(each) for each in (one, other)):
        return Comparison.DIFFERENT
    return Comparison.UNKNOWN


def _sameness(same: bool) -> Comparison:
    return Comparison.SAME if same else Comparison.DIFFERENT


def _is_prose(key: str) -> bool:
    return not _DIGIT.search(key) and bool(_PROSE.search(_COMMAND.sub(" ", key)))


@dataclass(slots=True)
class AnswerClasses:
    """Answers sorted into classes of equal ones, the first of a class standing for it.

    `add` sorts by exact comparison at once. What that leaves open is asked by `questions` and
    settled by `learn`: until then the answers are apart, and a question that fails leaves them so.
    """

    rules: AnswerRules = field(default_factory=AnswerRules)
    _of_key: dict[str, Answer] = field(default_factory=dict)
    _values: dict[str, Exact] = field(default_factory=dict)
    _open: list[Same] = field(default_factory=list)
    _unanswered: set[Same] = field(default_factory=set)

    def add(self, answer: Answer) -> None:
        """Sort an answer in; one that is known already changes nothing."""
        if answer.key in self._of_key:
            return
        unknown = []
        value = _value(answer, self.rules)
        for known in self._classes():
            if answer.kind is AnswerKind.INTEGER or _both_integers(answer.key, known.key):
                continue
            comparison = _compare_values(value, self._values[known.key], self.rules)
            if comparison is Comparison.SAME:
                self._of_key[answer.key] = known
                return
            if comparison is Comparison.UNKNOWN:
                unknown.append(Same(known, answer))
        self._of_key[answer.key] = answer
        self._values[answer.key] = value
        asked = [each for each in unknown[:MAX_COMPARED] if self.rules.can_ask(each)]
        self._open.extend(asked)

    def of(self, answer: Answer) -> Answer:
        """Return the answer that stands for this one's class; itself where it was never added."""
        return self._of_key.get(answer.key, answer)

    def questions(self) -> tuple[Same, ...]:
        """Return the open questions, without those that merging has settled since."""
        self._open = [each for each in self._open if self.of(each.one) != self.of(each.other)]
        return tuple(self._open)

    def learn(self, replies: Replies, *, again: bool = False) -> None:
        """Merge the classes that replies say are equal; a question with any reply is closed.

        With `again` the reply None closes it at its second time only: the first may have come of a
        worker that was just being started, and would keep equal answers apart for good.
        """
        for question in self._open:
            reply = replies.get(question)
            if isinstance(reply, Sameness) and reply.equal:
                self._merge(self.of(question.one), self.of(question.other))
        first_time = set()
        if again:
            unanswered = {each for each in self._open if replies.get(each, False) is None}
            first_time = unanswered - self._unanswered
            self._unanswered |= first_time
        self._open = [each for each in self._open if each not in replies or each in first_time]

    def ballot(self, votes: Iterable[Vote]) -> Ballot:
        """Return the ballot in which equal answers share a line.

        Raises:
            DuplicateVoteError, WeightError: as for `Ballot.of`.
        """
        return Ballot.of(replace(vote, answer=self.of(vote.answer)) for vote in votes)

    def _classes(self) -> list[Answer]:
        return list({answer.key: answer for answer in self._of_key.values()}.values())

    def _merge(self, kept: Answer, gone: Answer) -> None:
        for key, answer in self._of_key.items():
            if answer.key == gone.key:
                self._of_key[key] = kept
