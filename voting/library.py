"""What a budget learns from before a run, as plain values: it travels as a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voting.errors import PolicyError, VotingError
from voting.paths import ProblemPath, RatedPath, VoteMark

FORMAT = "quorum-paths"
VERSION = 1
#: A library of 10,000 paths takes seconds to reckon, and knows no more than one of a thousand.
MAX_PATHS = 10_000


@dataclass(frozen=True, slots=True)
class RecordedPaths:
    """Rated paths of recorded problems, in seconds of the machine that ``source`` tells of.

    ``attempts`` and ``agree`` are those of the solves that the paths are of.
    """

    source: str
    attempts: int
    agree: int
    paths: tuple[RatedPath, ...]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values that `read_paths` reads; a mark is [s, votes, leader, lead, right]."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "source": self.source,
            "attempts": self.attempts,
            "agree": self.agree,
            "paths": [
                {
                    "seconds": round(rated.path.seconds, 3),
                    "whole": rated.path.whole,
                    "marks": [
                        [round(mark.seconds, 3), mark.votes, mark.leader, mark.lead, right]
                        for mark, right in zip(rated.path.marks, rated.right, strict=True)
                    ],
                }
                for rated in self.paths
            ],
        }


def read_paths(values: Any) -> RecordedPaths:  # noqa: ANN401 - JSON
    """Return what `RecordedPaths.as_json` wrote.

    Raises:
        PolicyError: these are other values, or say what cannot be.
    """
    try:
        if values["format"] != FORMAT or values["version"] != VERSION:
            raise ValueError(f"format {values['format']!r}, version {values['version']!r}")
        if not 0 < len(values["paths"]) <= MAX_PATHS:
            raise ValueError(f"{len(values['paths'])} paths")
        paths = tuple(_path(each) for each in values["paths"])
        if not any(rated.path.marks for rated in paths):
            raise ValueError("no path with a vote")
        attempts, agree = int(values["attempts"]), int(values["agree"])
        return RecordedPaths(str(values["source"]), attempts, agree, paths)
    except (KeyError, TypeError, ValueError, IndexError, VotingError) as error:
        raise PolicyError(
            f"library of a budget: {error}: must be one that `quorum replay --library` wrote, "
            f"of 1 to {MAX_PATHS} paths; write it again"
        ) from error


def _path(values: dict[str, Any]) -> RatedPath:
    marks: Sequence[Sequence[float]] = values["marks"]
    path = ProblemPath(
        tuple(
            VoteMark(float(s), int(votes), int(top), int(lead)) for s, votes, top, lead, _ in marks
        ),
        float(values["seconds"]),
        bool(values["whole"]),
    )
    return RatedPath(path, tuple(float(mark[4]) for mark in marks))
