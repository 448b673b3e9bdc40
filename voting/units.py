r"""Which words after a number leave its value alone: ``42 \text{ apples}``, not ``42 million``."""

import re

_DEGREES = re.compile(r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree|\u00b0)")
_SET_AS_TEXT = re.compile(
    r"\s*\\(?:text|textrm|mathrm|mbox)\s*\{\s*([A-Za-z]+(?:[ \-/][A-Za-z]+){0,3})\s*\.?\s*\}"
    r"(?:\^(?:[23]|\{[23]\}))?"
)
_BARE = re.compile(r"\s+([A-Za-z]+(?:[ \-][A-Za-z]+){0,3})")
_WORD = re.compile(r"[A-Za-z]+")
#: An ordinal's end, set as text above the line, and the sign that somebody is content.
_ORNAMENT = re.compile(
    r"\s*\^\s*\{\s*\\(?:text|textrm|mathrm|mbox)\s*\{\s*(?:st|nd|rd|th)\s*\}\s*\}|\s*\\checkmark"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Units of fewer than four letters; other short words may be variables (``42 ab``).
_SHORT_UNITS = _words("cm mm km nm kg mg ft yd mi lb oz ml hr hrs min sec day deg")
#: Units of one letter, believed only where they are set as text.
_LETTER_UNITS = frozenset("mgshL")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"

#: Words that make the number before them another number, several numbers or no answer.
_CHANGING_WORDS = _words(
    """
    or and nor not no but to through until versus plus minus times multiplied over divided by mod
    modulo modulus base binary octal hex hexadecimal choose factorial squared cubed power powers
    percent percentage pi tau phi infinity sqrt root log exp sin cos tan is are was wrong incorrect
    maybe approximately approx about roughly around almost more less fewer greater least most
    than point remainder dozen dozens score gross hundred hundreds thousand thousands million
    millions billion billions trillion trillions lakh crore half halves third thirds quarter
    quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths
    tenth tenths hundredth hundredths thousandth thousandths zero one two three four five six seven
    eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    twenty thirty forty fifty sixty seventy eighty ninety
    am pm january february march april may june july august september october november december
    alpha beta gamma delta theta lambda sigma omega
    """
)


def is_unit(rest: str) -> bool:
    """Return whether what follows a number is nothing, degrees, or one to four harmless words.

    An ordinal's end and a tick are as harmless.
    """
    if not rest or _DEGREES.fullmatch(rest) or _ORNAMENT.fullmatch(rest):
        return True
    if match := _SET_AS_TEXT.fullmatch(rest):
        return all(_is_unit_word(word, set_as_text=True) for word in _WORD.findall(match[1]))
    if match := _BARE.fullmatch(rest):
        return all(_is_unit_word(word, set_as_text=False) for word in _WORD.findall(match[1]))
    return False


def _is_unit_word(word: str, *, set_as_text: bool) -> bool:
    if word.lower() in _CHANGING_WORDS:
        return False
    if len(word) == 1:
        return set_as_text and word in _LETTER_UNITS
    if set_as_text or word in _SHORT_UNITS:
        return True
    return len(word) >= 4 and word.lower() not in _ALPHABET
