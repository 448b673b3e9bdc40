"""Tool calls written as JSON: `{"name": "python", "arguments": {"code": "…"}}`.

Generous in what it reads: small models escape newlines wrongly, rename the argument or write the
arguments as a string. What cannot be read comes back as a call with an error for the model.
"""

import json
from typing import Any

from server.dialect.base import ToolCall
from server.dialect.blocks import unfenced

#: Names under which models of several families know the Python tool.
PYTHON_NAMES = frozenset(
    {"python", "python3", "ipython", "code_interpreter", "execute_python", "run_python",
     "python_interpreter", "functions.python", "execute_code", "run_code", "execute"}
)  # fmt: skip
CODE_ARGUMENTS = ("code", "input", "source", "script", "query", "program", "python_code")


def is_call(value: object) -> bool:
    """Tell whether a JSON value has the shape of a tool call."""
    return (
        isinstance(value, dict) and "name" in value and bool({"arguments", "parameters"} & {*value})
    )


def loads(text: str) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON with raw newlines allowed in strings; raises `ValueError`."""
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def read_call(text: str) -> ToolCall:
    """Return the call that the text between the tool-call marks makes."""
    try:
        value = loads(unfenced(text).strip())
    except ValueError as error:
        return ToolCall("", f"the tool call is not valid JSON ({error}); write it again")
    if not is_call(value):
        return ToolCall(
            "",
            'the tool call must be {"name": "python", "arguments": {"code": "..."}}; write it so',
        )
    if str(value["name"]).lower() not in PYTHON_NAMES:
        return ToolCall("", f"no tool named {str(value['name'])[:80]!r}; the only tool is python")
    return call_of(value.get("arguments", value.get("parameters")))


def read_arguments(text: str) -> ToolCall:
    """Return the call of the Python tool whose arguments are this JSON: `{"code": "…"}`."""
    try:
        return call_of(loads(unfenced(text).strip()))
    except ValueError as error:
        return ToolCall("", f"the arguments are not valid JSON ({error}); write the call again")


def call_of(arguments: object) -> ToolCall:
    """Return the call of the Python tool with these arguments."""
    code = _code(arguments)
    if code is None:
        return ToolCall("", 'the arguments must be {"code": "..."}; write the call again')
    # JSON can spell lone surrogates, which are no text and could be sent to no kernel.
    return ToolCall(unfenced(code.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))


def _code(arguments: object) -> str | None:
    if isinstance(arguments, str):
        try:
            inner = loads(arguments)
        except ValueError:
            return arguments
        return _code(inner) if isinstance(inner, dict) else arguments
    if isinstance(arguments, dict):
        named = (arguments[name] for name in CODE_ARGUMENTS if name in arguments)
        values = [v for v in (*named, *arguments.values()) if isinstance(v, str)]
        return values[0] if values else None
    return None
