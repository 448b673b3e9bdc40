r"""Read an integer out of the ways in which people and models write one.

Nothing is evaluated (``\frac{84}{2}``, ``1e3`` and ``1/2`` are no integers here), and what could
mean something else (``12 or 13``, ``42x``, ``1, 234``) is no integer: a missing vote costs less
than a wrong one.
"""

import re
from math import comb, factorial

from voting.exact import read_exact
from voting.latex import FONTS, THIN_SPACE, group_end, plain_spacing
from voting.units import is_unit

#: The longest answer, in characters once spaces are plain. Longer ones are essays.
MAX_CHARACTERS = 1_000

#: Digits of a number whose computation is followed; more are no answer of a contest.
MAX_COMPUTED = 40

#: Layers of wrapping (delimiters, fonts, a left-hand side, a full stop) taken off before giving up.
#: ``\text{$\mathbf{x = 42}$.}`` has five.
MAX_LAYERS = 8

_NUMBER = re.compile(
    rf"""
    (?P<sign>[+\-\u2212]?)\s*
    (?P<digits>
        [1-9][0-9]{{0,2}}(?P<comma>\{{,\}}|[,{THIN_SPACE}])[0-9]{{3}}(?:(?P=comma)[0-9]{{3}})*+
      | [0-9]++
    )
    (?:\.0*+(?![0-9]))?
    """,
    re.VERBOSE,
)
_SEPARATOR = re.compile(rf"\{{,\}}|[,{THIN_SPACE}]")
#: Groups of three that a typed number may have, where there are two such groups at least: ``1 234``
#: may be two numbers, ``1 234 567`` is one.
_TYPED_GROUPS = re.compile(
    r"([+\-]?[1-9][0-9]{0,2})([ _'\u2019])([0-9]{3}(?:\2[0-9]{3})+)(?![0-9])"
)

_DELIMITERS = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("*", "*"),
    ("`", "`"),
    ("'", "'"),
    ('"', '"'),
    ("\u201c", "\u201d"),
    ("{", "}"),
)
_CURRENCY = re.compile(
    r"\\?\$|\\(?:text|textrm|mathrm|mbox)\s*\{\s*\\?\$\s*\}"
    r"|\\pounds(?![A-Za-z])|[\u00a3\u20ac\u00a5]"
)

_FONT = re.compile(rf"\\(?:{FONTS})\s*\{{")
_ANSWER = (
    r"(?:the\s+)?(?:(?:final\s+)?answer(?:\s+is)?\s*[:=]?|(?:final\s+|required\s+|requested\s+)?"
    r"(?:total|sum|result|remainder|value|number|count|product|difference|area|perimeter|length"
    r"|maximum|minimum)(?:\s+(?:is|equals)(?![A-Za-z])|\s*[:=]))"
)
_LABEL = re.compile(
    rf"(?:\\(?:{FONTS})\s*\{{\s*{_ANSWER}\s*\}}\s*[:=]?|{_ANSWER}"
    r"|(?-i:\\(?:therefore|implies|Rightarrow|Longrightarrow))(?![A-Za-z]))\s*",
    re.IGNORECASE,
)
_STOP_AS_TEXT = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s*\{\s*\.\s*\}\Z")

#: What a left-hand side is made of once arguments, indices and exponents are away: names joined by
#: operators, and no number, for ``x + 1 = 42`` is an equation and not an answer.
_NAMES = re.compile(r"[A-Za-z\\+\-*/|'#\s]+")
_ATTACHED = re.compile(
    r"[_^]\s*(?:\{[^{}]*\}|\\?[A-Za-z]+|[0-9]+)|\([^()]*\)|(?<=[A-Za-z])\s?\[[^\[\]]*\]"
)
_TEXT_GROUP = re.compile(
    r"\\(?:text|mathrm|mathbb|operatorname|overline|mathcal|angle|triangle)\s*\{([^{}]*)\}"
)
#: A value rounded to a whole number: a quantity, whatever is rounded.
_ROUNDED = re.compile(
    r"\\lfloor(?![A-Za-z])[^=]{1,80}?\\rfloor(?![A-Za-z]|\s*\^)"
    r"|\\lceil(?![A-Za-z])[^=]{1,80}?\\rceil(?![A-Za-z]|\s*\^)"
)
_CHOICES = re.compile(r"\\[dt]?binom\s*\{([0-9]{1,3})\}\s*\{([0-9]{1,3})\}")
_FRACTION = re.compile(r"\\[dtc]?frac([0-9]|\{[^{}]*\})([0-9]|\{[^{}]*\})")
_FACTORIAL = re.compile(r"(?<![0-9.])([0-9]{1,2})!(?!!)")
#: The area of a polygon: ``[ABC]``, which is no list.
_AREA = re.compile(r"\[\s*([A-Z]{3,8})\s*\]")
#: Words and commands that make the equation no statement of one quantity's value.
_RELATIONS = frozenset(
    [
        *("or", "and", "if", "not", "mod", "pm", "mp"),
        *("ne", "neq", "le", "leq", "ge", "geq", "lt", "gt", "approx", "equiv"),
    ]
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that make it a condition, or a statement of something else, whatever is spoken of.
_CONDITIONS = _words(
    """
    except excepting excluding unless but for when whenever where at cannot never no none without
    iff provided diverges converges undefined true false
    """
)
#: Words that speak of many things or of a figure, which may be its equation's answer; a quantity of
#: theirs may have a value: ``\text{area of the circle} = 42``.
_FIGURES = _words(
    """
    only all every each any set graph locus point points line lines circle circles curve curves
    parabola parabolas ellipse ellipses hyperbola hyperbolas plane planes sphere spheres
    """
)
_QUANTITIES = _words(
    """
    answer value sum product total number count difference ratio area length volume perimeter
    circumference radius diameter distance slope height width angle degree measure maximum minimum
    largest smallest greatest least max min solution root remainder result probability
    """
)
_WORD = re.compile(r"[A-Za-z]+")
_SUM = re.compile(r"(?<=[^\s^_{(])\s*[+\-\u2212]")
#: Equations that several values solve: a power of a variable, a product that is zero. So is a power
#: with an unknown exponent, which is no name: one of several letters alone may be (``T^{max}``).
_POWER = re.compile(r"\(?[A-Za-z]\)?\s*\^\s*(?:[0-9]|\{\s*[0-9]+\s*\})")
_UNKNOWN_POWER = re.compile(
    r"(?:\\?[A-Za-z]+|\([^()]*\)|\|[^|]*\|)\s*\^\s*"
    r"(?!\{?\s*\\(?:circ|prime|ast|star|text|mathrm|max|min)(?![A-Za-z])|\{\s*[A-Za-z]{3,}\s*\})"
    r"(?:[A-Za-z]|\\[A-Za-z]+|\{[^{}]*[A-Za-z][^{}]*\})"
)
_PRODUCT = re.compile(r"[a-z]\s*(?:\\cdot|\\times|\*)?\s*[a-z]")
#: Coordinates, and what else a side of a curve's equation has no word of.
_COORDINATES = re.compile(r"(?<![A-Za-z\\])[xyz]*[xy][xyz]*(?![A-Za-z])")
_LONG_WORD = re.compile(
    r"(?<![A-Za-z\\])[A-Za-z]{4,}|\\(?:max|min|deg|gcd|text|mathrm|operatorname)"
)


def parse_integer(written: str, *, curves: bool = False) -> str | None:
    r"""Return the integer that a text writes, in decimal digits, or None.

    The result has no leading zeros, no separators, and a minus sign where it is negative; it may be
    of any size up to `MAX_CHARACTERS`, and is a string so that no limit of `int` applies. With
    `curves`, what relates x and y (``x + y = 1``) may be an answer of its own, and is no integer.
    """
    text = plain_spacing(written)
    if len(text) > MAX_CHARACTERS:
        return None
    for _ in range(MAX_LAYERS):
        value = _number(text)
        if value is not None:
            return value
        peeled = _peel(text, curves)
        if peeled is None:
            return None
        text = peeled.strip()
    return _number(text)


def _number(text: str) -> str | None:
    """Return the digits of a number, perhaps with a unit after it."""
    if groups := _TYPED_GROUPS.match(text):
        text = groups[1] + groups[3].replace(groups[2], "") + text[groups.end() :]
    match = _NUMBER.match(text)
    if match is None or not is_unit(text[match.end() :]):
        return None
    digits = _SEPARATOR.sub("", match["digits"]).lstrip("0") or "0"
    return digits if digits == "0" or match["sign"] in ("", "+") else f"-{digits}"


def _peel(text: str, curves: bool) -> str | None:
    """Take one layer off a text that is not yet a number; None where there is none to take."""
    if text.endswith(".") and not text.endswith(".."):
        return text[:-1]
    if match := _STOP_AS_TEXT.search(text):
        return text[: match.start()]
    inner = _between_delimiters(text)
    if inner is not None:
        return inner
    if (match := _FONT.match(text)) and group_end(text, match.end() - 1) == len(text) - 1:
        return text[match.end() : -1]
    if match := _CURRENCY.match(text) or _LABEL.match(text):
        return text[match.end() :]
    return _right_hand_side(text, curves)


def _between_delimiters(text: str) -> str | None:
    for opening, closing in _DELIMITERS:
        if text.startswith(opening) and text.endswith(closing, len(opening)):
            return text[len(opening) : -len(closing)]
    # "(12,345)" is a pair and not a number in parentheses.
    if text.startswith("(") and text.endswith(")") and "," not in text:
        return text[1:-1]
    return None


def _right_hand_side(text: str, curves: bool) -> str | None:
    """Return what a quantity is said to equal: ``42`` of ``m + n = 42``, and of ``= 42``."""
    left, equals, right = text.rpartition("=")
    if not equals or _is_to_be_solved(left.strip(), right.strip()):
        return None
    if not left.strip():
        return right
    left = _without_computation(left, right)
    if not left:
        return right
    return right if _names_quantity(left, curves) else None


def _names_quantity(left: str, curves: bool) -> bool:
    """Return whether a left-hand side names what the right one is the value of."""
    left = _AREA.sub(r"\1", _TEXT_GROUP.sub(r"\1", left))
    # As an answer of its own, where texts are asked for, it would be a condition.
    left = left if curves else _ROUNDED.sub("q", left)
    may_be_curve = curves and "_" not in left
    for _ in range(MAX_LAYERS):
        left, replaced = _ATTACHED.subn(" ", left)
        if not replaced:
            break
    if may_be_curve and _is_curve(left.strip()):
        return False
    # In a chain of two names each has the value; where texts are asked for it says both of them.
    sides = [left] if curves else left.split("=", 1)
    if not all(_WORD.search(side) and _NAMES.fullmatch(side) for side in sides):
        return False
    return not _states_otherwise(_WORD.findall(left))


def _states_otherwise(names: list[str]) -> bool:
    """Return whether words of a left-hand side make the equation no value of one quantity."""
    # Words, and not sides such as ``AT``, which are in capitals.
    words = {name.lower() for name in names if not name.isupper()}
    if _RELATIONS.intersection(names) or _CONDITIONS & words:
        return True
    return bool(_FIGURES & words) and not _QUANTITIES & words


def _is_to_be_solved(left: str, right: str) -> bool:
    """Return whether an equation is one to be solved yet, rather than a quantity and its value.

    A sum that is zero is an equation brought to one side, not an answer of zero.
    """
    if _POWER.fullmatch(left) or _UNKNOWN_POWER.fullmatch(left) or left.startswith(("-", "\u2212")):
        return True
    return right == "0" and bool(_SUM.search(left) or _PRODUCT.fullmatch(left))


def _is_curve(left: str) -> bool:
    """Return whether a left-hand side, without arguments and exponents, relates coordinates."""
    return (
        len(left.rstrip("'")) > 1
        and bool(_COORDINATES.search(left))
        and not _LONG_WORD.search(left)
    )


def _without_computation(left: str, right: str) -> str:
    """Return a left-hand side without the sides of a chain that come to the number on the right.

    Of ``m+n = 12 + 5 = 17``, what is left is ``m+n``; of ``3 \\times 14 = 42``, nothing.
    """
    value = _number(right.strip())
    if value is None or not 0 < len(value) <= MAX_COMPUTED:
        return left
    sides = left.split("=")
    while sides and read_exact(_computed("".join(sides[-1].split()))) == int(value):
        sides.pop()
    return "=".join(sides)


def _computed(side: str) -> str:
    """Return a computation with binomials and factorials worked out, fractions in braces."""
    side = _FRACTION.sub(_braced, side)
    side = _CHOICES.sub(lambda match: f"({comb(int(match[1]), int(match[2]))})", side)
    return _FACTORIAL.sub(lambda match: f"({factorial(int(match[1]))})", side)


def _braced(match: re.Match[str]) -> str:
    above, below = (part.strip("{}") for part in match.groups())
    return rf"\frac{{{above}}}{{{below}}}"
