"""What the probe sees in other places than this one, each in a process that was made like it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.confinement.environments import PLACES


def _others_can_enter() -> bool:
    """Whether another user can read this environment and this repository."""
    folders = {Path(path).resolve() for path in (sys.prefix, __file__)}
    parents = {parent for folder in folders for parent in (folder, *folder.parents)}
    return all(parent.stat().st_mode & 0o005 for parent in parents)


pytestmark = [
    pytest.mark.skipif(not _others_can_enter(), reason="lies where other users cannot enter"),
    pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux'"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become like others"),
]

ALL = {"files", "memory", "network", "processes", "signals", "sockets"}


def visit(place: str, require: str = "none") -> "subprocess.CompletedProcess[str]":
    assert place in PLACES
    command = [sys.executable, "-m", "tests.sandbox.confinement.environments", place, require]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def report(place: str) -> dict[str, Any]:
    done = visit(place)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_root_in_docker_is_confined_in_full_without_mounts() -> None:
    seen = report("docker")
    assert (seen["tier"], set(seen["guarantees"])) == ("full", ALL)
    assert seen["mechanisms"] == ["Landlock", "own user", "seccomp"]
    assert "own mounts: unshare: Operation not permitted" in seen["notes"]


def test_an_ordinary_user_is_confined_without_a_user_of_its_own() -> None:
    seen = report("ordinary_user")
    assert seen["mechanisms"] == ["Landlock", "seccomp"]
    assert (seen["tier"], set(seen["guarantees"])) == ("full", ALL)


def test_an_older_kernel_does_not_guard_files_but_all_else() -> None:
    seen = report("docker_without_landlock")
    assert (seen["tier"], set(seen["guarantees"])) == ("basic", ALL - {"files"})
    assert seen["failures"]["files"].startswith("writing ")


def test_without_filters_there_is_no_tier() -> None:
    seen = report("without_seccomp")
    assert seen["tier"] == "none"
    assert seen["failures"]["network"] == "an IPv4 socket"
    assert seen["failures"]["files"] == "reading an attribute"
    assert "processes" in seen["guarantees"]


def test_what_is_required_and_does_not_hold_is_refused_with_what_got_through() -> None:
    done = visit("docker_without_landlock", "strict")
    assert done.returncode != 0
    assert "ConfinementError: confinement of kernels (tier basic)" in done.stderr
    assert "files: writing /tmp/" in done.stderr
    assert "set QUORUM_SANDBOX_REQUIRE lower" in done.stderr
