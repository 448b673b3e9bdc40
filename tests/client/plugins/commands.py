"""Commands that exist only for the tests: one that works, a group, one that fails in many ways."""

import typer

from client.errors import LocalServerFailed, UsageError

app = typer.Typer(help="A group.")


class ForeignError(Exception):
    """An error of another package that is meant for the user."""

    is_user_error = True


def greet(name: str = "world") -> None:
    """Say hello to somebody.

    More that the overview does not show.
    """
    typer.echo(f"hello {name}")


@app.command()
def count(number: int) -> None:
    typer.echo(" ".join(map(str, range(number))))


@app.command()
def other() -> None:
    """Be there, or the group would be a single command."""


def fail(how: str) -> None:
    """Fail."""
    match how:
        case "defect":
            _ = 1 // 0
        case "exit":
            raise typer.Exit(3)
        case "interrupt":
            raise KeyboardInterrupt
    raise error_of(how)


def error_of(how: str) -> BaseException:
    usage = UsageError("--agree: too many")
    noted = LocalServerFailed("it died")
    noted.add_note("  | last words")
    return {
        "ours": ForeignError("pool size 0: must be at least 1"),
        "usage": usage,
        "group": ExceptionGroup("g", [ExceptionGroup("h", [usage]), ValueError("a consequence")]),
        "noted": noted,
        "hostile": ForeignError("\x1b[31mred\x1b]0;title\x07"),
        "extra": ModuleNotFoundError("no", name="xllamacpp.server"),
        "interrupted-group": BaseExceptionGroup("g", [KeyboardInterrupt(), usage]),
    }[how]
