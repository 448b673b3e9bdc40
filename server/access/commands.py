"""Make, list and revoke the keys that a server accepts."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from server.access.errors import MalformedKey
from server.access.keys import Key, make_key
from server.access.opening import key_file
from server.access.scopes import Scope
from server.access.store import KeyFile
from server.listing import listing
from server.settings import load_settings

app = typer.Typer(
    help="Make, list and revoke the keys that a server accepts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
#: Seconds of the units in which a time to live is given.
UNITS = {"h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}
#: A hundred years.
MOST_DAYS = 36_500

FileOption = Annotated[
    Path | None, typer.Option("--file", help="The file of keys, instead of the server's own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@app.command("add")
def add_command(
    name: Annotated[str, typer.Argument(help="Whose key it is, in a word.")],
    *,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it is for; more than one may be given.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="AGE", help="How long it works: 36h, 90d, 12w.")
    ] = None,
    file: FileOption = None,
) -> None:
    """Make a key and print it: this once, for only its hash is kept."""
    lasts_s = None if expires is None else _seconds(expires)
    key, text = make_key(name, frozenset(scope or [Scope.SOLVE]), lasts_s)
    keys = _file(file)
    keys.add(key)
    said = f"key {key.id} for {key.name} ({_scopes(key)}, {_until(key)}), kept in {keys.path}"
    typer.echo(f"{said}; this is it, shown this once:", err=True)
    sys.stdout.write(f"{text}\n")


@app.command("ls")
def list_command(*, file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the keys, without what would let anybody use them."""
    keys = sorted(_file(file).read().values(), key=lambda key: key.created)
    if as_json:
        for key in keys:
            shown = {
                "id": key.id,
                "name": key.name,
                "scopes": sorted(key.scopes),
                "created": _time(key.created),
                "expires": None if key.expires is None else _time(key.expires),
                "expired": key.expired(),
            }
            typer.echo(orjson.dumps(shown))
        return
    rows = ((key.id, key.name, _scopes(key), _time(key.created), _until(key)) for key in keys)
    console = Console()
    names = ("Key", "Name", "For", "Made", "Works")
    console.print(listing(names, (tuple(map(Text, row)) for row in rows), console.width))


@app.command("revoke")
def revoke_command(
    name: Annotated[str, typer.Argument(help="A key's id, or its name.")],
    *,
    file: FileOption = None,
) -> None:
    """Revoke the key of an id, or all of a name; a server that runs notices within a second."""
    for key in _file(file).revoke(name):
        typer.echo(f"revoked key {key.id} of {key.name}")


def _file(named: Path | None) -> KeyFile:
    return KeyFile(named) if named is not None else key_file(load_settings())


def _seconds(text: str) -> float:
    number, unit = text[:-1], UNITS.get(text[-1:])
    try:
        seconds = float(number) * unit if unit is not None else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_DAYS * UNITS["d"]:
        raise MalformedKey(
            f"age {text!r}: must be a time such as 36h, 90d or 12w, of at most {MOST_DAYS}d; "
            "correct it, or leave it out for a key that works until it is revoked"
        )
    return seconds


def _scopes(key: Key) -> str:
    return ", ".join(sorted(key.scopes))


def _until(key: Key) -> str:
    if key.expires is None:
        return "until it is revoked"
    return f"{'expired' if key.expired() else 'until'} {_time(key.expires)}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
