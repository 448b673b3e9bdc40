"""Reads a Harmony message to a tool: to whom, and what code it is.

gpt-oss calls Python as `python` with the code as it stands, and as `functions.python` with JSON
arguments; now and then each in the manner of the other, or a tool that there is not.
"""

import re

from server.dialect.base import ToolCall
from server.dialect.blocks import unfenced
from server.dialect.harmony_header import Header
from server.dialect.tool_json import CODE_ARGUMENTS, PYTHON_NAMES, loads, read_arguments

_NAMESPACE = "functions."
#: What a tool's name may be when a result is written in its name: as OpenAI's API allows, with
#: dots for namespaces.
_NAME = re.compile(r"[\w.\-]{1,64}")
#: Characters of an unknown name that the model is shown.
_SHOWN = 80


def replying_name(header: Header) -> str:
    """Return the name in which the result is written: the recipient's, where it is a name."""
    name = header.recipient or ""
    return name if _NAME.fullmatch(name) else "python"


def read_message(header: Header, content: str) -> ToolCall:
    """Return the call that a message to a tool makes."""
    name = header.recipient or ""
    if not name:
        return ToolCall("", "the call names no tool; write to=python in its header")
    if name.removeprefix(_NAMESPACE).lower() not in PYTHON_NAMES:
        return ToolCall("", f"no tool named {name[:_SHOWN]!r}; the only tool is python")
    if not header.whole:
        return ToolCall("", "the call's header has no <|message|>; write the call again")
    content = unfenced(content)
    if not content.strip():
        return ToolCall("", "the call has no code; write the call again")
    if header.json or name.startswith(_NAMESPACE):
        # Code that cannot be JSON was announced wrongly, but is code.
        start = content.lstrip()
        as_json = start.startswith(("{", '"')) and not start.startswith('"""')
        return read_arguments(content) if as_json else ToolCall(content)
    return _raw_or_json(content)


def _raw_or_json(content: str) -> ToolCall:
    """Read raw code, unless it is a JSON object of the arguments' shape."""
    if not content.lstrip().startswith("{"):
        return ToolCall(content)
    try:
        value = loads(content)
    except ValueError:
        return ToolCall(content)
    is_arguments = isinstance(value, dict) and any(
        isinstance(value.get(name), str) for name in CODE_ARGUMENTS
    )
    return read_arguments(content) if is_arguments else ToolCall(content)
