"""Reads the header of a Harmony message: who writes to whom, on which channel.

    <|start|>assistant to=python<|channel|>analysis code<|message|>

The recipient may stand in the role's section or in the channel's. What a model writes there may be
cut, doubled or made up: something is always read, and what is no header is given back as text.
"""

import re
from dataclasses import dataclass

CHANNEL, CONSTRAIN = "<|channel|>", "<|constrain|>"
ANALYSIS, COMMENTARY, FINAL = CHANNELS = ("analysis", "commentary", "final")
MODEL = "assistant"
_ROLES = (MODEL, "user", "system", "developer", "tool")
#: Recipients that are no tool: the message is for a reader.
_READERS = frozenset({MODEL, "user", "all"})
_CHANNEL_NAMES = "|".join(CHANNELS)
#: A role that was written: the model's, at times doubled or run together with a channel's name,
#: another known one, or the name of a tool in whose name the model writes.
_MODEL_ROLE = re.compile(rf"\s*(?:{MODEL})+(?=\W|\Z|(?:{_CHANNEL_NAMES})(?:\W|\Z))")
_KNOWN_ROLE = re.compile(rf"\s*({'|'.join(_ROLES)})\b")
_NAMED_ROLE = re.compile(rf"\s*(?!to=)([\w.\-]+)(?=\s*(?:to=|{re.escape(CHANNEL)}|$))")
_RECIPIENT = re.compile(r"\bto=\s*([\w.\-/]*)")
_CHANNEL = re.compile(rf"{re.escape(CHANNEL)}\s*({_CHANNEL_NAMES})?")
#: A channel's name whose `<|channel|>` is missing.
_BARE_CHANNEL = re.compile(rf"\s*({_CHANNEL_NAMES})\b")
_CONTENT_TYPE = re.compile(rf"\s*(?:{re.escape(CONSTRAIN)}\s*)?(?:(code|json)\b)?")
#: What may follow a line end in a header, where that is a space like any other: nothing, or words
#: of a header, the last of which may be under way.
MORE_HEADER = re.compile(
    r"\s*+(?:(?:to=[\w.\-/]*+|to?|c(?:o(?:de?)?)?|j(?:s(?:on?)?)?)(?:\s++|\Z))*+"
)


@dataclass(frozen=True, slots=True)
class Header:
    """A header as read.

    `channel` is None where none is named, and analysis where only unknown ones are: what is not
    said to be final is not. `recipient` is the tool called, None where the message is for a reader,
    and empty where one is announced (`to=`) and not named. `whole` is whether `<|message|>` closed
    it; else `rest`, what follows the last part that was understood, is the beginning of a content.
    """

    role: str = MODEL
    channel: str | None = None
    recipient: str | None = None
    json: bool = False
    whole: bool = True
    rest: str = ""

    @property
    def by_model(self) -> bool:
        """Whether the model writes as itself; else it plays someone: a tool, the user."""
        return self.role == MODEL


def read_header(text: str, role: str | None, *, whole: bool) -> Header:
    """Return what a header says.

    Args:
        text: what was sampled of it, control tokens by name.
        role: the role where that was written before; None where it is to be read.
        whole: whether `<|message|>` closed it.
    """
    place = 0
    if role is None:
        role, place = _read_role(text, whole=whole)
    channels = list(_CHANNEL.finditer(text))
    bare = _BARE_CHANNEL.match(text, place) if whole and not channels and role == MODEL else None
    channels += [bare] if bare else []
    recipients = list(_RECIPIENT.finditer(text))
    place = max(place, *(match.end() for match in (*channels, *recipients)), 0)
    kind = _CONTENT_TYPE.match(text, place) if channels or recipients else None
    place = kind.end() if kind else place
    recipient = recipients[-1][1] if recipients else None
    channel = next((match[1] for match in reversed(channels) if match[1]), ANALYSIS)
    return Header(
        role=role,
        channel=channel if channels else None,
        recipient=None if recipient in _READERS else recipient,
        json=bool(kind and kind[1] == "json"),
        whole=whole,
        rest="" if whole else text[place:].replace(CONSTRAIN, "").lstrip(),
    )


def _read_role(text: str, *, whole: bool) -> tuple[str, int]:
    """Return the role at the beginning of a header, and where it ends."""
    if own := _MODEL_ROLE.match(text):
        return MODEL, own.end()
    written = _KNOWN_ROLE.match(text)
    if whole and not written and not _BARE_CHANNEL.match(text):
        written = _NAMED_ROLE.match(text)
    return (written[1], written.end()) if written else (MODEL, 0)
