"""What an error says beside its place; each source is run as a cell, without a kernel."""

import linecache
import math
import textwrap
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from sympy.combinatorics import Permutation

from sandbox.inside.short_values import short_value
from sandbox.inside.tracebacks import CELL_NAME, format_error

assert sympy  # what is loaded is what hints look into

NO_VALUE = "a symbol has no value yet: solve for it, or put a number in with .subs(symbol, number)"

_CELL = CELL_NAME.format(number=1)


def hints_of(source: str) -> list[str]:
    """Return the lines between the last frame's source and the error's own line."""
    source = textwrap.dedent(source)
    lines = source.splitlines(keepends=True)
    linecache.cache[_CELL] = (len(source), None, lines, _CELL)
    try:
        exec(compile(source, _CELL, "exec"), {"np": np, "sp": sympy, "math": math})  # noqa: S102
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the subject
        told = format_error(error).splitlines()
        last = max(number for number, line in enumerate(told) if line.startswith("Cell 1"))
        return [line.strip() for line in told[last + 2 : -1]]
    finally:
        linecache.cache.pop(_CELL)
    raise AssertionError("the source raises nothing")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "s = {'x': 1}\ns[0][0]",
            ["s = {'x': 1}", "s is a dict: its keys are of the kind str, as s['x']"],
        ),
        (
            "C = sp.Symbol('C')\ns = {C: -1}\ns[0][0]",
            ["s = {C: -1}", "s is a dict: its keys are of the kind Symbol, as s[C]"],
        ),
        (
            "s = {sp.Symbol('x'): 2}\ns['x']",
            ["s = {x: 2}", "s is a dict: its keys are of the kind Symbol, as s[x]"],
        ),
        ("s = {1: 2}\ns[0]", ["s = {1: 2}"]),
        ("a = [5, 6]\nsum(a[i] for i in range(3))", ["a = [5, 6]", "i = 2"]),
        ("a, b = 3, 0\nc = a + a / b * 2", ["a = 3", "b = 0"]),
        ("r = (1, 2)\nx, y, z = r", ["r = (1, 2)"]),
        ("é, w = 5, 'ñ'\nq = w * 3 + é", ["w = 'ñ'", "é = 5"]),
        ("n = 4\ndef f(k):\n    return (k\n        / (n - 4))\nf(7)", ["k = 7", "n = 4"]),
        ("x = np.zeros(3)\nif x > 0: pass", ["x = [0. 0. 0.]"]),
        ("x, y = sp.symbols('x y')\nr = [x - y]\nif r[0] > 0: pass", ["r = [x - y]", NO_VALUE]),
        ("a, b, c, d, e = 'abcde'\n-(a + b + c + d + e)", [f"{n} = '{n}'" for n in "abcd"]),
    ],
)  # fmt: skip
def test_values_of_the_expression_that_failed(source: str, told: list[str]) -> None:
    assert hints_of(source) == told


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("symbols('x')", ["symbols: from sympy import symbols"]),
        ("sys.setrecursionlimit(9)", ["sys: import sys"]),
        ("operator.mul(2, 3)", ["operator: import operator"]),
        ("random.random()", ["random: import random"]),
        ("linalg.det([[1]])", ["linalg: from numpy import linalg"]),
        ("sqrt(2)", ["sqrt: from math import sqrt or from sympy import sqrt"]),
        ("fractions.Fraction(1)", ["fractions: import fractions"]),
        ("number = 3\nprint(nunber)", ["is number meant?"]),
        ("def f():\n    count = 1\n    return cuont\nf()", ["is count meant?"]),
        ("math.isprime(7)", ["isprime: from sympy import isprime"]),
        (
            "a = [1]\na.intersection([1])",
            ["a = [1]", "a set has intersection: make one first, set(...)"],
        ),
        ("a = {1: 2}\na.union([1])", ["a = {1: 2}", "a set has union"]),
        ("a = [1]\na.apend(2)", ["a = [1]", "is append meant?"]),
        (
            "m = [row[4] for row in table]",
            ["table: no cell has defined it; write its value into the program"],
        ),
        (
            "total = 3 * b",
            [
                (
                    "b: no cell has defined it; give it a value, or: from sympy import symbols; "
                    'b = symbols("b")'
                )
            ],
        ),
        ("__path__", []),
        ("def f():\n    print(total)\n    total = 1\nf()", []),
        ("raise NameError('x', name='two words')", []),
    ],
)
def test_where_missing_names_are(source: str, told: list[str]) -> None:
    assert hints_of(source) == told


LISTED = "an iterator is read once and has no length: make a list of it first, list(...)"
A_CONDITION = "the solution of an inequality is a condition, not a list: print it as it is"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a = sp.Symbol('a')\nsp.solve(a**2 >= 9, a)[0]", A_CONDITION),
        ("a = sp.Symbol('a')\nr = sp.solve(a >= 9, a)\nr[0]", A_CONDITION),
        ("a = sp.Symbol('a')\n[r for r in sp.solve(a >= 9, a)]", A_CONDITION),
        (
            "x = sp.Symbol('x')\nsp.solve(sp.Abs(x - 4) - 10, x)",
            'declare the unknown real: symbols("x", real=True)',
        ),
        (
            "x = sp.Symbol('x')\nmax(x, 3)",
            NO_VALUE,
        ),
        ("from itertools import combinations\nlen(combinations(range(5), 4))", LISTED),
        ("from itertools import permutations\npermutations('abc').count()", LISTED),
        ("g = (n for n in range(3))\ng[0]", LISTED),
        ("m = map(str, [1])\nm.sort()", LISTED),
        ("[1, 2] & [2]", "sets have &, lists have not: make them first, set(...) & set(...)"),
        (
            "def g(x):\n    return x\n3 - g",
            "a function stands where a number should: call it, with its argument in round brackets",
        ),
        ("math.sqrt[3]", "a function is called with round brackets"),
        (
            "n = 2\nn(n + 1)",
            (
                "a number was called: multiplication is written with *; a name that was given a "
                "number is no function any more"
            ),
        ),
    ],
)
def test_what_to_write_instead(source: str, told: str) -> None:
    assert hints_of(source)[-1] == told


TEXT = "this line is text, not Python: text stands behind a #, or outside the program"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2a + 2b + 2c = 0", "multiplication is written with *: 2*x"),
        ("y = 3x**2", "multiplication is written with *: 2*x"),
        ("arrangements = total * 2!", "a factorial is a function: math.factorial(n)"),
        (r"The final answer is \(\boxed{62}\).", TEXT),
        ("1. **Understand the geometry:**", TEXT),
        ("It looks like there was an error in it.", TEXT),
        ("ways = n! / (n - 2)!", "a factorial is a function: math.factorial(n)"),
        ("x = (1,", None),
        ("z = (2j + 1", None),
        ('print("Hello!"', None),
        (r'print(f"${x}$ and $y$, so \boxed{5}"', None),
        ("print('2a is what $x$ and $y$ make', 5", None),
        ("It's as the two lines say here 5", TEXT),
        ("total = (3 + 4  # 2a and 3! make $x$", None),
        ("if x != 3", None),
        ("print 'Three plain words here'", None),
    ],
)
def test_what_to_write_instead_of_a_line_that_is_no_python(line: str, told: str | None) -> None:
    with pytest.raises(SyntaxError) as caught:
        compile(line, _CELL, "exec")
    lines = [each.strip() for each in format_error(caught.value).splitlines()]
    remedies = {line for line in lines if line.startswith(("this line", "a fact", "multipl"))}
    assert remedies == ({told} if told else set())
    assert lines[-1].startswith("SyntaxError: ")


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError",
        "raise TypeError(7)",
        "class E(TypeError): pass\nraise E(\"'And' object is not iterable\")",
        "for i in 5: pass",
        "import math\nmath.sqrt(-1)",
        "def f(): pass\nf(1)",
        "assert False, 'no'",
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_say(source: str) -> None:
    assert hints_of(source) == []


@pytest.mark.parametrize(
    "body",
    [
        "def __repr__(self): raise SystemExit",
        "def __repr__(self):\n        while True: pass",
        "def __getattr__(self, name): raise KeyboardInterrupt",
        "__class__ = 7",
        "def __dir__(self): raise ValueError",
        "def __eq__(self, other): raise ValueError\n    __hash__ = None",
    ],
)
def test_the_error_is_told_whatever_a_class_does(body: str) -> None:
    source = f"class A:\n    {body}\na = A()\nb = [a, {{'k': a}}]\na[0] + b.nothing(a)"
    hints = hints_of(source)
    assert all(len(line) < 200 for line in hints)


def test_an_error_that_lies_about_its_name() -> None:
    assert hints_of("e = NameError('x')\ne.name = 7\nraise e") == []
    assert hints_of("e = NameError('x', name='n' * 10**6)\nraise e") == []


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what a cell would write


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "None"),
        (True, "True"),
        (0.5, "0.5"),
        (Fraction(2, 3), "2/3"),
        (Decimal("1.5"), "Decimal('1.5')"),
        ("a\nb", r"'a\nb'"),
        ("x" * 100, f"'{'x' * 60}'… 100 characters"),
        (10**400, "<integer of 1329 bits>"),
        ([1, [2, [3, [4]]]], "[1, [2, [3, …]]]"),
        ([[[{}]]], "[[[…]]]"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, … 9 in all]"),
        (deque([1]), "deque([1])"),
        ((5,), "(5,)"),
        ((), "()"),
        (set(), "set()"),
        (frozenset({1}), "frozenset({1})"),
        ({(1,): 2}, "{(1,): 2}"),
        (Point(1, 2), "(1, 2)"),
        (Counter("aab"), "{'a': 2, 'b': 1}"),
        (
            OrderedDict.fromkeys(range(7), 0),
            "{0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, … 7 in all}",
        ),
        ([print, 1], "[<builtin_function_or_method>, 1]"),
        ([print], None),
        ({"a": print}, "{'a': <builtin_function_or_method>}"),
        ([], "[]"),
        ({}, "{}"),
        (print, None),
        (math, None),
        (object(), None),
        (np.arange(3), "[0 1 2]"),
        (np.zeros((9, 9)), "<array of shape (9, 9), float64>"),
        (np.int64(5), "5"),
        (mpmath.mpf("0.5"), "0.5"),
        (sympy.sqrt(2) + 1, "1 + sqrt(2)"),
        (sympy.Integer(2) ** 5000, "<long Integer>"),
        (sympy.Matrix([[1, 2]]), "Matrix([[1, 2]])"),
        (sympy.zeros(9, 9), "<matrix of shape (9, 9)>"),
        ({sympy.Symbol("x"): sympy.Rational(1, 2)}, "{x: 1/2}"),
    ],
)  # fmt: skip
def test_short_values(value: object, told: str | None) -> None:
    assert short_value(value) == told


class Hostile:
    """What a cell could write, whose every method never ends."""

    def _never(self, *_: object) -> None:
        raise AssertionError("a method of the cell's own class was called")

    __iter__ = __len__ = __repr__ = __str__ = __dir__ = _never  # type: ignore[assignment]
    items = keys = __getitem__ = __eq__ = __bool__ = _never  # type: ignore[assignment]
    __class__ = property(_never)
    __hash__ = object.__hash__


@pytest.mark.parametrize("base", [object, list, tuple, set, frozenset, dict, deque])
def test_nothing_of_a_cell_s_own_class_is_called(base: type) -> None:
    value = type("Own", (Hostile, base), {})()
    short_value(value)
    assert short_value([value, 1]) is not None


def test_long_values_are_short() -> None:
    """Printed whole, each would take longer than a test may, or recurse too deep."""
    x = sympy.Symbol("x")
    expression = sympy.Add(*(x**k for k in range(3000)))
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    many = dict.fromkeys(range(10**6))
    objects = np.zeros(2, dtype=[("a", object)])
    huge = (
        expression, nested, 1 << 10**8, many, {"k": [expression] * 9}, range(1 << 10**8), objects,
        mpmath.ldexp(1, 10**10_000), sympy.Poly([1] * 100_000, x), sympy.FiniteSet(*range(999)),
        Permutation(range(100_000)),
    )  # fmt: skip
    for value in huge:
        assert 0 < len(short_value(value) or "") <= 160
