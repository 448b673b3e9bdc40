r"""Which words after a number leave its value alone: ``42 \text{ apples}``, not ``42 million``."""

import re

_DEGREES = re.compile(r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree|\u00b0)")
_SET_AS_TEXT = re.compile(
    r"\s*\\(?:text|textrm|mathrm|mbox)\s*\{\s*([A-Za-z]+(?:[ \-/][A-Za-z]+){0,3})"
    r"(?:\^(?:[23]|\{[23]\}))?\s*\.?\s*\}(?:\^(?:[23]|\{[23]\}))?"
)
_BARE = re.compile(r"\s+([A-Za-z]+(?:[ \-][A-Za-z]+){0,3})")
_WORD = re.compile(r"[A-Za-z]+")
#: An ordinal's end, set as text above the line, signs that somebody is content or done, a dollar
#: behind the number, and the base that every number has.
_ORNAMENT = re.compile(
    r"\s*\^\s*\{\s*\\(?:text|textrm|mathrm|mbox)\s*\{\s*(?:st|nd|rd|th)\s*\}\s*\}"
    r"|\s*\\(?:checkmark|blacksquare|square|Box)|\s*\\\$|\s*_\s*\{\s*10\s*\}"
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
    modulo modulus base choose factorial squared cubed power powers percent percentage pi tau phi
    infinity sqrt root log exp sin cos tan is are was wrong incorrect maybe approximately approx
    about roughly around almost more less fewer greater least most than point remainder dozen dozens
    score gross hundred hundreds thousand thousands million millions billion billions trillion
    trillions quadrillion quadrillions quintillion quintillions sextillion septillion octillion
    nonillion decillion googol googolplex lakh crore half halves third thirds quarter quarters
    fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth
    tenths hundredth hundredths thousandth thousandths zero one two three four five six seven eight
    nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty
    thirty forty fifty sixty seventy eighty ninety am pm january february march april may june july
    august september october november december alpha beta gamma delta theta lambda sigma omega
    except excepting excluding unless if when whenever where noon midnight
    """
)
#: Words that do so where they end the phrase or go on in it as prepositions do (``5 km north of``);
#: before a noun they tell what is counted (``3 lost games``, ``2 binary digits``). Of two opposites
#: the one that counts the other way is here (a loss), or both where neither is more usual (north
#: and south): the other one says what the number says alone.
_CHANGING_AT_THE_END = _words(
    """
    binary ternary quaternary quinary senary septenary octal octonary nonary undecimal duodecimal
    dozenal hex hexadecimal vigesimal sexagesimal repeating recurring repeated excluded excepted
    rejected impossible invalid extraneous inadmissible discarded omitted north south east west
    northeast northwest southeast southwest clockwise counterclockwise anticlockwise right loss
    losses lost decrease decreased reduction deficit debt debts owed below beneath under underground
    underwater down downward downwards before earlier ago negative
    """
)
_PREPOSITIONS = _words("of from to than the in")


def is_unit(rest: str) -> bool:
    """Return whether what follows a number is nothing, degrees, or one to four harmless words.

    An ordinal's end and a tick are as harmless.
    """
    if not rest or _DEGREES.fullmatch(rest) or _ORNAMENT.fullmatch(rest):
        return True
    if match := _SET_AS_TEXT.fullmatch(rest):
        return _is_unit(match[1], set_as_text=True)
    if match := _BARE.fullmatch(rest):
        return _is_unit(match[1], set_as_text=False)
    return False


def _is_unit(phrase: str, *, set_as_text: bool) -> bool:
    words = _WORD.findall(phrase)
    lower = [word.lower() for word in words]
    for word, following in zip(lower, [*lower[1:], ""], strict=True):
        if word in _CHANGING_AT_THE_END and (not following or following in _PREPOSITIONS):
            return False
    return all(_is_unit_word(word, set_as_text=set_as_text) for word in words)


def _is_unit_word(word: str, *, set_as_text: bool) -> bool:
    if word.lower() in _CHANGING_WORDS:
        return False
    if len(word) == 1:
        return set_as_text and word in _LETTER_UNITS
    if set_as_text or word in _SHORT_UNITS:
        return True
    return len(word) >= 4 and word.lower() not in _ALPHABET
