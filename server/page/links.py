"""Where views link to: paths of the server, files of an exported folder, or nowhere."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlencode


class Target(StrEnum):
    """Where a view will be read."""

    SERVER = "server"
    FOLDER = "folder"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses for templates; None where there is no such view beside this one.

    `files` are the names of a folder's files: what is not among them is not linked.
    """

    target: Target = Target.SERVER
    files: Collection[str] = ()

    @property
    def served(self) -> bool:
        """Whether there is a server behind the view."""
        return self.target is Target.SERVER

    def home(self) -> str | None:
        """Return the address of the history."""
        return self._to("/", "index.html")

    def runs(self) -> str | None:
        """Return the address of the list of runs."""
        return self._to("/runs", "runs.html")

    def run(self, run_id: str) -> str | None:
        """Return the address of a run's board."""
        return self._to(f"/runs/{quote(run_id, safe='')}", run_file(run_id))

    def data(self, name: str = "") -> str | None:
        """Return the address of the training data, or of one of its viewers."""
        return self._to(f"/data/{quote(name, safe='')}" if name else "/data", "")

    def solve(self, solve_id: str) -> str | None:
        """Return the address of a solve."""
        return self._to(f"/solves/{quote(solve_id, safe='')}", solve_file(solve_id))

    def attempt(self, solve_id: str, attempt: int, part: int = 1) -> str | None:
        """Return the address of an attempt, message by message."""
        path = f"/solves/{quote(solve_id, safe='')}/attempts/{attempt}"
        file = attempt_file(solve_id, attempt) if part == 1 else ""
        return self._to(path if part == 1 else f"{path}?part={part}", file)

    def tokens(self, solve_id: str, attempt: int, position: int | None = None) -> str | None:
        """Return the address of an attempt, token by token, or of one of its tokens."""
        path = f"/solves/{quote(solve_id, safe='')}/attempts/{attempt}/tokens"
        whole = self._to(path, tokens_file(solve_id, attempt))
        return whole if whole is None or position is None else f"{whole}#t={position}"

    def labels(self, name: str = "", at: int | None = None) -> str | None:
        """Return the address of the alternates to compare, or of one position of a file."""
        path = f"/label/{quote(name, safe='')}" if name else "/label"
        return self._to(path if at is None else f"{path}?at={at}", "")

    def label(self, solve_id: str, attempt: int, part: int = 1) -> str | None:
        """Return the address of an attempt to be labelled."""
        path = f"/solves/{quote(solve_id, safe='')}/attempts/{attempt}/label"
        return self._to(path if part == 1 else f"{path}?part={part}", "")

    def compare(self, solve_id: str, attempt: int, other_id: str, other: int) -> str | None:
        """Return the address of a comparison."""
        query = urlencode({"a": f"{solve_id}:{attempt}", "b": f"{other_id}:{other}"})
        return self._to(f"/compare?{query}", "")

    def _to(self, path: str, file: str) -> str | None:
        if self.target is Target.SERVER:
            return path
        return file if self.target is Target.FOLDER and file in self.files else None


def solve_file(solve_id: str) -> str:
    """Return the name of a solve's file."""
    return f"{_name(solve_id)}.html"


def attempt_file(solve_id: str, attempt: int) -> str:
    """Return the name of an attempt's file."""
    return f"{_name(solve_id)}-{attempt}.html"


def tokens_file(solve_id: str, attempt: int) -> str:
    """Return the name of the file of an attempt's tokens."""
    return f"{_name(solve_id)}-{attempt}-tokens.html"


def run_file(run_id: str) -> str:
    """Return the name of a run's file."""
    return f"run-{_name(run_id)}.html"


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip(".")[:100] or "unnamed"
