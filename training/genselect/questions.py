"""Questions of GenSelect: one right solution of a problem among wrong ones, in any order."""

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from training.alternates.choose import TraceKey, trace_key
from training.corpus.rules import reward_of
from training.traces.trace import Trace
from training.verdicts import classes

_PLACE = re.compile(r"\{(problem|solutions|count)\}")
_CONTROL = re.compile(r"<\|[^|>]*\|>")


@dataclass(frozen=True, slots=True)
class Solution:
    """The end of an attempt's text, where its answer is."""

    trace: TraceKey
    problem_id: str
    problem: str
    answer: str
    right: bool
    text: str
    source: str | None
    licence: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """Solutions in the order in which they are shown; `right` is the number of the right one."""

    name: str
    solutions: tuple[Solution, ...]
    right: int

    @property
    def first(self) -> Solution:
        """The first solution, which says what all have in common."""
        return self.solutions[0]

    def wording(self) -> tuple[str, str]:
        """Return the system's message and the user's, filled in one pass."""
        shown = [
            f"Solution {number}:\n{each.text}" for number, each in enumerate(self.solutions, 1)
        ]
        values = {
            "problem": self.first.problem,
            "solutions": "\n\n".join(shown),
            "count": str(len(self.solutions)),
        }
        user = _PLACE.sub(lambda match: values[match[1]], _prompt("choose"))
        return _prompt("system"), user


def _prompt(name: str) -> str:
    text = (files("training.genselect.prompts") / f"{name}.md").read_text(encoding="utf-8")
    return text.strip()


def prompts_sha256() -> str:
    """Return the hash of both prompts, for the record of where questions come from."""
    return hashlib.sha256("\0".join(map(_prompt, ("system", "choose"))).encode()).hexdigest()


def solution(trace: Trace, texts: Sequence[str], most: int) -> Solution | None:
    """Return an attempt as a candidate; None where it has no answer, or one that is not judged.

    `texts` has what each id adds to the text; the last `most` characters are shown.
    """
    reward, answer = reward_of(trace), trace.text_of("answer")
    problem = trace.text_of("problem")
    if reward is None or answer is None or not problem or trace.text_of("kind") is not None:
        return None
    written = "".join(texts[trace.prompt_tokens :])
    text = _CONTROL.sub("\n", written).strip()
    if len(text) > most:
        text = f"… {text[-most:]}"
    return Solution(
        trace_key(trace), trace.key, problem, answer.strip(), reward > 0, text,
        trace.text_of("source"), trace.text_of("licence"),
    )  # fmt: skip


def questions(
    solutions: Iterable[Solution], *, candidates: int, per_problem: int, seed: int
) -> Iterator[Question]:
    """Yield at most so many questions of each problem that has right and wrong solutions.

    The wrong ones of a question have answers that differ, those that are given most often first: a
    chooser meets them most. No question is there twice.
    """
    by_problem: dict[str, list[Solution]] = defaultdict(list)
    for each in solutions:
        by_problem[each.problem_id].append(each)
    for problem_id, found in by_problem.items():
        rights = [each for each in found if each.right]
        wrongs: dict[str, list[Solution]] = defaultdict(list)
        names = classes(each.answer for each in found)
        for each in found:
            if not each.right:
                wrongs[names[each.answer]].append(each)
        if not rights or not wrongs:
            continue
        source = random.Random(f"{seed}/{problem_id}")
        seen: set[frozenset[TraceKey]] = set()
        for number in range(per_problem):
            answers = sorted(wrongs, key=lambda one: (-len(wrongs[one]), one))[: candidates - 1]
            right = rights[number % len(rights)]
            shown = [right, *(source.choice(wrongs[answer]) for answer in answers)]
            traces = frozenset(each.trace for each in shown)
            if traces in seen:
                continue
            seen.add(traces)
            source.shuffle(shown)
            yield Question(_name(problem_id, shown), tuple(shown), shown.index(right) + 1)


def _name(problem_id: str, shown: Sequence[Solution]) -> str:
    text = "\0".join([problem_id, *(f"{each.trace[0]}/{each.trace[1]}" for each in shown)])
    return f"genselect-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
