"""The `quorum` command.

Exit codes: 0 done; 1 an error, told in one sentence; 2 wrong usage; 3 a solve without an answer;
128 + n ended by signal n (130 for Ctrl-C). `QUORUM_DEBUG=1` shows tracebacks.
"""

import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from client.escape import printable
from client.registry import DISTRIBUTION, add_commands, installed_commands, missing_module

DEBUG_VARIABLE = "QUORUM_DEBUG"

#: What the system says where nothing more can be written: no space, no quota.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(
    arguments: Sequence[str] | None = None, entries: Sequence[EntryPoint] | None = None
) -> int:
    """Run the command line (default: this process's) and return its exit code.

    `entries` are the commands; default: the installed ones.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _never_fail_to_write()
    if _debugging():
        logging.basicConfig(level=logging.DEBUG)
    try:
        app = build_app(installed_commands() if entries is None else entries, given)
        command = get_command(app)
        _summarise(command)
        command(given, prog_name="quorum")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # noqa: BLE001 - the last one who can tell the user
        return _report(error, _called(given) or "")
    return 0


def build_app(entries: Sequence[EntryPoint], arguments: Sequence[str]) -> typer.Typer:
    """Put the command line together; imports only the command that the arguments name."""
    app = typer.Typer(
        name="quorum",
        help="Solve olympiad mathematics: parallel attempts of a language model, and a vote.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    add_commands(app, entries, _called(arguments))
    return app


def _summarise(group: object) -> None:
    """Have lists of commands show whole first lines; without, what is long is cut with dots."""
    commands: Mapping[str, Any] = getattr(group, "commands", {})
    for command in commands.values():
        command.short_help = command.short_help or (command.help or "").partition("\n")[0]
        _summarise(command)


def installed_version() -> str:
    """Return the installed version of Quorum."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown (not installed)"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quorum {installed_version()}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    """Solve olympiad mathematics: parallel attempts of a language model, and a vote."""


def _called(arguments: Sequence[str]) -> str | None:
    """Return the command's name: the root has flags only, so the first word that is not one."""
    return next((word for word in arguments if not word.startswith("-")), None)


def _never_fail_to_write() -> None:
    """Show what a terminal's encoding lacks as `?`; what is for a closed stream goes nowhere."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for life
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE) == "1"


def _report(error: BaseException, command: str) -> int:
    """Tell the user of an error in one sentence each, and return the exit code."""
    if _debugging():
        traceback.print_exception(error)
    leaves = list(_leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return 130
    # what is meant for the user; the rest is most often a consequence of it
    leaves = [leaf for leaf in leaves if getattr(leaf, "is_user_error", False)] or leaves
    for leaf in leaves:
        sys.stderr.write(f"quorum: {printable(_sentence(leaf, command))}\n")
    return max(int(getattr(leaf, "exit_code", 1)) for leaf in leaves)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of which a group consists."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _sentence(error: BaseException, command: str) -> str:
    if getattr(error, "is_user_error", False):
        return "\n".join([str(error), *getattr(error, "__notes__", [])])
    if isinstance(error, ModuleNotFoundError):
        return missing_module(error, command)
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}the disk is full ({error.strerror}); free some space and try again"
    return (
        f"internal error: {type(error).__name__}: {error}; "
        f"set {DEBUG_VARIABLE}=1 to see where, and please report it"
    )


if __name__ == "__main__":
    sys.exit(main())
