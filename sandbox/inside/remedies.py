"""What to write instead, for errors whose message names a thing and no remedy.

Small models answer such an error with the same program again. Each rule here is for one that they
make often, in the words of what they meant; none looks at anything but the message and the source.
"""

import re
from collections.abc import Iterator
from itertools import (
    accumulate,
    chain,
    combinations,
    combinations_with_replacement,
    permutations,
    product,
)
from types import GeneratorType

#: What is read once.
ITERATORS: tuple[type, ...] = (
    accumulate, chain, combinations, combinations_with_replacement, permutations, product,
    enumerate, filter, map, reversed, zip, GeneratorType,
)  # fmt: skip
LIST_OF_ITERATOR = "an iterator is read once and has no length: make a list of it first, list(...)"

#: As much of a message, and as long a line, as is looked at.
_MESSAGE_CHARS = 300
_LINE_CHARS = 400

_ITERATOR = "|".join(
    re.escape(f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")) for kind in ITERATORS
)
_RELATION = "(?:Strict)?(?:Less|Greater)Than|Equality|Unequality|And|Or"
_NUMBER = "int|float|Integer|Rational|Float"
_FUNCTION = "function|builtin_function_or_method"

#: For errors of exactly these classes: the beginning of a message, and what is told of it, in which
#: `{0}` is the message's first group.
_TOLD: dict[type[Exception], dict[str, str]] = {
    TypeError: {
        rf"'(?:{_RELATION})' object is not (?:subscriptable|iterable)": (
            "the solution of an inequality is a condition, not a list: print it as it is"
        ),
        "cannot determine truth value of Relational": (
            "a symbol has no value yet: solve for it, or put a number in with .subs(symbol, number)"
        ),
        rf"(?:object of type )?'(?:{_ITERATOR})' (?:has no len|object is not subscriptable)": (
            LIST_OF_ITERATOR
        ),
        r"unsupported operand type\(s\) for ([&|^-])=?: 'list' and 'list'": (
            "sets have {0}, lists have not: make them first, set(...) {0} set(...)"
        ),
        rf"'(?:{_NUMBER})' object is not callable": (
            "a number was called: multiplication is written with *; a name that was given a number"
            " is no function any more"
        ),
        rf"'(?:{_FUNCTION})' object is not subscriptable": (
            "a function is called with round brackets"
        ),
        r"unsupported operand type\(s\) for .*'function'": (
            "a function stands where a number should: call it, with its argument in round brackets"
        ),
    },
    NotImplementedError: {
        "solving .* when the argument is not real or imaginary": (
            'declare the unknown real: symbols("x", real=True)'
        ),
    },
}

_RULES = {
    kind: [(re.compile(begin), told) for begin, told in rules.items()]
    for kind, rules in _TOLD.items()
}

#: Texts in quotes, the last perhaps without its end; in prose an apostrophe is none.
_TEXTS = re.compile(r"\"[^\"]*(?:\"|$)|(?<![A-Za-z])[bBfFrRuU]{0,2}'[^']*(?:'|$)")
_PROSE = re.compile(r"\\boxed|\\\(|\$.*\$|^\s*\d+\.\s+\S|^\s*[A-Z][a-z']*(?:\s+[A-Za-z']+){3}")
#: `2j` is a number.
_COEFFICIENT = re.compile(r"(?<![\w.])\d+[a-ik-zA-IK-Z]\b")
_FACTORIAL = re.compile(r"(?:\d|\)|\b[a-z])!(?![=\w])")


def remedies(error: BaseException) -> Iterator[str]:
    """Yield what to write instead; a line without a newline.

    Raises whatever the text of a model's own object raises.
    """
    # Of the exact class: a cell's own may mean something else by these words.
    rules = next((rules for kind, rules in _RULES.items() if type(error) is kind), [])
    message = str(error)[:_MESSAGE_CHARS] if rules else ""
    for begin, told in rules:
        if match := begin.match(message):
            yield f"    {told.format(*match.groups())}"
            return


def syntax_remedy(line: str) -> str:
    """Return what to write instead of a line that is no Python; empty where nothing is known."""
    if len(line) > _LINE_CHARS:
        return ""
    code = _TEXTS.sub("", line).partition("#")[0]
    if _PROSE.search(code):
        return "    this line is text, not Python: text stands behind a #, or outside the program"
    if _FACTORIAL.search(code):
        return "    a factorial is a function: math.factorial(n)"
    if _COEFFICIENT.search(code):
        return "    multiplication is written with *: 2*x"
    return ""
