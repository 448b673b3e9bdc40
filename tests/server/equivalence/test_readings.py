"""Answers are read letter by letter, and what the grammar reads otherwise is never called equal."""

from collections.abc import AsyncIterator

import pytest

from server.equivalence.pool import EquivalenceOptions, EquivalencePool

#: Enough for a comparison that loads the machine's last bits of sympy, on a busy machine.
PATIENT = EquivalenceOptions(workers=1, timeout_s=20.0)

EQUAL = [
    # Letters that name units are variables, in any order.
    ("2ab", "2ba"),
    ("2ab", "ab+ab"),
    ("S=2ab", "S=2ba"),
    ("S=2ab", "2ab"),
    (r"\frac{ab}R", r"\frac{ba}R"),
    (r"\frac{abc}{4R}", r"\frac{cab}{4R}"),
    (r"S=\frac{abc}{4R}", r"S=\frac{bca}{4R}"),
    ("ad+bc", "cb+da"),
    (r"ad\cdot bc", r"bc\cdot ad"),
    (r"R\ge2r", r"2r\le R"),
    # A segment has no first end.
    ("AB+BC", "BC+AB"),
    ("AB=2CD", "2DC=BA"),
    (r"\frac{AB}{AC}", r"\frac{BA}{CA}"),
    # Sets, tuples and intervals keep their brackets.
    (r"(\sqrt{2},1,0)", r"(2^{1/2},1,0)"),
    ("(1,2,3)", "1,2,3"),
    (r"\{\sqrt{2}\}", r"\{2^{1/2}\}"),
    (r"\mathbb{R}\setminus\{0\}", r"(-\infty,0)\cup(0,\infty)"),
    (r"\mathbb{R}\setminus\{1\}", r"x\ne1"),
    (r"[\sqrt{2},\sqrt{3}]", r"[2^{1/2},3^{1/2}]"),
    (r"\frac{1}{2}or0.5", r"\frac{1}{2}"),
    # Rounding.
    (r"\lfloor n/2\rfloor", r"\lfloor\frac n2\rfloor"),
    (r"\lceil n/2\rceil", r"\lceil\frac{n}{2}\rceil"),
    # Roots of odd degree are real.
    (r"\sqrt[3]{2+\sqrt5}+\sqrt[3]{2-\sqrt5}", "1"),
    (r"\sqrt[3]{-\frac18}", r"-\frac12"),
    (r"\sqrt[3]{1-\sqrt2}", r"-\sqrt[3]{\sqrt2-1}"),
    (r"2\sqrt[3]{-8}", "-4"),
    (r"x=\sqrt[5]{-32}", "-2"),
    (r"\sqrt[3]{\sqrt[3]{2}}", r"\sqrt[9]{2}"),
    (r"\sqrt[3]{x}", r"x^{\frac{1}{3}}"),
    (
        r"\begin{pmatrix}\sqrt[3]{-8}\\1\end{pmatrix}",
        r"\begin{pmatrix}-2\\1\end{pmatrix}",
    ),
    # Degrees with decimals.
    (r"\tan22.5^\circ", r"\sqrt2-1"),
    (r"\sin22.5^{\circ}", r"\frac{\sqrt{2-\sqrt2}}{2}"),
]

DIFFERENT = [
    # Letters that name units, in relations.
    ("S=2ab", "S=2bc"),
    ("S=2ab", "2"),
    ("S=3ab", "3"),
    ("x=5m", "5"),
    ("V=5h", "V=5"),
    ("y=5m", "y=5g"),
    ("y=x+2ab", "y=x+2"),
    ("xy=2ab", "xy=2"),
    ("x=1+2ab", "3"),
    ("x>2ab", "x>2"),
    ("0<x<5m", "0<x<5"),
    (r"x\ge3h", r"x\ge3"),
    ("|x|=5m", "|x|=5"),
    (r"x=\pm5m", r"x=\pm5"),
    ("x=2dm", "x=2"),
    ("x=2kg", "x=2cm"),
    # The same, beside functions whose names have them.
    (r"\sqrt2 s", r"\sqrt2"),
    (r"\sqrt2 t", r"\sqrt2"),
    (r"\sqrt3+5s", r"\sqrt3+5"),
    (r"\sin x+3s", r"\sin x+3"),
    (r"\log x+3g", r"\log x+3"),
    # Capitals.
    ("R=2r", "r=2R"),
    (r"R\ge2r", r"r\ge2R"),
    (r"S=\frac{abc}{4R}", r"S=\frac{abc}{4r}"),
    ("AB=2CD", "ab=2cd"),
    ("|A|", "|a|"),
    ("R-r", "0"),
    (r"\frac{AB}{AC}", r"\frac{B}{C}"),
    (r"\angle ABC=\angle D", r"\angle ACB=\angle D"),
    # Rounding brackets and fractional parts.
    ("[x]", "x"),
    ("[n/2]", "n/2"),
    (r"\left[\frac n2\right]", r"\frac n2"),
    (r"[\frac n2]+1", r"\frac n2+1"),
    (r"\left[\frac{n^2}4\right]", r"\frac{n^2}4"),
    (r"[\sqrt n]", r"\sqrt n"),
    (r"[\max(a,b)]", r"\max(a,b)"),
    ("x-[x]", "0"),
    (r"n-\{n/2\}", "n-n/2"),
    (r"2\{x\}", "2x"),
    (r"\{x\}", "x"),
    (r"x=\{y\}", "x=y"),
    (r"\{\sqrt2\}", r"\sqrt2"),
    # Factorials.
    ("5!!", "(5!)!"),
    ("n!!", "(n!)!"),
    ("2^{n}!", "(2^n)!"),
    ("n^2!", "(n^2)!"),
    (r"\frac{n}{2}!", r"(\frac{n}{2})!"),
    # Tuples and sets.
    ("(1,2,3)", r"\{1,2,3\}"),
    ("[1,2,3]", r"\{1,2,3\}"),
    ("(2,1)", r"\{1,2\}"),
    (r"(\sqrt2,1,0)", r"\{0,1,\sqrt2\}"),
    ("(3,2,1)", "1,2,3"),
    # Roots.
    (r"2\sqrt[3]{-8}", "0"),
    (r"\sqrt[3]{-8}", "2"),
    # What the grammar computes at once, multiplies, or takes into an argument.
    (r"\gcd(m,n)", "1"),
    (r"\frac{m+n}{\gcd(m,n)}", "m+n"),
    (r"\operatorname{lcm}(m,n)", "mn"),
    ("E(X^2)", "E(X)^2"),
    ("f(2x)+f(3x)", "f(5x)"),
    ("P(x+y)=P(x)+P(y)-1", "0=P(x)+P(y)-Px-Py-1"),
    (r"\sin x\cdot2", r"\sin2x"),
    (r"\ln2/2", "0"),
    (r"\ln2/\ln3", r"\ln(2/\ln3)"),
    ("a=b=c=1", "a=b=1"),
]


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[EquivalencePool]:
    async with EquivalencePool(PATIENT) as pool:
        yield pool


@pytest.mark.parametrize(("one", "other"), EQUAL)
async def test_equal_answers_are_found_equal(pool: EquivalencePool, one: str, other: str) -> None:
    assert await pool.are_equal(one, other) is True
    assert await pool.are_equal(other, one) is True


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
async def test_different_answers_are_never_called_equal(
    pool: EquivalencePool, one: str, other: str
) -> None:
    assert await pool.are_equal(one, other) is not True
    assert await pool.are_equal(other, one) is not True
