"""Classes of equal answers: those that share a line of the ballot."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache

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

#: So much is asked of a new answer, the oldest classes first: each question may take a worker
#: seconds, and a ballot with more answers than that is lost anyway.
MAX_COMPARED = 24
#: Answers whose shape is kept. An attempt's answer is held against those of all others.
SHAPES_KEPT = 1024

#: One of several choices, as they are lettered.
_CHOICE = re.compile(r"(?:(?:[Oo]ption|[Cc]hoice) ?)?\(?([A-Z])\)?")
#: A choice with what it stands for: ``(C)42``, ``C.x=42``; a product begins otherwise.
_CHOICE_IN_FULL = re.compile(r"(?:\(([A-J])\)|([A-J])[.):])(?=[0-9\\]|[^\W\d_]{3}|[a-z]=)")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ \-][^\W\d_]+)*")
#: Products of variables without a sign, as short as those are, and their differences.
_PRODUCT = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{1,3})*")
#: Short words that are no products, and numerals that are none either.
_KNOWN_WORDS = frozenset(
    [
        *("yes", "no", "odd", "dne", "all", "any", "not", "the", "and", "is", "of", "are", "for"),
        *("one", "two", "six", "ten", "red"),
    ]
)
_NUMERAL = re.compile(r"[IVX]{2,}|[ivx]{2,}")
_LETTERS = re.compile(r"(?<![\\A-Za-z])[^\W\d_]+")
#: A number with words that change it: ``12 noon``.
_COUNTED = re.compile(
    r"(-?[0-9]+(?:\.[0-9]+)?)((?:[^\W\d_]+ ){0,3}[^\W\d_]{4,}(?: [^\W\d_]+){0,3})"
)
#: Words of a sentence without numbers: a symbolic check would multiply their letters. A letter of
#: Greek is a factor, and the gap after it none between words.
_COMMAND = re.compile(
    r"(?P<factor>\\(?:pi|alpha|beta|gamma|delta|theta|lambda|mu|rho|sigma|phi|omega) ?"
    r"(?![A-Za-z]{4}))|\\(?:begin|end)\{[a-z]+\}|\\[A-Za-z]+"
)
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


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an answer that is no number looks like: a choice, words, a product of letters, prose.

    `folded` is its text in which the case of words does not count; that of variables does.
    """

    choice: str | None
    words: bool
    product: bool
    prose: bool
    folded: str


@lru_cache(maxsize=SHAPES_KEPT)
def _shape(key: str) -> _Shape:
    choice = _CHOICE.fullmatch(key)
    return _Shape(
        choice=choice[1] if choice else None,
        words=bool(_WORDS.fullmatch(key)),
        product=_is_product(key),
        prose=_is_prose(key),
        folded=_LETTERS.sub(_fold_word, key),
    )


def _is_product(key: str) -> bool:
    if not _PRODUCT.fullmatch(key) or _NUMERAL.fullmatch(key):
        return False
    return not any(part.casefold() in _KNOWN_WORDS for part in key.split("-"))


def _fold_word(run: re.Match[str]) -> str:
    folded = run[0].casefold()
    return folded if len(folded) >= 4 or folded in _KNOWN_WORDS else run[0]


def _compare_words(one: str, other: str) -> Comparison:
    """Compare choices, words and sentences; unknown where neither is any of these."""
    shapes = [_shape(one), _shape(other)]
    if any(each.choice for each in shapes):
        verdict = _compare_choices(one, other)
        if verdict is not Comparison.UNKNOWN:
            return verdict
    if all(each.product for each in shapes):
        return Comparison.UNKNOWN if _have_same_letters(one, other) else Comparison.DIFFERENT
    if all(each.words for each in shapes) or any(each.prose for each in shapes):
        return _sameness(shapes[0].folded == shapes[1].folded)
    if any(each.words for each in shapes) and not any(each.product for each in shapes):
        return Comparison.DIFFERENT
    counted = [_COUNTED.fullmatch(each.folded) for each in shapes]
    if counted[0] and counted[1] and counted[0][1] == counted[1][1]:
        return _sameness(counted[0][2] == counted[1][2])
    return Comparison.UNKNOWN


def _compare_choices(one: str, other: str) -> Comparison:
    """Compare two answers of which one at least is a choice's letter."""
    letters = _shape(one).choice, _shape(other).choice
    if letters[0] and letters[1]:
        return _sameness(letters[0] == letters[1])
    letter, full = (one, other) if letters[0] else (other, one)
    if match := _CHOICE_IN_FULL.match(full):
        return _sameness((match[1] or match[2]) in letter)
    return Comparison.UNKNOWN


def _have_same_letters(one: str, other: str) -> bool:
    """Return whether products of letters, or differences of such, may be the same polynomial."""
    if "-" in one or "-" in other:
        return set(one) - {"-"} == set(other) - {"-"}
    return sorted(one) == sorted(other)


def _sameness(same: bool) -> Comparison:
    return Comparison.SAME if same else Comparison.DIFFERENT


def _is_prose(key: str) -> bool:
    if _DIGIT.search(key):
        return False
    return bool(_PROSE.search(_COMMAND.sub(lambda match: "\0" if match["factor"] else " ", key)))


@dataclass(slots=True)
class AnswerClasses:
    """Answers sorted into classes of equal ones, the first that was met standing for its class.

    A class is all that equalities between two answers join, so that it does not depend on the order
    in which they came. `add` sorts by exact comparison at once. What that leaves open is asked by
    `questions` and settled by `learn`: until then the answers are apart, and a question that fails
    leaves them so.
    """

    rules: AnswerRules = field(default_factory=AnswerRules)
    #: Every answer by its key, in the order in which they came, and what stands for it.
    _met: dict[str, Answer] = field(default_factory=dict)
    _of_key: dict[str, Answer] = field(default_factory=dict)
    _values: dict[str, Exact] = field(default_factory=dict)
    #: How a symbolic check is told an answer: what is told alike need be asked once.
    _written: dict[str, str] = field(default_factory=dict)
    _open: list[Same] = field(default_factory=list)
    _unanswered: set[Same] = field(default_factory=set)

    def add(self, answer: Answer) -> None:
        """Sort an answer in; one that is known already changes nothing."""
        if answer.key in self._of_key:
            return
        value = _value(answer, self.rules)
        same, unknown = self._compared(answer, value)
        self._met[answer.key] = self._of_key[answer.key] = answer
        self._values[answer.key] = value
        for known in same:
            self._merge(known, answer)
        if unknown:
            self._open.extend(self._worth_asking(unknown, answer))

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
                self._merge(question.one, question.other)
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

    def _compared(self, answer: Answer, value: Exact) -> tuple[list[Answer], list[Answer]]:
        """Return the answers that a new one equals exactly, and those that it may equal."""
        same: list[Answer] = []
        unknown: list[Answer] = []
        # Integers are told by their keys alone, and a contest has no other answers.
        for known in () if answer.kind is AnswerKind.INTEGER else self._met.values():
            if _both_integers(answer.key, known.key):
                continue
            comparison = _compare_values(value, self._values[known.key], self.rules)
            if comparison is Comparison.SAME:
                same.append(known)
            elif comparison is Comparison.UNKNOWN:
                unknown.append(known)
        return same, unknown

    def _worth_asking(self, unknown: list[Answer], answer: Answer) -> list[Same]:
        """Return what to ask of a new answer: of each class what stands for it, then the others.

        What a symbolic check is told as another answer of the same class is not asked again.
        """
        own, written = self.of(answer), self._told(answer)
        for known in self._met.values():
            if known != answer and self.of(known) == own and self._told(known) == written:
                return []
        told: dict[tuple[str, str], Answer] = {}
        for known in sorted(unknown, key=lambda each: self.of(each) != each):
            if self.of(known) != own:
                told.setdefault((self.of(known).key, self._told(known)), known)
        questions = [Same(known, answer) for known in list(told.values())[:MAX_COMPARED]]
        return [each for each in questions if self.rules.can_ask(each)]

    def _told(self, answer: Answer) -> str:
        """Return how a symbolic check is told an answer."""
        if answer.key not in self._written:
            self._written[answer.key] = self.rules.as_written(answer)
        return self._written[answer.key]

    def _merge(self, one: Answer, other: Answer) -> None:
        """Make one class of those of two answers; what was met first stands for it."""
        ends = {self.of(one).key, self.of(other).key}
        if len(ends) == 1:
            return
        kept = next(answer for key, answer in self._met.items() if key in ends)
        for key, answer in self._of_key.items():
            if answer.key in ends:
                self._of_key[key] = kept
