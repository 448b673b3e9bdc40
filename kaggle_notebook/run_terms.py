"""The run that a session is on the server. Standard library alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kaggle_notebook.settings import Mode


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What is said of the run; ``problems``, the number expected, and ``elapsed_s`` are asked
    whenever it is opened. Times in seconds.
    """

    id: str
    problems: Callable[[], int]
    limit_s: float
    elapsed_s: Callable[[], float]
    mode: Mode

    def body(self) -> dict[str, Any]:
        """Return what opens it; where it is open already, that changes nothing."""
        body = {
            "id": self.id,
            "name": f"contest, {self.mode}",
            "problems": self.problems(),
            "limit_s": self.limit_s,
            "elapsed_s": min(self.elapsed_s(), self.limit_s),
        }
        if self.mode is Mode.FIRST_BOXED:
            # a budget that spends time at hand on more attempts would make it another measure
            body["budget"] = "none"
        return body
