r"""Exact values of answers that are numbers or lists of numbers, and what their comparison says.

Only arithmetic on bounded rationals is done here: fractions, decimals, percents, products and small
powers. Everything else is opaque, and two opaque answers are compared by a symbolic check.
"""

import re
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

#: The longest answer read here, in characters; longer ones are opaque.
MAX_CHARACTERS = 400
#: The largest numerator and denominator, in bits. Larger values stay opaque.
MAX_BITS = 4096
#: Groups within groups, at most.
MAX_DEPTH = 16
#: Pieces of a text that is one number: itself and the end.
LONE = 2


class Comparison(Enum):
    """What is known of two answers."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that is not read here, by its canonical spelling."""

    key: str


@dataclass(frozen=True, slots=True)
class Items:
    r"""Values in brackets: ``(``…``)``, ``[``…``)``, ``\{``…``\}`` …; a bare list has none.

    Those of ``x=1, y=2`` are in the order of their names, which `closing` has.
    """

    opening: str
    closing: str
    values: tuple["Exact", ...]

    @property
    def ordered(self) -> bool:
        """Whether the order counts whatever the policy: in brackets other than a set's."""
        return self.opening in ("(", "[", _MOD, _NAMED)

    @property
    def several(self) -> bool:
        """Whether this is more than one value for sure: a residue is one, sets may repeat one."""
        if self.opening == _NAMED:
            return True
        return self.opening != _MOD and len(set(self.values)) == len(self.values) > 1


Exact = Fraction | Items | Opaque

_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<frac>\\frac)|(?P<times>\\cdot|\\times|\*)"
    r"|(?P<over>\\div|/)|(?P<mark>[-+^{}()%])"
)
_NAME = re.compile(r"[A-Za-z](?:_(?:[A-Za-z0-9]|\{[A-Za-z0-9]*\}))?(?:\([a-z]\))?=(?!=)")
#: A decimal whose whole part is in groups of three; a list of numbers has no point.
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]+%?")
_REPEATING = re.compile(
    r"(?P<sign>-?)(?P<whole>[0-9]{0,40})\.(?P<before>[0-9]{0,40})"
    r"(?:\\(?:overline|bar)\{(?P<line>[0-9]{1,40})\}|\((?P<round>[0-9]{1,40})\)|\\dot\{(?P<dot>[0-9])\})"
)
_JOINED = re.compile(r"(?<=[0-9)}]),?(?:and|or)(?=[-0-9(\\])")
_MIXED = re.compile(
    r"(?P<sign>-?)(?P<whole>[0-9]{1,40})(?: (?P<above>[0-9]{1,40})/(?P<below>[0-9]{1,40})"
    r"|\\frac\{(?P<over>[0-9]{1,40})\}\{(?P<under>[0-9]{1,40})\})(?P<percent>%?)"
)
_SCIENTIFIC = re.compile(
    r"(?P<sign>-?)(?P<mantissa>[0-9]{1,40}(?:\.[0-9]{1,40})?)[eE](?P<exponent>[+-]?[0-9]{1,3})"
)
_PERCENT = re.compile(r"(?<=[0-9}]) ?(?:percent|percentage|pct)$", re.IGNORECASE)
_MOD = r"\pmod"
_NAMED = "="
_RESIDUE = re.compile(
    r"(?:[A-Za-z]\\equiv)?(?P<value>-?[0-9]+)\(?(?:\\pmod|\\bmod|\\mod|mod) ?"
    r"(?:\{(?P<braced>[0-9]+)\}|(?P<bare>[0-9]+))\)?"
)
_BRACKETS = {"(": ")]", "[": ")]", r"\{": (r"\}",)}


class _NotExact(Exception):
    """The text is not a bounded rational."""


def read_exact(key: str, *, percent_is_number: bool = False) -> Exact:
    """Return the value of an answer in canonical spelling; `Opaque` where it is not read here."""
    if len(key) > MAX_CHARACTERS:
        return Opaque(key)
    key = with_commas(_PERCENT.sub("%", key))
    if _GROUPED.fullmatch(key):
        key = key.replace(",", "")
    residue = _RESIDUE.fullmatch(key)
    if residue is not None and (modulus := int(residue["braced"] or residue["bare"])):
        rest = int(residue["value"]) % modulus
        return Items(_MOD, "", (Fraction(rest), Fraction(modulus)))
    if key.count("=") > 1 and (several := _read_equations(key, percent_is_number)) is not None:
        return several
    name = _NAME.match(key) if key.count("=") == 1 else None
    body = key[name.end() :] if name is not None else key
    sides = [_read(side, percent_is_number, 0) for side in body.split("=")]
    # ``\frac{3}{4}=0.75`` says one number twice.
    if isinstance(sides[0], Fraction) and len(set(sides)) == 1:
        return sides[0]
    return _read(body, percent_is_number, 0)


def _read_equations(key: str, percent_is_number: bool) -> Items | None:
    """Return the values of ``x=1, y=2`` by the order of names; None for what is no such list."""
    parts = _split(key) or []
    names = [_NAME.match(part) for part in parts]
    named = {
        name[0]: _read(part[name.end() :], percent_is_number, 1)
        for name, part in zip(names, parts, strict=True)
        if name is not None
    }
    if not 1 < len(named) == len(parts):
        return None
    return Items(_NAMED, "".join(sorted(named)), tuple(named[name] for name in sorted(named)))


def with_commas(key: str) -> str:
    """Return a list whose values "and" or "or" join as one with commas: ``1and2`` as ``1,2``."""
    return _JOINED.sub(",", key)


def as_fraction(value: Fraction) -> str:
    """Return a value in the one form that every reader of LaTeX takes for it."""
    if value.denominator == 1:
        return str(value)
    return rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def compare_exact(one: Exact, other: Exact, *, ordered_lists: bool = False) -> Comparison:
    """Return whether two values are equal, as far as that can be told here."""
    match one, other:
        case Fraction(), Fraction():
            return Comparison.SAME if one == other else Comparison.DIFFERENT
        case Items(), Items():
            return _compare_items(one, other, ordered_lists)
        case (Fraction(), Items() as items) | (Items() as items, Fraction()):
            return Comparison.DIFFERENT if items.several else Comparison.UNKNOWN
        case _:
            return Comparison.SAME if one == other else Comparison.UNKNOWN


def _compare_items(one: Items, other: Items, ordered_lists: bool) -> Comparison:
    if _NAMED in (one.opening, other.opening) and one.opening != other.opening:
        return _compare_named(one, other, ordered_lists)
    if one.ordered != other.ordered:
        return Comparison.UNKNOWN
    if one.ordered and (one.opening, one.closing) != (other.opening, other.closing):
        return Comparison.DIFFERENT
    bare = not one.opening and not other.opening
    if one.ordered or (ordered_lists and bare):
        return _compare_in_order(one.values, other.values, ordered_lists)
    return _compare_as_sets(_distinct(one), _distinct(other))


def _compare_named(one: Items, other: Items, ordered_lists: bool) -> Comparison:
    """Compare ``x=1, y=2`` with a tuple or a list, whose values are in the order of the names."""
    brackets = [each.opening + each.closing for each in (one, other) if each.opening != _NAMED]
    if brackets not in (["()"], [""]):
        return Comparison.DIFFERENT
    result = _compare_in_order(one.values, other.values, ordered_lists)
    # A symbolic check knows of no names: it takes both for sets.
    return result if result is Comparison.SAME else Comparison.DIFFERENT


def _compare_in_order(
    ones: tuple[Exact, ...], others: tuple[Exact, ...], ordered_lists: bool
) -> Comparison:
    if len(ones) != len(others):
        return Comparison.DIFFERENT
    pairs = zip(ones, others, strict=True)
    results = {compare_exact(one, other, ordered_lists=ordered_lists) for one, other in pairs}
    if Comparison.DIFFERENT in results:
        return Comparison.DIFFERENT
    return Comparison.UNKNOWN if Comparison.UNKNOWN in results else Comparison.SAME


def _compare_as_sets(ones: list[Exact], others: list[Exact]) -> Comparison:
    if sorted(map(repr, ones)) == sorted(map(repr, others)):
        return Comparison.SAME
    if any(not isinstance(each, Fraction) for each in (*ones, *others)):
        return Comparison.UNKNOWN
    return Comparison.DIFFERENT


def _distinct(items: Items) -> list[Exact]:
    """Return the values, those of a set once each."""
    return list(dict.fromkeys(items.values)) if items.opening else list(items.values)


def _read(text: str, percent_is_number: bool, depth: int) -> Exact:
    if depth > MAX_DEPTH:
        return Opaque(text)
    for opening, closings in _BRACKETS.items():
        closing = next((each for each in closings if text.endswith(each)), None)
        if text.startswith(opening) and closing is not None:
            parts = _split(text[len(opening) : -len(closing)])
            if parts is not None and (len(parts) > 1 or opening == r"\{"):
                values = tuple(_read(part, percent_is_number, depth + 1) for part in parts)
                return Items(opening, closing, values)
    if (number := _typed_number(text, percent_is_number)) is not None:
        return number
    parts = _split(text)
    if parts is not None and len(parts) > 1:
        return Items("", "", tuple(_read(part, percent_is_number, depth + 1) for part in parts))
    try:
        return _Rational(text, percent_is_number).value()
    except (_NotExact, ZeroDivisionError):
        return Opaque(text)


def _typed_number(text: str, percent_is_number: bool) -> Fraction | None:
    """Return a number in a form of its own: repeating, mixed, with an exponent of ten."""
    if match := _REPEATING.fullmatch(text):
        before, again = match["before"], match["line"] or match["round"] or match["dot"]
        times = 10 ** len(before)
        whole = Fraction(int((match["whole"] or "0") + before), times)
        value = whole + Fraction(int(again), times * (10 ** len(again) - 1))
    elif match := _MIXED.fullmatch(text):
        below = int(match["below"] or match["under"])
        if below == 0:
            return None
        value = int(match["whole"]) + Fraction(int(match["above"] or match["over"]), below)
        value = value / 100 if match["percent"] and not percent_is_number else value
    elif match := _SCIENTIFIC.fullmatch(text):
        value = Fraction(match["mantissa"]) * Fraction(10) ** int(match["exponent"])
    else:
        return None
    return -value if match["sign"] else value


def _split(text: str) -> list[str] | None:
    """Split at the commas outside all groups; None where brackets do not match."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
            depth += {"{": 1, "}": -1}.get(text[position : position + 1], 0)
        else:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if depth < 0:
            return None
        if character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    return [*parts, text[start:].strip()] if depth == 0 else None


class _Rational:
    """Evaluates sums, products, quotients and powers of decimals, exactly and within bounds."""

    def __init__(self, text: str, percent_is_number: bool) -> None:
        self._pieces: list[tuple[str, str]] = []
        self._at = self._depth = 0
        self._hundredth = Fraction(1) if percent_is_number else Fraction(1, 100)
        if "--" in text:  # a dash between two numbers, as in a range
            raise _NotExact
        position, text = 0, text.replace(" ", "\0")
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise _NotExact
            self._pieces.append((match.lastgroup, match[0]))
            position = match.end()
        self._pieces.append(("end", ""))

    def value(self) -> Fraction:
        total = self._sum()
        if self._next("end") is None:
            raise _NotExact
        return total

    def _sum(self) -> Fraction:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _NotExact
        total = self._product()
        while self._peek() in ("+", "-"):
            sign = -1 if self._take() == "-" else 1
            total = _bounded(total + sign * self._product())
        self._depth -= 1
        return total

    def _product(self) -> Fraction:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        value = self._power()
        while True:
            if self._next("times") is not None:
                value = _bounded(value * self._factor())
            elif self._next("over") is not None:
                value = _bounded(value / self._factor())
            else:
                return sign * value

    def _factor(self) -> Fraction:
        # `14 \cdot -6`, as models write it: the sign is of the whole power.
        if self._peek() == "-":
            self._take()
            return -self._power()
        return self._power()

    def _power(self) -> Fraction:
        value = self._atom()
        if self._peek() == "^":
            self._take()
            exponent = self._group("{", "}") if self._peek() == "{" else self._atom()
            value = _raised(value, exponent)
        if self._peek() == "%":
            self._take()
            value *= self._hundredth
        return value

    def _atom(self) -> Fraction:
        if self._peek() == "(":
            return self._group("(", ")")
        if self._next("frac") is not None:
            return _bounded(self._group("{", "}") / self._group("{", "}"))
        number = self._next("number")
        if number is None or len(number) > MAX_BITS // 4:
            raise _NotExact
        # Dates and serial numbers have such digits, sums have not.
        if number[0] == "0" and number[1:2].isdigit() and len(self._pieces) > LONE:
            raise _NotExact
        return Fraction("0" + number if number.startswith(".") else number)

    def _group(self, opening: str, closing: str) -> Fraction:
        if self._take() != opening:
            raise _NotExact
        value = self._sum()
        if self._take() != closing:
            raise _NotExact
        return value

    def _peek(self) -> str:
        return self._pieces[self._at][1]

    def _take(self) -> str:
        piece = self._pieces[self._at][1]
        self._at = min(self._at + 1, len(self._pieces) - 1)
        return piece

    def _next(self, kind: str) -> str | None:
        return self._take() if self._pieces[self._at][0] == kind else None


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise _NotExact
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) > MAX_BITS or bits * abs(exponent.numerator) > MAX_BITS:
        raise _NotExact
    if exponent == 0 and base == 0:
        raise _NotExact
    return Fraction(base ** int(exponent))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise _NotExact
    return value
