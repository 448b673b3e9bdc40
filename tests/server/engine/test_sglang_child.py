"""The process in which SGLang runs: what it started ends with the gateway, however that ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from server.engine.sglang_package import CHILD, SGLANG
from tests.server.engine.sglang_cases import ROOT

PATIENCE_S = 20

ARGUMENTS = """
class Arguments:
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--telling", default="")
"""
#: Starts a process, as SGLang does its scheduler, that tells who it is; then waits or ends.
LAUNCH = """
import subprocess, sys, time
scheduler = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
subprocess.Popen([sys.executable, "-S", "-c", scheduler, sys.argv[2]])
assert sys.stdin.read() == ""
time.sleep(600)
"""
PARENT = f"""
import sys, anyio
from server.engine.supervisor import open_child

async def main():
    async with open_child([sys.executable, {str(CHILD)!r}], sys.argv[1].encode() + b"\\n") as child:
        sys.stdout.write(f"{{child.process.pid}}\\n")
        sys.stdout.flush()
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a package that starts a process; return the child's first line."""
    package, info = tmp_path / "site" / "launching", tmp_path / "site" / "launching-1.0.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: launching\nVersion: 1.0.0\n")
    (package / "__init__.py").write_text(ARGUMENTS)
    (package / "serve.py").write_text(LAUNCH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    os.mkfifo(tmp_path / "pid")
    what = replace(
        SGLANG,
        distribution="launching",
        launch="launching.serve",
        arguments_class="launching.Arguments",
        oldest=(1, 0, 0),
        before=(2, 0, 0),
    )
    return json.dumps({**asdict(what), "arguments": ["--telling", str(tmp_path / "pid")]})


@pytest.fixture
def parent(line: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process with the child in it, as the gateway does."""
    command = [sys.executable, "-c", PARENT, line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        yield parent
        parent.kill()


def family_of(parent: "subprocess.Popen[str]", told: Path) -> list[psutil.Process]:
    """Return the child and all that it started, once the last of them runs."""
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    scheduler = int(told.read_text())
    family = [child, *child.children(recursive=True)]
    assert scheduler in {process.pid for process in family}
    return family


def assert_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    for process in alive:
        process.kill()
    assert alive == []


def test_what_it_started_dies_with_a_gateway_that_is_killed(
    parent: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    family = family_of(parent, tmp_path / "pid")
    parent.kill()
    assert_gone(family)


def test_what_it_started_dies_with_the_gateway_where_the_child_is_gone_before(
    parent: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    """Both are killed at once, as where memory runs out: nobody is left to end the others."""
    family = family_of(parent, tmp_path / "pid")
    parent.send_signal(signal.SIGSTOP)
    family[0].kill()
    parent.kill()
    assert_gone(family)
