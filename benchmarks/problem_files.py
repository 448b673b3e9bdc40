"""Problem files for benchmarks: JSONL with `id`, `problem`, `answer` and, where known, `level`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from voting.answers import Answer, AnswerKind, parse_answer

OWN_PROBLEMS = Path(__file__).with_name("problems.jsonl")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem with its reference answer."""

    id: str
    text: str
    answer: Answer
    level: int | None


def load(path: Path) -> list[Problem]:
    """Read a file; problems whose answer cannot be parsed are left out."""
    problems = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answer = parse_answer(str(row["answer"]), AnswerKind.TEXT)
        if answer is not None:
            problems.append(Problem(str(row["id"]), row["problem"], answer, row.get("level")))
    return problems


def easy_integers(problems: list[Problem], count: int, highest_level: int) -> list[Problem]:
    """Return the first `count` with integer answers up to a level, by sha256 of their id."""
    fitting = [
        problem
        for problem in problems
        if problem.answer.integer is not None
        and (problem.level is None or problem.level <= highest_level)
    ]
    fitting.sort(key=lambda problem: hashlib.sha256(problem.id.encode()).hexdigest())
    return fitting[:count]
