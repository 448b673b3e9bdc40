"""One wheel, fetched by the installed pip in a child process that never outlives its use."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from server.weights.errors import DiskFull, SourceUnavailable

#: A part of 50 MB takes this long at 30 kB/s; pip itself ends a silent connection much sooner.
_LIMIT_S = 1800.0
_GRACE_S = 2.0
#: Wheels only (an sdist would run code), no second copy in pip's cache, quick to give up offline.
_OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
    "--retries=2",
    "--quiet",
)


def require_pip() -> None:
    """Raise `SourceUnavailable` unless this interpreter has pip."""
    if importlib.util.find_spec("pip") is None:
        raise SourceUnavailable(
            f"pip is not installed for {sys.executable} (install it with `python -m ensurepip`)"
        )


class PipDownload:
    """A `pip download` of one requirement into a folder of its own.

    As a context manager it starts pip unless the folder holds the wheel already (`was_here`), and
    ends pip on the way out. Pip works in a folder named for this process, and only a whole wheel
    leaves it: a pip that outlived a killed pull can do no harm.
    """

    def __init__(self, requirement: str, folder: Path) -> None:
        self.requirement = requirement
        self._folder = folder
        self._workplace = folder / f"process{os.getpid()}"
        self._log = self._workplace / "pip.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.was_here = False

    def __enter__(self) -> Self:
        self.was_here = bool(self._wheels())
        if self.was_here:
            return self
        shutil.rmtree(self._folder, ignore_errors=True)
        temporary = self._workplace / "tmp"
        temporary.mkdir(parents=True)
        command = [sys.executable, "-m", "pip", "download", *_OPTIONS]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--dest", str(self._workplace), self.requirement],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Pip's temporary files on the same disk, where they are counted and removed.
                env={**os.environ, "TMPDIR": str(temporary)},
            )
        self._deadline = time.monotonic() + _LIMIT_S
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._end(self._process)
            shutil.rmtree(self._workplace, ignore_errors=True)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def finished(self, wait_s: float) -> bool:
        """Wait up to `wait_s` seconds and tell whether the wheel is here.

        Raises `SourceUnavailable` with pip's own words when it failed or takes far too long.
        """
        if self._process is None:
            return True
        try:
            code = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            if time.monotonic() < self._deadline:
                return False
            raise SourceUnavailable(f"{self.requirement}: no end after {_LIMIT_S:.0f} s") from None
        if code != 0:
            raise self._failure()
        for wheel in self._workplace.glob("*.whl"):
            wheel.replace(self._folder / wheel.name)
        return True

    def wheel(self) -> Path:
        """Return the wheel that was fetched; raises `SourceUnavailable` where there is none."""
        wheels = self._wheels()
        if len(wheels) != 1:
            raise SourceUnavailable(f"{self.requirement}: pip gave {len(wheels)} wheels, not one")
        return wheels[0]

    def _wheels(self) -> list[Path]:
        return sorted(self._folder.glob("*.whl"))

    def _failure(self) -> DiskFull | SourceUnavailable:
        said = self._log.read_text("utf-8", "replace")
        if "No space left on device" in said or "File too large" in said:
            return DiskFull(
                f"{self._folder.parent}: the disk is full while pip fetches {self.requirement}; "
                "free some space and run the command again, it goes on from there"
            )
        errors = [line for line in said.splitlines() if "ERROR" in line or "No module" in line]
        reason = (errors or said.splitlines() or ["it says nothing"])[-1]
        return SourceUnavailable(f"pip cannot fetch {self.requirement}: {reason[:300]}")
