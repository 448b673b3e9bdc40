"""Writes the generated parts of the reference pages from the code that they describe.

    python -m docs.generate            write them
    python -m docs.generate --check    exit 1 and name the pages that are stale

A page marks a part with `<!-- generated: NAME ARGUMENT… -->` and `<!-- end -->`; NAME is one of
`GENERATORS`. What stands between the two comments is replaced.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from docs import code_tables, command_tables, wire_tables

ROOT = Path(__file__).resolve().parent
_PART = re.compile(r"(<!-- generated: (?P<words>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)

GENERATORS: dict[str, Callable[..., str]] = {
    "settings": code_tables.settings,
    "strategies": code_tables.strategies,
    "policies": code_tables.policies,
    "recipes": code_tables.recipes,
    "client-errors": code_tables.client_errors,
    "command": command_tables.command,
    "routes": wire_tables.routes,
    "model": wire_tables.model,
    "values": wire_tables.values,
    "events": wire_tables.events,
}


def pages() -> list[Path]:
    """Return every page that has a generated part."""
    return [page for page in sorted(ROOT.rglob("*.md")) if _PART.search(_read(page))]


def renewed(text: str) -> str:
    """Return a page's text with its generated parts as the code has them now.

    Raises `KeyError` for a part that no generator makes.
    """

    def fill(match: re.Match[str]) -> str:
        name, *arguments = match["words"].split()
        return f"{match[1]}\n{GENERATORS[name](*arguments)}\n\n{match[3]}"

    return _PART.sub(fill, text)


def stale() -> list[Path]:
    """Return the pages that no longer say what the code does."""
    return [page for page in pages() if renewed(_read(page)) != _read(page)]


def main(arguments: list[str]) -> int:
    """Write, or with `--check` only compare; return the exit code."""
    found = stale()
    for page in found:
        if arguments == ["--check"]:
            sys.stderr.write(f"{page.relative_to(ROOT)}: stale; run python -m docs.generate\n")
        else:
            page.write_text(renewed(_read(page)), encoding="utf-8")
    return int(bool(found) and arguments == ["--check"])


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
