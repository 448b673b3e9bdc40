r"""Exact comparison of parsed answers: what guards Math-Verify against saying equal too easily.

Runs in a worker process only: sympy may take any time and memory. Math-Verify compares rounded
floats, so that to it 1/2004! = 1/2006! and 2^-99 = 2^-98; here numbers are compared by their
difference, exactly where sympy can, and else to `DIGITS` significant digits.
"""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import sympy
from sympy.core.relational import Relational

#: Significant digits to which values must agree that are not compared exactly. Far beyond any
#: near-miss that is written down (e^(pi sqrt 163) is an integer to 30 digits).
DIGITS = 120
#: Points at which expressions with symbols must agree. Two different expressions of the length of
#: an answer agree at one random rational with negligible probability; half are negative, for roots.
POINTS = 6
#: Points of those that must give a number.
LEAST_POINTS = 3
#: Digits with which a symbol's random value is drawn: enough that no identity holds by accident.
POINT_SCALE = 10**12


def equal(one: Any, other: Any) -> bool | None:  # noqa: ANN401 - sympy has no types
    """Return whether two sympy objects are equal; None where neither can be shown."""
    if type(one) is type(other) and one == other:
        return True
    if isinstance(other, sympy.Eq) and isinstance(one, sympy.Expr):
        one, other = other, one
    for first, second, compare in (
        (sympy.MatrixBase, sympy.MatrixBase, _equal_matrices),
        (sympy.Tuple, sympy.Tuple, _equal_tuples),
        (sympy.FiniteSet, sympy.FiniteSet, _equal_finite_sets),
        (sympy.Interval, sympy.Interval, _equal_intervals),
        (Relational, Relational, _equal_relations),
        (sympy.Eq, sympy.Expr, _equal_assignment),
        (sympy.Expr, sympy.Expr, equal_expressions),
        (sympy.Set, sympy.Set, _equal_sets),
    ):
        if isinstance(one, first) and isinstance(other, second):
            return compare(one, other)
    return None


def equal_expressions(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    """Return whether two expressions are equal everywhere; None where no value can be had."""
    difference = one - other
    if difference.is_zero:
        return True
    if difference.is_Rational:
        return False
    symbols = sorted(difference.free_symbols, key=str)
    if not symbols:
        return _equal_values(one, other)
    if sympy.expand(difference) == 0:
        return True
    return _equal_at_points(one, other, symbols)


def _equal_at_points(one: Any, other: Any, symbols: Sequence[Any]) -> bool | None:  # noqa: ANN401
    # Seeded: the same question always has the same answer.
    numbers = random.Random(0)
    agreed = 0
    for number in range(2 * POINTS):
        sign = -1 if number % 2 else 1
        point = {
            symbol: sympy.Rational(sign * numbers.randrange(1, 4 * POINT_SCALE), POINT_SCALE)
            for symbol in symbols
        }
        verdict = _equal_values(one.subs(point), other.subs(point))
        if verdict is False:
            return False
        agreed += verdict is True
        if agreed >= POINTS:
            return True
    return True if agreed >= LEAST_POINTS else None


def _equal_values(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    """Compare two constants to `DIGITS` significant digits of the larger one."""
    difference = one - other
    if difference.is_zero:
        return True
    if difference.is_Rational:
        return False
    sizes = [_magnitude(each) for each in (one, other)]
    if None in sizes:
        return None
    scale = max(size for size in sizes if size is not None)
    if scale == 0:
        return True
    gap = _magnitude(difference)
    if gap is None:
        return None
    return bool(gap < scale * sympy.Float(10, DIGITS) ** (-DIGITS // 2))


def _magnitude(value: Any) -> Any:  # noqa: ANN401
    """Return the absolute value as a float of `DIGITS` digits; None where it is no finite number.

    Digits lost to cancellation are made up for, so a difference that is not zero does not look it.
    """
    number = abs(value.evalf(DIGITS, maxn=4 * DIGITS))
    return number if number.is_Float or number.is_Integer else (0 if number == 0 else None)


def _equal_matrices(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    if one.shape != other.shape:
        return False
    return _all(equal(a, b) for a, b in zip(one, other, strict=True))


def _equal_tuples(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    if len(one.args) != len(other.args):
        return False
    return _all(equal(a, b) for a, b in zip(one.args, other.args, strict=True))


def _equal_finite_sets(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    """Pair the elements off: equality is transitive, so that the first match will do."""
    ones, others = list(one.args), list(other.args)
    if len(ones) != len(others):
        return False
    unsure = False
    for element in ones:
        verdicts = [equal(element, each) for each in others]
        if True not in verdicts:
            unsure = unsure or None in verdicts
            if not unsure:
                return False
            continue
        others.pop(verdicts.index(True))
    return None if unsure else True


def _equal_intervals(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    if (one.left_open, one.right_open) != (other.left_open, other.right_open):
        return False
    return _all([equal(one.start, other.start), equal(one.end, other.end)])


def _equal_relations(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    """Compare equations and inequalities: the same up to sides, terms moved and a factor."""
    one, other = (_canonical_relation(each) for each in (one, other))
    if type(one) is not type(other):
        return False
    ones, others = one.lhs - one.rhs, other.lhs - other.rhs
    if equal_expressions(ones, others):
        return True
    ratio = sympy.cancel(ones / others) if others != 0 else sympy.S.Zero
    if ratio.is_Number and ratio != 0:
        return bool(isinstance(one, sympy.Eq | sympy.Ne) or ratio > 0)
    return False


def _canonical_relation(relation: Any) -> Any:  # noqa: ANN401
    turned = isinstance(relation, sympy.GreaterThan | sympy.StrictGreaterThan)
    return relation.reversed if turned else relation


def _equal_assignment(equation: Any, value: Any) -> bool | None:  # noqa: ANN401
    """Compare `x = 5` with `5`; an equation that assigns no symbol is no value."""
    if equation.lhs.is_Symbol and not equation.rhs.has(equation.lhs):
        return equal(equation.rhs, value)
    return False


def _equal_sets(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    if isinstance(one, sympy.FiniteSet) is not isinstance(other, sympy.FiniteSet):
        return False
    if isinstance(one, sympy.Union) and isinstance(other, sympy.Union):
        return _equal_finite_sets(one, other)
    return True if sympy.SymmetricDifference(one, other) == sympy.S.EmptySet else None


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """Return False if any is, else None if any is, else True."""
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True
