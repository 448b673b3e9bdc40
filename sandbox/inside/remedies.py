"""What to write instead, for errors whose message names a thing and no remedy.

Small models answer such an error with the same program again. Each rule here is for one that they
make often, in the words of what they meant; none looks at anything but the message and the source.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: As much of a message as is looked at.
_MESSAGE_CHARS = 300
_LINE_CHARS = 400

_ITERATORS = (
    r"itertools\.\w+|map|filter|zip|generator|enumerate|reversed|(?:list|set|dict_\w+)_iterator"
)
_RELATIONS = r"(?:Strict)?(?:Less|Greater)Than|Equality|Unequality|And|Or"

LIST_OF_ITERATOR = "an iterator is read once and has no length: make a list of it first, list(...)"


@dataclass(frozen=True, slots=True)
class _Rule:
    """For errors of exactly this class with such a message; `told` may name its groups."""

    kind: type[Exception]
    message: re.Pattern[str]
    told: str


_RULES = (
    _Rule(
        TypeError,
        re.compile(rf"'(?:{_RELATIONS})' object is not (?:subscriptable|iterable)"),
        "the solution of an inequality is a condition, not a list: print it as it is",
    ),
    _Rule(
        TypeError,
        re.compile(r"cannot determine truth value of Relational"),
        "a symbol has no value yet: solve for it, or put a number in with .subs(symbol, number)",
    ),
    _Rule(
        TypeError,
        re.compile(rf"object of type '(?:{_ITERATORS})' has no len\(\)"),
        LIST_OF_ITERATOR,
    ),
    _Rule(
        TypeError,
        re.compile(rf"'(?:{_ITERATORS})' object is not subscriptable"),
        LIST_OF_ITERATOR,
    ),
    _Rule(
        TypeError,
        re.compile(r"unsupported operand type\(s\) for ([&|^-])=?: 'list' and 'list'"),
        "sets have {0}, lists have not: make them first, set(...) {0} set(...)",
    ),
    _Rule(
        TypeError,
        re.compile(r"'(?:int|float|Integer|Rational|Float)' object is not callable"),
        "a number was called: multiplication is written with *; a name that was given a number is"
        " no function any more",
    ),
    _Rule(
        TypeError,
        re.compile(r"'(?:function|builtin_function_or_method)' object is not subscriptable"),
        "a function is called with round brackets",
    ),
    _Rule(
        TypeError,
        re.compile(r"unsupported operand type\(s\) for .*'function'"),
        "a function stands where a number should: call it, with its argument in round brackets",
    ),
    _Rule(
        NotImplementedError,
        re.compile(r"solving .* when the argument is not real or imaginary"),
        'declare the unknown real: symbols("x", real=True)',
    ),
)

_PROSE = re.compile(r"\\boxed|\\\(|\$.*\$|^\s*\d+\.\s+\S|^\s*[A-Z][a-z]*(?:\s+[A-Za-z]+){3}")
#: `2j` is a number.
_COEFFICIENT = re.compile(r"(?<![\w.])\d+[a-ik-zA-IK-Z]\b")
_FACTORIAL = re.compile(r"(?:\d|\)|\b[a-z])!(?![=\w\"'])")


def remedies(error: BaseException) -> Iterator[str]:
    """Yield what to write instead; a line without a newline.

    Raises whatever the text of a model's own object raises.
    """
    rules = [rule for rule in _RULES if type(error) is rule.kind]
    message = str(error)[:_MESSAGE_CHARS] if rules else ""
    for rule in rules:
        if match := rule.message.match(message):
            yield f"    {rule.told.format(*match.groups())}"
            return


def syntax_remedy(line: str) -> str:
    """Return what to write instead of a line that is no Python; empty where nothing is known."""
    if len(line) > _LINE_CHARS or line.lstrip().startswith("#"):
        return ""
    if _PROSE.search(line):
        return "    this line is text, not Python: text stands behind a #, or outside the program"
    if _FACTORIAL.search(line):
        return "    a factorial is a function: math.factorial(n)"
    if _COEFFICIENT.search(line):
        return "    multiplication is written with *: 2*x"
    return ""
