"""What annotating models are asked; a caller may give files of its own in their place."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from training.errors import BadFile, reading

_PLACE = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Wording:
    """A prompt with places in braces, each a word; `sha256` says which one it was."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The text's SHA-256, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, values: Mapping[str, str]) -> str:
        """Return it with its places filled, in one pass: what is filled in has no places."""
        return _PLACE.sub(lambda match: values.get(match[1], match[0]), self.text)


def wording(name: str, own: Path | None = None, needed: frozenset[str] = frozenset()) -> Wording:
    """Return a prompt of ours by its name, or the one in a file.

    Raises:
        BadFile: the file cannot be read, or lacks a place that is needed.
    """
    if own is None:
        return Wording(name, (files(__name__) / f"{name}.md").read_text(encoding="utf-8"))
    with reading(own):
        try:
            text = own.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadFile(f"{own}: not text in UTF-8 ({error})") from None
    missing = sorted(needed - set(_PLACE.findall(text)))
    if missing:
        raise BadFile(f"{own}: lacks {{{missing[0]}}}, which is filled in; write where it goes")
    return Wording(own.name, text)
