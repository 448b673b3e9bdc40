r"""Answers typed without LaTeX, or with rare commands: their signs in LaTeX's common spelling.

``½``, ``x²``, ``√2``, ``2**10``, ``sqrt(2)``, ``{10 \choose 3}``. One pass for each kind of sign,
so that the time is linear.
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
#: What any of these begins with: most answers have none.
_ANY = re.compile(r"[^\x00-\x7f]|\*\*|sqrt|\\choose")


def in_latex(text: str) -> str:
    """Return a text with these signs as LaTeX writes them; others stay."""
    if not _ANY.search(text):
        return text
    text = _VULGAR.sub(_fraction, text)
    text = _RAISED.sub(_exponent, text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2] or ''}}}", text)
    text = _CALL.sub(r"\\sqrt{\1}", text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    return _SIGN.sub(lambda match: _SIGNS[match[0]], text)


def _fraction(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match[0]).partition("\u2044")
    return rf"\frac{{{above}}}{{{below}}}"


def _exponent(match: re.Match[str]) -> str:
    digits = unicodedata.normalize("NFKC", match[2])
    return f"^{{{'-' if match[1] else ''}{digits}}}"
