"""Tables of the command line, read from the signatures of the commands."""

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from client.registry import installed_commands
from docs.markdown import code, sentence, table
from server.settings import declared

_VALUES: dict[object, str] = {int: "integer", float: "number", str: "text", Path: "path", bool: ""}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a command: its Python name, type, default and what typer is told of it."""

    name: str
    type: Any
    default: Any
    info: ParameterInfo

    @property
    def label(self) -> str:
        """What it is called on the command line."""
        if isinstance(self.info, ArgumentInfo):
            return self.info.metavar or self.name.upper()
        # inside Annotated, typer takes the first name where the default would stand
        names = [self.info.default, *(self.info.param_decls or ())]
        flags = (
            name.partition("/")[0]
            for name in names
            if isinstance(name, str) and name.startswith("-")
        )
        return next(flags, "--" + self.name.replace("_", "-"))

    @property
    def meaning(self) -> str:
        """Its help, and the variable that stands for it."""
        variable = f" Variable: `{self.info.envvar}`." if self.info.envvar else ""
        return (self.info.help or "") + variable

    @property
    def shown_default(self) -> str:
        """Its default, where there is one to show."""
        nothing = self.default in (None, False, inspect.Parameter.empty)
        return "" if nothing else code(f"{self.default:g}" if _is_float(self) else self.default)


def command(*words: str) -> str:
    """Return usage, meaning and tables of a command such as `weights pull`."""
    callback = _callback(*words)
    parameters = [each for each in _parameters(callback) if not each.info.hidden]
    arguments = [each for each in parameters if isinstance(each.info, ArgumentInfo)]
    settings = {setting.flag for setting in declared()}
    options = [
        each
        for each in parameters
        if isinstance(each.info, OptionInfo) and each.label not in settings
    ]
    names = [f"[{each.label}]" for each in arguments]
    usage = " ".join(["quorum", *words, "[OPTIONS]", *names])
    parts = [f"```text\n{usage}\n```", sentence(inspect.getdoc(callback) or "")]
    if arguments:
        rows = [(code(each.label), each.shown_default, each.meaning) for each in arguments]
        parts.append(table(("Argument", "Default", "Meaning"), rows))
    if options:
        headings = ("Option", "Value", "Default", "Meaning")
        cells = [(code(o.label), _value(o.type), o.shown_default, o.meaning) for o in options]
        parts.append(table(headings, cells))
    return "\n\n".join(parts)


def command_names() -> Iterator[str]:
    """Yield every command's words: `weights pull`."""
    for entry in installed_commands():
        yield from _within(entry.name, entry.load())


def _within(words: str, found: Any) -> Iterator[str]:  # noqa: ANN401 - an app, or a function
    if not hasattr(found, "registered_commands"):
        yield words
        return
    for each in found.registered_commands:
        yield f"{words} {each.name}"
    for group in found.registered_groups:
        yield from _within(f"{words} {group.name}", group.typer_instance)


def _callback(word: str, *more: str) -> Callable[..., None]:
    """Return the function of a command; raises `KeyError` when there is none of that name."""
    entries = {entry.name: entry for entry in installed_commands()}
    found: Any = entries[word].load()
    for name in more:
        within: dict[str | None, Any] = {c.name: c.callback for c in found.registered_commands}
        found = ({g.name: g.typer_instance for g in found.registered_groups} | within)[name]
    callback: Callable[..., None] = found
    return callback


def _parameters(callback: Callable[..., None]) -> Iterator[Parameter]:
    for name, parameter in inspect.signature(callback, eval_str=True).parameters.items():
        plain, *metadata = get_args(parameter.annotation)
        info = next(each for each in metadata if isinstance(each, ParameterInfo))
        yield Parameter(name, plain, parameter.default, info)


def _value(annotation: Any) -> str:  # noqa: ANN401 - a type as it is written
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(code(str(member.value)) for member in annotation)
    if get_origin(annotation) is list:
        (each,) = get_args(annotation)
        return f"{_value(each)}, repeatable"
    return _VALUES[annotation]


def _is_float(parameter: Parameter) -> bool:
    return isinstance(parameter.default, float)
