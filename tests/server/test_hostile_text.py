"""What a model writes takes bounded time on the event loop, whatever it is."""

import time

import pytest

from server.dialect.blocks import BlockKind, BlockScanner

LONG = 100_000
#: A linear pass over these texts takes milliseconds; a quadratic one, half a minute.
BOUND_S = 3.0


@pytest.mark.parametrize(
    "line",
    [
        "```" + " " * LONG + "`",
        "```" + "a" * LONG + "`",
        "```" + " " * LONG + "a" * LONG + "`",
        "`" * LONG + "a`",
        " " * LONG + "a",
    ],
    ids=["spaces", "tag", "spaces and tag", "backticks", "indent"],
)
def test_a_line_that_nearly_opens_a_block(line: str) -> None:
    scanner = BlockScanner()
    started = time.perf_counter()
    scanner.feed(line + "\n")
    assert time.perf_counter() - started < BOUND_S
    assert scanner.kind is BlockKind.TEXT
