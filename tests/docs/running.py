"""Runs the code blocks of a page, in order, in a folder of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import Block, Use

#: The address that the documentation's examples name.
DOCUMENTED_URL = "http://127.0.0.1:8642"
#: Seconds for one block: a test as a whole has 60.
BLOCK_TIMEOUT_S = 55.0


def environment(url: str | None) -> dict[str, str]:
    """Return what a reader has: this environment's commands, and a server where there is one."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("QUORUM_")}
    cache = {name: value for name, value in os.environ.items() if name == "QUORUM_CACHE"}
    path = os.pathsep.join([str(Path(sys.executable).parent), ours.get("PATH", "")])
    server = {} if url is None else {"QUORUM_URL": url}
    return {**ours, **cache, **server, "PATH": path}


def run_blocks(blocks: list[Block], folder: Path, url: str) -> None:
    """Write the files, run what is to be run, and compare with what is said to be printed."""
    printed = ""
    for block in blocks:
        match block.use:
            case Use.FILE:
                (folder / block.name).write_text(block.body, encoding="utf-8")
            case Use.RUN if block.language in _RUNNERS:
                printed = run(block, folder, url)
            case Use.OUTPUT:
                expected = pattern(block.body)
                assert re.fullmatch(expected, printed.strip()), (
                    f"line {block.line}: the page says\n{block.body}\nbut printed is\n{printed}"
                )
            case _:
                pass


def run(block: Block, folder: Path, url: str | None) -> str:
    """Run a block and return its standard output; a failure is an assertion error."""
    body = block.body if url is None else block.body.replace(DOCUMENTED_URL, url)
    done = subprocess.run(
        [*_RUNNERS[block.language], body],
        cwd=folder,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=BLOCK_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (
        f"line {block.line}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


def pattern(expected: str) -> str:
    """Return the expression for an output in which `...` stands for anything."""
    return "(?s:" + ".*".join(map(re.escape, expected.strip().split("..."))) + ")"


_RUNNERS = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-W", "error", "-c"],
}
