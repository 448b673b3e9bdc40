"""The commands of `quorum`: entry points of one group, put together without importing them.

A package adds a command by an entry point of the group `quorum.commands`: a function becomes a
command of the entry point's name, a `typer.Typer` a group of commands. Only the command that is
called is imported; of the others, the help shows the docstring's first line, read from source.
"""

import ast
import importlib.util
import re
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires, version
from pathlib import Path

import typer

from client.errors import QuorumClientError

GROUP = "quorum.commands"
DISTRIBUTION = "quorum-aimo"

#: What the wheel installs.
OUR_PACKAGES = frozenset({"voting", "sandbox", "client", "server", "kaggle_notebook", "training"})
#: Extras for those who work on Quorum itself; others bring what a command needs.
_OF_DEVELOPERS = frozenset({"build", "dev"})
#: Modules that are named otherwise than the distribution that brings them.
_DISTRIBUTION_OF = {"grpc": "grpcio"}


class CommandUnavailable(QuorumClientError):
    """A command cannot be imported, most often because an extra is not installed."""


def installed_commands() -> list[EntryPoint]:
    """Return the commands of all installed packages, by name."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def is_installed() -> bool:
    """Whether Quorum is installed, not merely run from its folder."""
    try:
        version(DISTRIBUTION)
    except PackageNotFoundError:
        return False
    return True


def add_commands(app: typer.Typer, entries: Iterable[EntryPoint], called: str | None) -> None:
    """Add every command to the app: the one that is called in earnest, the others as a name.

    Raises `CommandUnavailable` when the called one cannot be imported.
    """
    for entry in entries:
        if entry.name == called:
            _add_loaded(app, entry)
        else:
            app.command(entry.name, help=summary(entry))(_named_only)


def _named_only() -> None:
    """Stand for a command that was not called."""


def _add_loaded(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        command: typer.Typer | Callable[..., None] = entry.load()
    except ImportError as error:
        raise CommandUnavailable(missing_module(error, entry.name)) from error
    except AttributeError as error:
        raise CommandUnavailable(f"quorum {entry.name}: {error}; install Quorum again") from error
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


def summary(entry: EntryPoint) -> str:
    """Return the first line of a command's docstring, read from its source; "" if there is none."""
    try:
        found = importlib.util.find_spec(entry.module)
        if found is None or found.origin is None:
            return ""
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef)
    named = [
        node for node in tree.body if isinstance(node, definitions) and node.name == entry.attr
    ]
    documented: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef = named[0] if named else tree
    return (ast.get_docstring(documented) or "").partition("\n")[0]


def missing_module(error: ImportError, command: str) -> str:
    """Say which extra brings the module that a command lacks."""
    module = error.name or str(error)
    if module.partition(".")[0] in OUR_PACKAGES:
        return f"quorum {command}: this installation lacks {module}; install Quorum again"
    extra = extra_of(module.partition(".")[0], command)
    if extra is None:
        return f"quorum {command}: the module {module} cannot be imported ({error}); install it"
    return (
        f"quorum {command} needs {module}, which is not installed: "
        f'install the extra, as in `pip install "{DISTRIBUTION}[{extra}]"`'
    )


def extra_of(module: str, command: str = "") -> str | None:
    """Return the extra of ours that brings a top-level module; None: no extra does.

    Of several it is the one that is called as the command, and those of developers come last.
    """
    wanted = _normal(_DISTRIBUTION_OF.get(module, module))
    try:
        requirements = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return None
    extras = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if name and extra and _normal(name.group()) == wanted:
            extras.append(extra.group(1))
    return min(extras, key=lambda extra: (extra != command, extra in _OF_DEVELOPERS), default=None)


def _normal(name: str) -> str:
    """Normalise a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
