r"""Answers typed without LaTeX, or with rare commands: their signs in LaTeX's common spelling.

``½``, ``x²``, ``√2``, ``2**10``, ``sqrt(2)``, ``{10 \choose 3}``, ``ln(2)``, ``(-inf, 1]``. One
pass for each kind of sign, so that the time is linear.
"""

import re
import unicodedata

_FRACTIONS = "\u00bc\u00bd\u00be\u2150-\u215e"
_SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
_SIGNS = {
    "\u00d7": r"\times ",
    "\u00f7": r"\div ",
    "\u00b7": r"\cdot ",
    "\u22c5": r"\cdot ",
    "\u2208": r"\in ",
    "\u222a": r"\cup ",
    "\u2229": r"\cap ",
    "\u211d": r"\mathbb{R}",
    "\u2205": r"\emptyset ",
    "\u2260": r"\ne ",
    "\u00b1": r"\pm ",
    "**": "^",
}
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_VULGAR = re.compile(f"[{_FRACTIONS}]")
_RAISED = re.compile(f"(\u207b?)([{_SUPERSCRIPTS}]{{1,20}})")
_ROOT = re.compile(r"\u221a\s*(?:\(([^()]*)\)|([0-9]+(?:\.[0-9]+)?|[A-Za-z]))")
_CALL = re.compile(r"(?<![A-Za-z\\])sqrt\s*\(([^()]*)\)")
_CHOOSE = re.compile(r"\{([^{}\\]{1,40})\\choose(?![A-Za-z])([^{}\\]{1,40})\}")
_TYPED_CHOOSE = re.compile(
    r"(?<![A-Za-z0-9\\])([0-9]{1,9}|[A-Za-z]) choose ([0-9]{1,9}|[A-Za-z])(?![A-Za-z0-9])"
)
_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])((?:arc)?(?:sin|cos|tan)|sinh|cosh|tanh|cot|sec|csc|ln|log|exp)(?![A-Za-z])"
)
_INFINITY = re.compile(r"(?<![A-Za-z\\])(?:oo|inf|infty|infinity)(?![A-Za-z])")
_UNION = re.compile(r"(?<=[)\]])\s{0,9}U\s{0,9}(?=[(\[])")
#: What any of these begins with: most answers have none.
_ANY = re.compile(
    r"[^\x00-\x7f]|\*\*|sqrt|choose|sin|cos|tan|cot|sec|csc|ln|log|exp|oo|inf|U|\{:\}"
)

#: The signs of ASCII as wide as a Chinese character, as models write them in Chinese prose.
_WIDE = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | {
    0x3001: ",",
    0x3002: ".",
}
#: A dash in front of a number, of a command or of a bracket is its sign.
_DASH = re.compile(r"\A\s*[\u2010-\u2014](?=\s*[0-9.\\(])")


def narrow(text: str) -> str:
    """Return a text with wide signs in ASCII, and a dash in front as a minus."""
    if text.isascii():
        return text
    return _DASH.sub("-", text.translate(_WIDE))


def in_latex(text: str) -> str:
    """Return a text with these signs as LaTeX writes them; others stay."""
    if not _ANY.search(text):
        return text
    text = _VULGAR.sub(_fraction, text)
    text = _RAISED.sub(_exponent, text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2] or ''}}}", text)
    text = _CALL.sub(r"\\sqrt{\1}", text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _TYPED_CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _FUNCTION.sub(r"\\\1 ", text)
    text = _INFINITY.sub(r"\\infty ", text)
    text = _UNION.sub(r"\\cup ", text).replace("{:}", ":")
    return _SIGN.sub(lambda match: _SIGNS[match[0]], text)


def _fraction(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match[0]).partition("\u2044")
    return rf"\frac{{{above}}}{{{below}}}"


def _exponent(match: re.Match[str]) -> str:
    digits = unicodedata.normalize("NFKC", match[2])
    return f"^{{{'-' if match[1] else ''}{digits}}}"
