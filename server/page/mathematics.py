"""LaTeX as MathML that is rebuilt element by element from a short list of harmless ones.

The converter writes what stands in a formula into its output, markup and all; so nothing of it is
used but names and attributes that are known here, and text, which is escaped.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

from latex2mathml.converter import convert_to_element

from server.page.visible import visible

#: Longer formulas are left as they are written: converting one takes about 0.3 ms in 40 characters,
#: and what is longer is rarely one formula.
MOST_CHARS = 1_000
#: Elements of MathML Core that formulas are made of, and `menclose`, which the style sheet draws.
ELEMENTS = frozenset({
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup",
    "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mpadded", "mphantom",
    "mstyle", "menclose",
})  # fmt: skip
SHORT_LENGTH = re.compile(r"[0-9](\.[0-9]{1,4})?(em|ex)")
WORD = re.compile(r"(true|false|left|center|right|prefix|infix|postfix|box|normal|block|inline|0)")
#: Attributes that change how a formula looks, and what their values may be.
ATTRIBUTES = {
    "stretchy": WORD, "fence": WORD, "form": WORD, "columnalign": WORD, "displaystyle": WORD,
    "linethickness": WORD, "notation": WORD, "mathvariant": WORD, "display": WORD,
    "accent": WORD, "movablelimits": WORD, "separator": WORD,
    "width": SHORT_LENGTH, "minsize": SHORT_LENGTH, "maxsize": SHORT_LENGTH,
}  # fmt: skip
#: Deeper formulas are left as they are written; people write five levels.
MOST_DEPTH = 60


class NotMathematics(ValueError):
    """A formula that cannot be shown as one."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula as MathML; templates print it as markup, for it can be nothing but harmless."""

    element: ET.Element

    def __html__(self) -> str:
        """Return the markup: ElementTree escapes text and attributes, names are from our lists."""
        return ET.tostring(self.element, encoding="unicode")

    def tree(self) -> list[Any]:
        """Return it for a script, which makes nodes of it: name, attributes, text, children."""
        return _tree(self.element)


def _tree(element: ET.Element) -> list[Any]:
    children = [_tree(child) for child in element]
    return [element.tag, dict(element.attrib), element.text or "", *children]


@lru_cache(maxsize=4_096)
def formula(latex: str, *, display: bool = False) -> Formula | None:
    """Return a formula; None where it is to be shown as it is written."""
    if not latex.strip() or len(latex) > MOST_CHARS:
        return None
    try:
        element = convert_to_element(latex, display="block" if display else "inline")
        rebuilt = _rebuilt(element, MOST_DEPTH)
    except Exception:  # noqa: BLE001 - the converter has no base class, and raises IndexError too
        return None
    rebuilt.set("display", "block" if display else "inline")
    rebuilt.set("alttext", visible(latex))
    return Formula(rebuilt)


def _rebuilt(element: ET.Element, depth: int) -> ET.Element:
    if element.tag not in ELEMENTS or depth == 0:
        raise NotMathematics(element.tag)
    text = visible(unescape(element.text or ""))
    if text.startswith("\\") and len(text) > 1:
        raise NotMathematics(text)
    made = ET.Element(element.tag)
    made.text = text
    for name, value in element.attrib.items():
        if name in ATTRIBUTES and ATTRIBUTES[name].fullmatch(value):
            made.set(name, value)
    made.extend([_rebuilt(child, depth - 1) for child in element])
    return made
