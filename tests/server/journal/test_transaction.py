"""A write transaction is all or nothing, whoever ends it."""

import sqlite3
from collections.abc import Iterator

import pytest

from server.journal.transaction import transaction


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE numbers (number INTEGER)")
    yield connection
    connection.close()


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM numbers")]


def test_a_block_that_ends_is_kept(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (1)")
    assert (numbers(connection), connection.in_transaction) == ([1], False)


def fail_after(connection: sqlite3.Connection, *statements: str) -> None:
    with transaction(connection):
        for statement in statements:
            connection.execute(statement)
        raise KeyError("why")


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO numbers VALUES (1)"],
        # SQLite rolls back by itself on a full disk: the reason must still come out.
        ["INSERT INTO numbers VALUES (1)", "ROLLBACK"],
    ],
)
def test_a_block_that_fails_is_undone(
    connection: sqlite3.Connection, statements: list[str]
) -> None:
    with pytest.raises(KeyError, match="why"):
        fail_after(connection, *statements)
    assert (numbers(connection), connection.in_transaction) == ([], False)
