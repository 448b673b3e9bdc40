"""Checks the locks of extras that no test installs: do they still resolve, with these hashes?

    make locks                          every heavy extra
    python -m tests.locks.check kaggle  these only

Each lock is resolved again with its own pins as constraints, and must come out as it is: every
version is still published, satisfies pyproject.toml, and has the files whose hashes are locked.
Then its installation is rehearsed. Only metadata is fetched, and kept in uv's cache: seconds a
lock. Where no package index can be reached, that is said, and nothing has failed.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
#: The other locks are installed, whole or in part, by `make env` and `make test`.
HEAVY = ("kaggle", "train", "trackers", "sglang")
#: A lock takes 10 to 20 s with an empty cache.
TIMEOUT_S = 300.0
#: What uv says when it got no answer, and not a refusal.
_UNREACHABLE = re.compile(r"error sending request|dns error|operation timed out", re.IGNORECASE)


class Verdict(Enum):
    """What became of one check."""

    OK = "ok"
    FAILED = "FAILED"
    UNREACHABLE = "not checked: no package index can be reached"


def parsed(lock: str) -> dict[str, frozenset[str]]:
    """Return the hashes of each pin, `name==version` with its markers."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", lock, flags=re.MULTILINE))
    pins = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        pin, *hashes = line.split("--hash=")
        pins[" ".join(pin.split())] = frozenset(each.strip() for each in hashes)
    return pins


def differences(locked: str, fresh: str) -> list[str]:
    """Return what a lock holds that does not hold any more; new files of a version are no fault."""
    old, new = parsed(locked), parsed(fresh)
    found = [f"{pin}: not needed, or not with these markers" for pin in old if pin not in new]
    found += [f"{pin}: needed, and not in the lock" for pin in new if pin not in old]
    found += [
        f"{pin}: a locked file is not published any more ({min(old[pin] - new[pin])[:23]}…)"
        for pin in old
        if pin in new and not old[pin] <= new[pin]
    ]
    return found


def check(name: str, path: Path, options: Sequence[str], extras: Sequence[str]) -> Verdict:
    """Check the lock at a path, which has the extras, and print what is wrong with it."""
    wanted = [word for extra in extras for word in ("--extra", extra)]
    compiled = _uv(
        "compile", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate",
        *options, *wanted, "-c", str(path), "pyproject.toml",
    )  # fmt: skip
    if compiled.returncode != 0:
        return _refused(name, compiled)
    wrong = differences(path.read_text(encoding="utf-8"), compiled.stdout)
    if wrong:
        _say(f"{name}: {'; '.join(wrong[:5])}; renew it with `make lock`")
        return Verdict.FAILED
    bound = [option for option in options if option != "--universal"]
    with tempfile.TemporaryDirectory() as folder:
        install = ("install", "--dry-run", "--require-hashes", "--target", folder)
        rehearsed = _uv(*install, *bound, "-r", str(path))
    return Verdict.OK if rehearsed.returncode == 0 else _refused(name, rehearsed)


def _refused(name: str, finished: "subprocess.CompletedProcess[str]") -> Verdict:
    if _UNREACHABLE.search(finished.stderr):
        return Verdict.UNREACHABLE
    _say(f"{name}: {finished.stderr.strip()}")
    return Verdict.FAILED


def _uv(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "uv", "pip", words[0], "--quiet", *words[1:]],
        cwd=ROOT,
        env={**_pip_index(), **os.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def _pip_index() -> Mapping[str, str]:
    """Return the user's own index as pip has it, for uv, which reads other files."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    index = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    return {"UV_DEFAULT_INDEX": index} if index else {}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _locking() -> ModuleType:
    """Return the script that makes the locks: it knows their extras and options."""
    spec = importlib.util.spec_from_file_location("lock", ROOT / "requirements" / "lock.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(ROOT / "requirements" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(names: Sequence[str]) -> int:
    """Check these locks and return the exit code: 1 when one has failed."""
    locking = _locking()
    verdicts = []
    for name in names:
        options = locking.PLATFORM_BOUND.get(name, locking.UNIVERSAL)
        path = ROOT / "requirements" / f"{name}.txt"
        verdicts.append(check(name, path, options, locking.LOCKS[name]))
        _say(f"{name}: {verdicts[-1].value}")
    return int(Verdict.FAILED in verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or HEAVY))
