"""The problem sets as a task of inspect-ai, against the OpenAI-compatible route.

    inspect eval server/evaluation/inspect_task.py@problems -T set=math500 \\
        --model openai-api/quorum/quorum --model-base-url http://127.0.0.1:8642/v1

Each answer is scored twice: by inspect-ai's own scorer of mathematics, which knows nothing of
Quorum, and by `quorum eval`'s judge. So one log shows both scores of the same answers, and where
they part.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    Score,
    Scorer,
    Target,
    accuracy,
    math,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState, generate

from server.evaluation.judge import Judge, Judged
from server.evaluation.load import load_set
from server.evaluation.problem import Kind, Problem
from voting.answers import AnswerKind, extract


@task
def problems(
    set: str,  # noqa: A002 - the option's name
    data: str | None = None,
    first: int | None = None,
    attempts: int | None = None,
    strategy: str | None = None,
    time_limit_s: float | None = None,
) -> Task:
    """Return a problem set as a task; `attempts` and the others go to the server as extensions.

    Raises:
        EvaluationError: the set cannot be had; see `server.evaluation.errors`.
    """
    chosen = load_set(set, data=None if data is None else Path(data)).first(first)
    asked = {"attempts": attempts, "strategy": strategy, "time_limit_s": time_limit_s}
    given = {name: value for name, value in asked.items() if value is not None}
    # Its scorer looks for a box.
    extensions = {"answer_form": "boxed", **given}
    return Task(
        dataset=MemoryDataset([sample(problem) for problem in chosen.problems], name=chosen.name),
        solver=generate(),
        scorer=[math(), quorum()],
        config=GenerateConfig(extra_body=extensions),
    )


def sample(problem: Problem) -> Sample:
    """Return a problem as inspect-ai has it."""
    return Sample(
        input=problem.statement,
        target=problem.answer,
        id=problem.id,
        metadata={"kind": problem.kind.value, "level": problem.level, "subject": problem.subject},
    )


@scorer(metrics=[accuracy(), stderr()])
def quorum() -> Scorer:
    """Score as `quorum eval` does."""

    async def score(state: TaskState, target: Target) -> Score:
        text = state.output.completion
        one = Problem(
            id=str(state.sample_id), statement="", answer=target.text, kind=_kind(state.metadata)
        )
        written = written_answer(text)
        verdict = await judged(one, written)
        return Score(
            value=CORRECT if verdict.right else INCORRECT, answer=written, explanation=text
        )

    return score


def _kind(metadata: Mapping[str, Any]) -> Kind:
    return Kind(metadata.get("kind", Kind.TEXT.value))


def written_answer(text: str) -> str | None:
    """Return the answer that a completion writes: its last box, else the whole of a short line."""
    boxed = extract(text, AnswerKind.TEXT)
    if boxed is not None:
        return boxed.written
    line = text.strip()
    return line if line and "\n" not in line else None


async def judged(problem: Problem, written: str | None) -> Judged:
    """Judge an answer, whatever the event loop that asks."""
    async with Judge(workers=1) as judge:
        return (await judge.judge(problem, [written]))[0]
