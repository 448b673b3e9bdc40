r"""Exact comparison of parsed answers: what guards Math-Verify against saying equal too easily.

Runs in a worker process only: sympy may take any time and memory. Math-Verify compares rounded
floats, so that to it 1/2004! = 1/2006! and 2^-99 = 2^-98; here numbers are compared by their
difference: exactly where sympy can, else by computing it until its first digit shows.
"""

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

import sympy
from sympy.core.evalf import PrecisionExhausted
from sympy.core.relational import Relational

#: A difference counts as zero if its first digits have not shown by this many: far beyond any
#: near-miss that can be written down (e^(pi sqrt 163) is an integer to 30 digits).
MOST_DIGITS = 4_000
FIRST_DIGITS = 5
#: Points at which expressions with symbols must agree. Two different expressions of the length of
#: an answer agree at one random rational with negligible probability; half are negative, for roots.
POINTS = 6
#: Points of those that must give a number.
LEAST_POINTS = 3
#: Digits with which a symbol's random value is drawn: enough that no identity holds by accident.
POINT_SCALE = 10**12

_INEQUALITIES = sympy.GreaterThan | sympy.LessThan | sympy.StrictGreaterThan | sympy.StrictLessThan
#: Indices that a sum or a sequence has beside "i", which is no imaginary unit there.
_INDICES = frozenset("jkmn")


def equal(one: Any, other: Any) -> bool | None:  # noqa: ANN401 - sympy has no types
    """Return whether two sympy objects are equal; None where neither can be shown."""
    if type(one) is type(other) and one == other:
        return True
    if not (isinstance(one, Relational) and isinstance(other, Relational)):
        one, other = _as_set(one), _as_set(other)
    if isinstance(other, sympy.Eq) and isinstance(one, sympy.Expr):
        one, other = other, one
    if isinstance(other, sympy.FiniteSet):
        one, other = other, one
    for first, second, compare in (
        (sympy.MatrixBase, sympy.MatrixBase, _equal_matrices),
        (sympy.Tuple, sympy.Tuple, _equal_tuples),
        (sympy.FiniteSet, sympy.FiniteSet, _equal_finite_sets),
        (sympy.FiniteSet, sympy.Tuple, _equal_set_to_tuple),
        (sympy.Interval, sympy.Interval, _equal_intervals),
        (Relational, Relational, _equal_relations),
        (sympy.And, sympy.And, _equal_chains),
        (sympy.Eq, sympy.Expr, _equal_assignment),
        (sympy.Expr, sympy.Expr, equal_expressions),
        (sympy.Set, sympy.Set, _equal_sets),
    ):
        if isinstance(one, first) and isinstance(other, second):
            return compare(one, other)
    return None


def letters(found: Any) -> set[str]:  # noqa: ANN401
    """Return the letters of all variables and functions in what was read.

    A letter that is both is neither: the grammar takes it for a factor before some brackets.
    """
    functions = {each.name for each in found.atoms(sympy.core.function.AppliedUndef)}
    return {
        letter
        for name in _names_in(found) ^ functions
        for part in name.split("_")
        # A word is a command's ("alpha") or a text's: its letters stand for no variables.
        if len(part) == 1 or not part.isalpha()
        for letter in part
    }


def _names_in(found: Any) -> set[str]:  # noqa: ANN401
    return {symbol.name for symbol in found.atoms(sympy.Symbol)}


def with_real_roots(found: Any, root: str) -> Any:  # noqa: ANN401
    """Return what was read, with roots of odd degree real: to sympy that of -8 is complex.

    The degrees are symbols named `root` with the number as an index, so that a root is told from
    a power, which stays as sympy has it.
    """
    if isinstance(found, sympy.MatrixBase):
        return found.applyfunc(lambda element: with_real_roots(element, root))
    if not isinstance(found, sympy.Basic):
        return found
    if isinstance(found, sympy.Pow):
        name, exponent = found.exp.as_base_exp()
        match = re.fullmatch(rf"{root}_\{{?([0-9]+)\}}?", str(name))
        if match is not None and exponent == -1:
            return _real_root(with_real_roots(found.base, root), int(match[1]))
    parts = [with_real_roots(part, root) for part in found.args]
    same = all(new is old for new, old in zip(parts, found.args, strict=True))
    return found if same else found.func(*parts)


def _real_root(radicand: Any, degree: int) -> Any:  # noqa: ANN401
    exponent = sympy.Rational(1, degree)
    if radicand.is_number and radicand.is_negative:
        return -((-radicand) ** exponent)
    return radicand**exponent


def either(parts: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return the set of numbers that satisfy one of several inequalities; None where it is none."""
    sets = [_as_set(part) for part in parts]
    if not _of_one_variable(parts, sets):
        return None
    return sympy.Union(*sets)


def both(parts: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return the set of numbers that satisfy all of several inequalities; None as for `either`."""
    sets = [_as_set(part) for part in parts]
    if not _of_one_variable(parts, sets):
        return None
    return sympy.Intersection(*sets)


def _of_one_variable(parts: Sequence[Any], sets: Sequence[Any]) -> bool:
    variables = {symbol for part in parts if part is not None for symbol in part.free_symbols}
    return len(variables) == 1 and all(isinstance(each, sympy.Set) for each in sets)


def _as_set(relation: Any) -> Any:  # noqa: ANN401
    """Return an interval for ``1 < x < 3``; anything else as it is."""
    inequality = isinstance(relation, sympy.And | sympy.Or | _INEQUALITIES)
    if not inequality or len(relation.free_symbols) != 1:
        return relation
    (symbol,) = relation.free_symbols
    # Solving is for what is solved already: sympy may take any time for more.
    if not all(_is_bound(each, symbol) for each in relation.atoms(Relational)):
        return relation
    # A symbol of its own, which is real whatever the grammar takes it for.
    return relation.subs(symbol, sympy.Symbol("x", real=True)).as_set()


def _is_bound(relation: Any, symbol: Any) -> bool:  # noqa: ANN401
    sides = (relation.lhs, relation.rhs)
    return symbol in sides and not all(side.has(symbol) for side in sides)


def equal_expressions(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    """Return whether two expressions are equal everywhere; None where no value can be had."""
    one, other = (_plain(each, _INDICES & _names(one, other)) for each in (one, other))
    difference = sympy.expand(one - other)
    if difference.has(sympy.factorial, sympy.binomial) and difference.free_symbols:
        # Gamma functions take seconds to be found equal by their digits.
        difference = sympy.combsimp(difference)
    if difference == 0:
        return True
    if difference.is_Rational:
        return False
    symbols = sorted(difference.free_symbols, key=str)
    if not symbols:
        return _is_zero(difference)
    return _equal_at_points(difference, symbols)


def _names(*expressions: Any) -> set[str]:  # noqa: ANN401
    return {symbol.name for each in expressions for symbol in each.free_symbols}


def _plain(expression: Any, indices: frozenset[str]) -> Any:  # noqa: ANN401
    """Return an expression done, with symbols that are told apart by their names alone.

    The grammar gives a symbol other assumptions by where it stands. Without other indices, "i" is
    the imaginary unit.
    """
    unit = {} if indices else {"i": sympy.I}
    symbols = {
        each: unit.get(each.name, sympy.Symbol(each.name)) for each in expression.free_symbols
    }
    return expression.xreplace(symbols).doit()


def _equal_at_points(difference: Any, symbols: Sequence[Any]) -> bool | None:  # noqa: ANN401
    # Seeded: the same question always has the same answer.
    numbers = random.Random(0)
    agreed = 0
    for number in range(2 * POINTS):
        sign = -1 if number % 2 else 1
        point = {
            symbol: sympy.Rational(sign * numbers.randrange(1, 4 * POINT_SCALE), POINT_SCALE)
            for symbol in symbols
        }
        verdict = _is_zero(difference.subs(point))
        if verdict is False:
            return False
        agreed += verdict is True
        if agreed >= POINTS:
            return True
    return True if agreed >= LEAST_POINTS else None


def _is_zero(value: Any) -> bool | None:  # noqa: ANN401
    """Return whether a constant is zero: by its value, computed until its first digit shows.

    None where it has no finite value.
    """
    if value == 0:
        return True
    if value.is_Rational:
        return False
    try:
        number = value.evalf(FIRST_DIGITS, maxn=MOST_DIGITS, strict=True)
    except PrecisionExhausted:
        return True
    return False if number.is_comparable or (number.is_number and abs(number).is_Float) else None


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
    if len(ones) != len(others) or _are_named(ones) is not _are_named(others):
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


def _equal_set_to_tuple(one: Any, _: Any) -> bool | None:  # noqa: ANN401
    """Compare a set with a tuple: another thing, but where it is a set of tuples."""
    return None if one.has(sympy.Tuple, sympy.Interval) else False


def _are_named(elements: Sequence[Any]) -> bool:
    """Return whether elements give values to several names: ``x = 1, y = 2`` is not ``2, 1``."""
    return len({each.lhs for each in elements if isinstance(each, sympy.Eq)}) > 1


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


def _equal_chains(one: Any, other: Any) -> bool | None:  # noqa: ANN401
    """Compare relations of relations, like ``a = b = 1``: not of other variables."""
    return None if _names(one) == _names(other) else False


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
