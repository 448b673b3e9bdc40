"""How hard problems are, by the attempts at them."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.corpus.rules import reward_of
from training.files import whole_file
from training.problems.read import Problem
from training.traces.answers import Answers
from training.traces.read import read_traces

COLUMNS = ("id", "problem", "answer", "source", "licence", "attempts", "right", "solve_rate",
           "failures")  # fmt: skip


@dataclass
class Rate:
    """The attempts at one problem; `failures` are the wrong answers that were given.

    An attempt that ended by no fault of the model is none of them, nor is one whose answer
    arithmetic cannot compare with the right one: neither counts as an attempt.
    """

    attempts: int = 0
    right: int = 0
    failures: tuple[str, ...] = ()

    @property
    def solve_rate(self) -> float | None:
        """The share of right attempts; None without attempts."""
        return self.right / self.attempts if self.attempts else None


def rates(problems: Sequence[Problem], sources: Iterable[Path]) -> dict[str, Rate]:
    """Return what became of the attempts at each problem, by its id.

    Raises:
        BadTraces: a file of traces cannot be read.
    """
    known = Answers(
        {each.id: each.answer for each in problems if each.answer is not None},
        {each.id: each.statement for each in problems},
    )
    found: dict[str, Rate] = defaultdict(Rate)
    for path in sources:
        for trace in read_traces(path):
            truth = known.of(trace)
            if truth is None:
                continue
            trace.values["truth"] = truth
            reward = reward_of(trace)
            if reward is None:  # cut off, or not judged: not failed
                continue
            rate = found[trace.key]
            rate.attempts += 1
            if reward == 1:
                rate.right += 1
            else:
                rate.failures += (trace.text_of("answer") or "none",)
    known.tell()
    return dict(found)


def write_table(target: Path, problems: Sequence[Problem], found: dict[str, Rate]) -> None:
    """Write `problems.csv`, whole or not at all."""
    with whole_file(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for each in problems:
            rate = found.get(each.id, Rate())
            share = "" if rate.solve_rate is None else f"{rate.solve_rate:.4f}"
            writer.writerow(
                [
                    each.id, each.statement, each.answer or "", each.source, each.licence,
                    rate.attempts, rate.right, share, " ".join(rate.failures),
                ]
            )  # fmt: skip
