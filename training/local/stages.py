"""Stages of training on this machine, each from the last one's adapter."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from client.schema import AnswerKind
from training.errors import BadFile, EmptyCorpus, writing
from training.files import write_json
from training.local.model import OPTIMIZER, WHOLE, adapter_files, base_files
from training.local.policy import LocalLearner
from training.local.train import ADAPTER, train_here
from training.problems.read import Problem
from training.rl.loop import Task, train_rl
from training.rl.recipe import RlRecipe
from training.tuning.outcome import RESULT
from training.tuning.recipe import Recipe, load_any, with_rate

#: What `full` is made of; the words before programs, programs before rewards.
FULL = ("cot", "tir", "rl")

#: Is told the stage, the step, how many there are, and the loss or the reward.
Observe = Callable[[str, int, int, float], None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What stages train on: a corpus, problems for rewards, or both; and the model."""

    base: Path
    corpus: Path | None = None
    problems: Sequence[Problem] = ()
    held_out: Sequence[Problem] = ()
    files: Sequence[Path] = ()
    answer_kind: AnswerKind = AnswerKind.INTEGER
    arguments: Sequence[str] = ()
    start: Path | None = None
    bits: int = WHOLE
    trackers: Sequence[str] = ()


def train_stages(
    stage: str,
    inputs: Inputs,
    folder: Path,
    *,
    learning_rate: float | None = None,
    observe: Observe | None = None,
) -> dict[str, Any]:
    """Train by the recipe `stage`, or by all of `FULL`; return what each came to.

    `learning_rate` stands in place of every recipe's own.

    The adapter is in the folder's `adapter`. Of `full`, each stage has a folder in it, one that the
    corpus has nothing for is left out, and so is the last without problems.

    Raises:
        BadFile: there is no such recipe, or it needs a corpus or problems that are not given.
        EmptyCorpus: there is nothing to train on.
        TrainingError, QuorumClientError: as the stages do.
    """

    def tell(step: int, total: int, value: float) -> None:
        if observe is not None:
            observe(name, step, total, value)

    if stage != "full":
        name = stage
        recipe = with_rate(load_any(stage), learning_rate)
        return {name: _stage(recipe, inputs, folder, inputs.start, tell)}
    told: dict[str, Any] = {}
    start = inputs.start
    for name in FULL if inputs.problems or inputs.files else FULL[:-1]:
        try:
            recipe = with_rate(load_any(name), learning_rate)
            told[name] = _stage(recipe, inputs, folder / name, start, tell)
        except EmptyCorpus as error:
            told[name] = {"left_out": str(error)}
            continue
        start = folder / name / ADAPTER
    if start == inputs.start or start is None:
        raise EmptyCorpus("; ".join(each["left_out"] for each in told.values()))
    with writing(folder):
        shutil.copytree(start, folder / ADAPTER, dirs_exist_ok=True)
    write_json(folder / RESULT, told)
    return told


def _stage(
    recipe: Recipe | RlRecipe,
    inputs: Inputs,
    folder: Path,
    start: Path | None,
    observe: Callable[[int, int, float], None],
) -> dict[str, Any]:
    if isinstance(recipe, Recipe):
        if inputs.corpus is None:
            raise BadFile("this stage needs a corpus: name its folder")
        outcome = train_here(
            inputs.corpus, folder, inputs.base, recipe,
            start=start, bits=inputs.bits, trackers=inputs.trackers, observe=observe,
        )  # fmt: skip
        return {"steps": outcome.steps, "before": outcome.before, "after": outcome.after}
    if not inputs.problems and inputs.files:
        raise EmptyCorpus("nothing to train on: all problems are held out; give more")
    if not inputs.problems:
        raise BadFile("this stage needs problems with answers: name them with --problems")
    return _rewarded(recipe, inputs, folder, start, observe)


def _rewarded(
    recipe: RlRecipe,
    inputs: Inputs,
    folder: Path,
    start: Path | None,
    observe: Callable[[int, int, float], None],
) -> dict[str, Any]:
    task = Task(
        model=inputs.base.name,
        vocabulary=inputs.base,
        problems=inputs.problems,
        held_out=inputs.held_out,
        recipe=recipe,
        answer_kind=inputs.answer_kind,
        arguments=inputs.arguments,
        inputs=[*inputs.files, *adapter_files(start), *base_files(inputs.base)],
        start=None if start is None else start.name,
        trackers=inputs.trackers,
    )

    def make(state: str | None) -> LocalLearner:
        return LocalLearner(folder, inputs.base, recipe, state, start=start, bits=inputs.bits)

    async def run() -> dict[str, Any]:
        return await train_rl(make, task, folder, observe=observe)

    result = anyio.run(run)
    with writing(folder):
        last = folder / result["checkpoint"]["state_path"]
        shutil.copytree(last, folder / ADAPTER, dirs_exist_ok=True)
        (folder / ADAPTER / OPTIMIZER).unlink()
    return {"steps": result["steps"], "evaluation": result["evaluation"]}
