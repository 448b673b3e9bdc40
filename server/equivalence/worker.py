r"""One worker: reads pairs of answers, says whether they are equal. `python -m …worker`.

A line of JSON in, ``{"one", "other", "ordered_lists"}`` with answers in LaTeX, gives a line of JSON
out, ``{"equal": true | false | null}``. There are no time-outs in here, and no signals: whoever
started the process kills it. It dies with its parent, and has no more memory than it was told.
"""

import ctypes
import logging
import os
import re
import resource
import signal
import sys
from typing import Any

import orjson

#: <linux/prctl.h>
PR_SET_PDEATHSIG = 1
#: The longest answer parsed, in characters: the grammar takes time more than linear in it.
MAX_CHARACTERS = 1_000
#: Stack for sympy's recursion on nested expressions, in frames.
RECURSION = 4_000

_DECIMAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?![0-9.])")
_FUNCTION = r"\\(?:sin|cos|tan|cot|sec|csc|ln|log|lg|arc(?:sin|cos|tan))(?![a-z])"
#: What stands in brackets, without a comma but in brackets of its own.
_UNDIVIDED = (
    r"(?:[^,;()\[\]{}]|\((?:[^()]|\([^()]*\))*\)|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*"
)
#: What the grammar reads as something else, so that nothing is said of it: an index (a number in
#: another base), two dashes (a range), a prime, a transpose, a colon (a ratio), digits of another
#: base, leading zeros (a date), powers of powers without braces, fractions and divisions of which
#: it is not clear where they end, a derivative (also as ``f^{(2)}``), an inverse function, vectors
#: and their product, a number times a fraction in brackets (a mixed one), capital Greek letters
#: (some to it constants), rounding brackets (to it plain ones), a double factorial (to it one of
#: one), a factorial after an exponent or a fraction, of which it is not clear how far back it goes,
#: a common divisor of letters (computed as of polynomials), a function of more than a letter or a
#: number (to it a product), and what is multiplied or divided after an argument without brackets
#: (to it part of that).
_MISREAD = re.compile(
    r"[0-9)}]\s*_|--|'|\\prime|\^\s*\{?\s*(?:T|\*|\\top|\\dagger|\\ast)(?![A-Za-z])|:"
    r"|(?<![0-9.])0(?:[xXbBoO][0-9A-Fa-f]|[0-9])|\^\s*(?:\{[^{}]*\}|[A-Za-z0-9])\s*\^"
    r"|\\frac\s*[0-9]{3}|\\frac\s*(?:\{[^{}]*\}|[0-9])\s*[0-9]{2}"
    r"|/\s*[0-9]+\s*(?:[A-Za-z(]"
    r"|\\(?!cdot|times|le|ge|in|cup|cap|(?:end|pm|mp|ne|mid|rfloor|rceil)(?![a-z]))[a-z])"
    r"|\\frac\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)?\}\s*\{\s*(?:d[A-Za-z\\]|\\partial)"
    r"|\^\s*\{\s*\(|(?<![A-Za-z\\])[fghFGH]\s*\^\s*\{\s*-"
    r"|[0-9]\s*(?:\\left)?\(\s*\\[dt]?frac"
    r"|\\vec|\\overrightarrow|(?<![A-Za-z\\])[A-Za-z]\s*\\times\s*[A-Za-z](?![A-Za-z])"
    r"|\\(?:Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega)(?![a-z])"
    rf"|(?<!\\sqrt)\[(?!-?[0-9]+\]){_UNDIVIDED}\]"
    r"|!\s*!|\}\s*!|\^\s*[A-Za-z0-9]\s*!"
    r"|(?:gcd|lcm)\}?\s*\(+[^)]*[A-Za-z]"
    r"|(?<![A-Za-z\\])(?:E\s*\(|[fF]\s*\((?!(?:[A-Za-z]|[0-9]+)(?:,(?:[A-Za-z]|[0-9]+))*\)))"
    rf"|{_FUNCTION}(?:[^+\-=<>,(){{}}]|\{{[^{{}}]*\}})*?(?:/|\\(?:cdot|times)(?![a-z]))"
)
#: Braces around no list: a set where it is one of those that a formula of sets is made of, else the
#: fractional part of a number, to the grammar plain brackets.
_BRACES = re.compile(rf"\\\{{{_UNDIVIDED}\\\}}")
_BRACED = re.compile(rf"(?:[A-Za-z]=)?{_BRACES.pattern}")
_BEFORE_SET = re.compile(r"(?:\A|[=,;(\[{]|\\(?:in|cup|cap|setminus|backslash))\s*\Z")
_AFTER_SET = re.compile(r"\s*(?:\Z|[=,;)\]}]|\\(?:cup|cap|setminus|backslash|\}))")
#: Words of a formula, which are no variables.
_COMMAND = re.compile(
    r"\\(?:text|mathrm|operatorname|mathbf|mathit|mathbb)\s*\{[^{}]*\}|\\begin\{[a-z]+\}(?:\{[^{}]*\})?"
    r"|\\end\{[a-z]+\}|\\[A-Za-z]+|(?<![A-Za-z])(?:or|and)(?![A-Za-z])"
)
#: A "d" that comes before its variable is an operator, and to the grammar always one.
_LETTER = re.compile(r"[A-Za-ce-z]|d(?!\s*[A-Za-z\\])")
_FACTOR_D = re.compile(rf"(?P<command>{_COMMAND.pattern})|d(?=\s*[A-Za-z\\])")
#: Capitals side by side name a segment, not a product: AB/AC is not B/C.
_SEGMENT = re.compile(
    r"(?P<other>\\(?:overline|bar|widehat|hat|widetilde|tilde)\s*\{[^{}]*\}|_\s*\{[^{}]*\}"
    rf"|{_COMMAND.pattern})|[A-Z]{{2,}}"
)
#: The name that the degree of an odd root is given.
ROOT = "root"
#: Letters that name a constant.
_NAMED = frozenset("eiEI")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(
    r"(?<![0-9.^{}])([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})"
)
_ODD_ROOT = re.compile(r"\\sqrt\s*\[\s*([1-9]?[13579])\s*\]")
#: A denominator of one letter without braces, which the grammar does not take.
_BARE_DENOMINATOR = re.compile(r"(\\frac\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)?\})\s*([A-Za-z])")
#: What a quantity is called: the left-hand side of an equation that only says its value.
_QUANTITY = re.compile(
    r"(?:[A-Z]{2,3}|[A-Za-z]{4,}|[A-Za-z](?:_\{[A-Za-z0-9]{1,9}\})?\([a-z]\)"
    r"|\\(?:sin|cos|tan|cot|sec|csc|angle) ?\\?[A-Za-z]{1,9})=(?=[^=]*\Z)"
)
_INEQUALITY = re.compile(r"[<>]|\\[lg]e(?![a-z])")
#: Three numbers or more, in brackets and without. Two in brackets may be an interval.
_TUPLE = re.compile(r"[(\[](?:[^()\[\],=<>]+,){2,}[^()\[\],=<>]+[)\]]")
_LIST = re.compile(r"(?!.*\\\{)(?:[^()\[\],=<>]+,){2,}[^()\[\],=<>]+")
#: Inequalities that "or" or "and" join, at most.
MAX_PARTS = 8
_OR = re.compile(r"(?<![A-Za-z\\])or(?![A-Za-z])")
_AND = re.compile(r"(?<![A-Za-z\\])and(?![A-Za-z])")
#: One choice of sign in a formula of one value: no list, no second sign that goes with it.
_EITHER_SIGN = re.compile(r"(?:[A-Za-z]=)?(?P<before>[^,=<>|]*?)\\pm(?![a-z])(?P<after>[^,=<>|]*)")
_SIGN = re.compile(r"\\[pm][pm](?![a-z])")
_GROUPED = re.compile(r"(?<=[0-9])(?:\\,|\\!|\{,\})(?=[0-9]{3}(?![0-9]))")


def main(memory_bytes: int) -> None:
    """Answer questions until standard input ends."""
    _confine(memory_bytes)
    # Loading takes seconds, and so does the first parse: both come before the first question.
    are_equal(r"\frac{x+1}{2}", r"\frac{1+x}{2}")
    sys.stdout.buffer.write(b'{"ready": true}\n')
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        question = orjson.loads(line)
        verdict = are_equal(question["one"], question["other"])
        sys.stdout.buffer.write(orjson.dumps({"equal": verdict}) + b"\n")
        sys.stdout.buffer.flush()


def are_equal(one: str, other: str) -> bool | None:
    """Return whether two answers in LaTeX are equal; None where that cannot be told.

    Exact comparison decides; what it leaves open is equal only if Math-Verify says so both ways.
    """
    from server.equivalence.symbolic import equal  # noqa: PLC0415 - loads sympy

    if max(len(one), len(other)) > MAX_CHARACTERS or _are_misread(one, other):
        return None
    try:
        parsed = [_parse(each) for each in _as_tuples(*_without_names(one, other))]
        if parsed[0] is None or parsed[1] is None:
            return None
        verdict = equal(*parsed)
        return verdict if verdict is not None else _verified(parsed[0], parsed[1])
    except MemoryError:
        # The heap is in an unknown state: a fresh process is the only remedy.
        os._exit(1)
    except Exception:  # noqa: BLE001 - a parser's or sympy's own, for a model's text
        return None


def _are_misread(one: str, other: str) -> bool:
    """Return whether the grammar would read one of two answers as something else.

    Braces around one value are a set of one, or its fractional part: the other answer tells.
    """
    braced = [_BRACED.fullmatch(each) is not None for each in (one, other)]
    return braced[0] is not braced[1] or _is_misread(one) or _is_misread(other)


def _is_misread(latex: str) -> bool:
    """Return whether the grammar would read an answer as something else, whatever the other."""
    return bool(_MISREAD.search(latex)) or not all(
        _BEFORE_SET.search(latex, 0, braces.start()) and _AFTER_SET.match(latex, braces.end())
        for braces in _BRACES.finditer(latex)
    )


def _without_names(one: str, other: str) -> tuple[str, str]:
    """Return two answers; where only one is an equation, that without the name of its quantity."""
    if ("=" in one) == ("=" in other):
        return one, other
    return _QUANTITY.sub("", one, count=1), _QUANTITY.sub("", other, count=1)


def _as_tuples(one: str, other: str) -> tuple[str, str]:
    """Return two answers; where one is a tuple and the other a bare list, that as a tuple, too."""
    if _TUPLE.fullmatch(one) and _LIST.fullmatch(other):
        return one, f"({other})"
    if _TUPLE.fullmatch(other) and _LIST.fullmatch(one):
        return f"({one})", other
    return one, other


def _parse(latex: str) -> Any:  # noqa: ANN401 - sympy has no types
    """Return the sympy object of an answer, None where nothing is read out of it."""
    from server.equivalence.symbolic import both, either  # noqa: PLC0415 - loads sympy

    for word, join in ((_OR, either), (_AND, both)):
        parts = word.split(latex)
        if 1 < len(parts) <= MAX_PARTS and all(_INEQUALITY.search(part) for part in parts):
            return join([_parse_formula(part) for part in parts])
    return _parse_formula(latex)


def _parse_formula(latex: str) -> Any:  # noqa: ANN401
    """Return what is read out of a formula: where it is none, what both signs of its ``\\pm`` give.

    The grammar takes the sign between whole terms only, not within a fraction or a root.
    """
    found = _read_formula(latex)
    signed = _EITHER_SIGN.fullmatch(latex)
    if found is not None or signed is None or len(_SIGN.findall(latex)) != 1:
        return found
    before, after = signed["before"], signed["after"]
    return _as_values([_read_formula(f"{before}{sign}{after}") for sign in "+-"])


def _as_values(parts: list[Any]) -> Any:  # noqa: ANN401
    from sympy import Expr, FiniteSet  # noqa: PLC0415 - loads sympy

    return FiniteSet(*parts) if all(isinstance(part, Expr) for part in parts) else None


def _read_formula(latex: str) -> Any:  # noqa: ANN401
    """Return what Math-Verify's LaTeX grammar reads out of a formula, None where it is not all."""
    from server.equivalence.symbolic import with_real_roots  # noqa: PLC0415 - loads sympy

    if _TRIGONOMETRY.search(latex):
        latex = _DEGREES.sub(r"\\frac{\1\\pi}{180}", latex)
    text = _DECIMAL.sub(_exact_decimal, _GROUPED.sub("", latex)).replace("$", "")
    text = _SEGMENT.sub(_as_symbol, _BARE_DENOMINATOR.sub(r"\1{\2}", text))
    if "\\int" not in text:
        text = _FACTOR_D.sub(lambda match: match["command"] or "{d}", text)
    # The degree as a name, by which the root is told from a power until the sign is known.
    marked = _ODD_ROOT.sub(rf"\\sqrt[\\text{{{ROOT}}}_{{\1}}]", text)
    try:
        found = _read(marked)
        if marked != text:
            found = with_real_roots(found, ROOT)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the grammar's own, for a text that is no formula to it
        return None
    return found if _has_letters(text, found) else None


def _read(latex: str) -> Any:  # noqa: ANN401
    """Return the sympy object of a formula, with every letter as it is written.

    As Math-Verify's `parse` reads it by default, letters that name a unit are dropped (to it ``5m``
    is 5 and ``2ab`` is 2) and capitals made small. Its other grammar hands text to `eval`.
    """
    from latex2sympy2_extended import (  # type: ignore[import-untyped]  # noqa: PLC0415
        latex2sympy2 as grammar,
    )
    from math_verify.grader import should_treat_as_complex  # noqa: PLC0415

    spelling = grammar.NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    )
    text = grammar.normalize_latex(latex, spelling)
    return grammar.latex2sympy(
        text,
        is_real=not should_treat_as_complex(text),
        normalization_config=None,
        conversion_config=grammar.ConversionConfig(lowercase_symbols=False),
    )


def _has_letters(latex: str, read: Any) -> bool:  # noqa: ANN401
    """Return whether every variable of a formula is in what was read of it."""
    from server.equivalence.symbolic import letters  # noqa: PLC0415 - loads sympy

    return set(_LETTER.findall(_COMMAND.sub(" ", latex))) - _NAMED <= letters(read)


def _as_symbol(match: re.Match[str]) -> str:
    """Write capitals side by side as one symbol: the two ends of a segment have no order."""
    if match["other"] is not None:
        return match["other"]
    name = match[0] if len(match[0]) > len("AB") else "".join(sorted(match[0]))
    return rf"\text{{{name}}}"


def _exact_decimal(match: re.Match[str]) -> str:
    """Write a decimal as a fraction, so that no float of few digits is made of it."""
    digits = (match[1] + match[2]).lstrip("0") or "0"
    return rf"\frac{{{digits}}}{{1{'0' * len(match[2])}}}"


def _verified(one: Any, other: Any) -> bool:  # noqa: ANN401
    from math_verify import verify  # noqa: PLC0415

    return all(
        verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True)
        for gold, target in ((one, other), (other, one))
    )


def _confine(memory_bytes: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(RECURSION)
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
