"""Choices by the served model, as traces; a right one and a wrong one make a pair."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from client.http import AsyncQuorumClient
from client.schema import CompletionChoice, CompletionRequest
from training.alternates.choose import each_once
from training.errors import EmptyCorpus, writing
from training.files import append_line, read_lines, whole_folder
from training.genselect.questions import Question, Solution, prompts_sha256, questions, solution
from training.parallel import run_all
from training.provenance import provenance
from training.served import ServedModel
from training.traces.answers import Answers, traces_with
from training.traces.trace import Trace
from voting.answers import AnswerKind, extract

TRACES, ORIGIN = "traces.jsonl", "traces.json"
_DONE = ".questions.jsonl"
_SEEDS = 100

#: Is told how many questions of how many are done, and how many choices were right.
Observe = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How questions are made and asked: `samples` choices of each, `parallel` at a time."""

    candidates: int = 4
    per_problem: int = 4
    characters: int = 3_000
    samples: int = 4
    temperature: float = 0.8
    max_tokens: int = 1_024
    parallel: int = 2
    seed: int = 0


async def generate(
    url: str,
    sources: Sequence[Path],
    target: Path,
    plan: Plan,
    *,
    answers: Answers | None = None,
    observe: Observe | None = None,
) -> dict[str, int]:
    """Write the folder `target` with choices as traces; return its figures.

    Stopped, the same call goes on with the questions that are not done.

    Raises:
        QuorumClientError: the server refuses, or is gone for long.
        BadTraces: a source cannot be read, or a trace is there twice.
        EmptyCorpus: no problem has right and wrong solutions.
        OutputExists, OutputFailed: the folder cannot be written.
    """
    known = answers or Answers()
    settings = {"plan": asdict(plan), "prompts_sha256": prompts_sha256(), "truths": known.by_id}
    told = provenance("genselect", {**settings, "url": url}, sources)
    job = {"settings": settings, "inputs": told["inputs"]}
    with whole_folder(target, job) as work:
        done = {line["question"]: line["rows"] for line in read_lines(work / _DONE)}
        async with AsyncQuorumClient(url) as client:
            model = ServedModel(client)
            asked = await _questions(model, traces_with(sources, known), plan)
            if not asked:
                raise EmptyCorpus(
                    f"{target}: no problem has a right and a wrong attempt with an answer; give "
                    "traces that know their right answers"
                )
            await _ask(model, asked, work / _DONE, done, plan, observe)
        rows = [row for question in asked for row in done[question.name]]
        told["figures"] = _figures(asked, rows)
        with writing(work):
            lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
            (work / TRACES).write_bytes(b"".join(lines))
            (work / ORIGIN).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
            (work / _DONE).unlink(missing_ok=True)
    figures: dict[str, int] = told["figures"]
    return figures


async def _questions(model: ServedModel, traces: Iterable[Trace], plan: Plan) -> list[Question]:
    found: list[Solution] = []
    for trace in each_once(traces):
        one = solution(trace, await model.texts(trace.ids.tolist()), plan.characters)
        if one is not None:
            found.append(one)
    return list(
        questions(found, candidates=plan.candidates, per_problem=plan.per_problem, seed=plan.seed)
    )


async def _ask(
    model: ServedModel,
    asked: Sequence[Question],
    lines: Path,
    done: dict[str, list[dict[str, Any]]],
    plan: Plan,
    observe: Observe | None,
) -> None:
    async def run(number: int, question: Question) -> None:
        rows = await _choices(model, question, plan, plan.seed + number * _SEEDS)
        with writing(lines):
            append_line(lines, {"question": question.name, "rows": rows})
        done[question.name] = rows
        if observe is not None:
            right = sum(row["answer"] == row["truth"] for each in done.values() for row in each)
            observe(len(done), len(asked), right)

    waiting = [
        partial(run, number, question)
        for number, question in enumerate(asked)
        if question.name not in done
    ]
    await run_all(waiting, plan.parallel)


async def _choices(
    model: ServedModel, question: Question, plan: Plan, seed: int
) -> list[dict[str, Any]]:
    system, user = question.wording()
    prompt = await model.opening(system, user)
    request = CompletionRequest(
        prompt=prompt,
        n=plan.samples,
        max_tokens=plan.max_tokens,
        temperature=plan.temperature,
        seed=seed,
        logprobs=0,
    )
    choices = await model.complete(request)
    return [
        _row(question, prompt, index, choice, plan, seed) for index, choice in enumerate(choices)
    ]


def _row(
    question: Question,
    prompt: list[int],
    index: int,
    choice: CompletionChoice,
    plan: Plan,
    seed: int,
) -> dict[str, Any]:
    ids = list(choice.token_ids or ())
    found = extract(choice.text, AnswerKind.INTEGER)
    answer = None if found is None or found.integer is None else str(found.integer)
    logprobs = choice.logprobs.token_logprobs if choice.logprobs else [None] * len(ids)
    first = question.first
    return {
        "kind": "genselect", "solve_id": question.name, "attempt": index,
        "problem_id": first.problem_id, "problem": question.wording()[1],
        "truth": str(question.right), "answer": answer, "source": first.source,
        "licence": first.licence, "seed": seed + index, "temperature": plan.temperature,
        "complete": choice.finish_reason == "stop",
        "candidates": [
            {"solve_id": each.trace[0], "attempt": each.trace[1], "answer": each.answer}
            for each in question.solutions
        ],
        "ids": [*prompt, *ids], "mask": [0] * len(prompt) + [1] * len(ids),
        "logprobs": [None] * len(prompt) + logprobs,
    }  # fmt: skip


def _figures(asked: Sequence[Question], rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {
        "questions": len(asked),
        "problems": len({question.first.problem_id for question in asked}),
        "traces": len(rows),
        "right": sum(row["answer"] == row["truth"] for row in rows),
    }
