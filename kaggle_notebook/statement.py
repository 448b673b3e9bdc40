"""A problem's text, made fit for the server, and the key under which its answer is kept."""

import hashlib
import re
from typing import Any

from kaggle_notebook.frames import is_missing, text_of

#: The server takes 16,000 characters; a statement that is longer keeps its beginning and its end.
MAX_CHARACTERS = 16_000
CUT = "\n\n[…]\n\n"
#: The server takes names of problems of up to so many.
MAX_KEY_CHARACTERS = 256
#: Floats below this are exact where they are whole.
MAX_WHOLE = 2**53
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def fit(text: str) -> str:
    """Return a text that the server accepts as a problem, or an empty one.

    Control characters become spaces, halves of characters a replacement character.
    """
    text = _LONE_SURROGATE.sub("\ufffd", _UNPRINTABLE.sub(" ", text))
    if not text.strip():
        return ""
    if len(text) <= MAX_CHARACTERS:
        return text
    return _cut(text, MAX_CHARACTERS)


def shortened(text: str) -> str:
    """Return a text at half its length: its beginning and its end."""
    return _cut(text, max(len(text) // 2, 2 * len(CUT)))


def _cut(text: str, length: int) -> str:
    half = (length - len(CUT)) // 2
    return text[:half] + CUT + text[-half:]


def key_of(identity: Any, text: str) -> str:  # noqa: ANN401 - whatever the gateway sends
    """Return the name of a problem on the server and in the record: its id, where it has one.

    Equal ids have equal keys, whatever their type: a column of integers in which one is missing
    comes as floats. Without an id the statement decides. Where the server would not take an id as
    it is, a digest tells apart those that are alike in what it takes.
    """
    whole = isinstance(identity, float) and identity.is_integer() and abs(identity) < MAX_WHOLE
    name = identity if isinstance(identity, str) else text_of(int(identity) if whole else identity)
    if is_missing(identity) or not name.strip():
        return f"text-{_digest(text)}"
    key = _UNPRINTABLE.sub(" ", text_of(name))
    if key == name and len(key) <= MAX_KEY_CHARACTERS:
        return key
    return f"{key[:100]}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
