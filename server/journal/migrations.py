"""The versions of the journal's schema: `schema/N.sql` takes a file from version N - 1 to N.

A published file is never changed; a new version is a new file. SQLite's `user_version` says which
version a journal has, its `application_id` that it is a journal of ours.
"""

import sqlite3
from contextlib import closing
from functools import cache
from importlib.resources import files

#: "Qrm1", as the bytes of a big-endian integer.
APPLICATION_ID = 0x51726D31


@cache
def scripts() -> tuple[str, ...]:
    """Return the scripts of all versions, the first one's first."""
    folder = files("server.journal") / "schema"
    count = sum(entry.name.endswith(".sql") for entry in folder.iterdir())
    return tuple((folder / f"{n}.sql").read_text(encoding="utf-8") for n in range(1, count + 1))


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the version of an open file; 0: nothing is in it yet."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def columns(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Return the columns of all tables and views, each with the name of its table."""
    rows = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
    )
    return frozenset((table, column) for table, column in rows)


@cache
def expected_columns() -> frozenset[tuple[str, str]]:
    """Return the columns that a file of the last version has."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, scripts())
        return columns(connection)


def migrate(connection: sqlite3.Connection, versions: tuple[str, ...]) -> None:
    """Bring a file up to the last version, each step whole or not at all.

    Raises:
        sqlite3.Error: a step failed; the file is at the version before it.
    """
    for number in range(schema_version(connection) + 1, len(versions) + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{versions[number - 1]}\n"
                f"PRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise
