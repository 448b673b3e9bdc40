"""Reinforcement learning: rollouts on our own server, a step, again; evaluated now and then."""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from client.groups import collapsed
from client.http import AsyncQuorumClient
from client.schema import AnswerKind
from client.session import ServerChoice, session
from training.errors import EmptyCorpus
from training.files import write_json
from training.names import Names
from training.problems.overlap import words
from training.problems.read import Problem
from training.provenance import of_file, provenance
from training.rl.bridge import Bridge, open_bridge
from training.rl.figures import evaluation_figures, learning_figures, rollout_figures
from training.rl.policy import Learner
from training.rl.recipe import RlRecipe
from training.rl.rollouts import Group, make_groups, rollout_request
from training.rl.samples import Samples
from training.text import load_decoder
from training.tuning.folder import RunFolder, checkpoint_name
from training.tuning.outcome import RESULT

#: Seeds of a step are this far apart, and those of evaluations from those of training.
_SEEDS, _EVALUATION_SEED = 100_003, 1_000_000_007
#: Seconds for which an engine may be silent: a service's queue can be long.
_SILENCE_S = 3_600

#: Is told the step, how many there are, and the mean reward of its attempts.
Observe = Callable[[int, int, float], None]
#: Makes the learner, from the `state_path` of a checkpoint or, with None, anew.
MakeLearner = Callable[[str | None], Learner]


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained on what.

    `vocabulary` is the folder (or GGUF file) with the model's tokenizer, from which the gateway
    writes prompts; `arguments` are more settings of `quorum serve`.
    """

    model: str
    vocabulary: Path
    problems: Sequence[Problem]
    held_out: Sequence[Problem]
    recipe: RlRecipe
    answer_kind: AnswerKind = AnswerKind.INTEGER
    arguments: Sequence[str] = ()
    inputs: Sequence[Path] = ()
    start: str | None = None
    trackers: Sequence[str] = ()


async def train_rl(
    make_learner: MakeLearner, task: Task, folder: Path, *, observe: Observe | None = None
) -> dict[str, Any]:
    """Train; return the figures of the last evaluation. Stopped, it goes on from its checkpoint.

    Raises:
        BadTraces: a problem is none that a server takes.
        EmptyCorpus: there is no problem with an answer to train on.
        OutputExists: the folder is that of another run.
        QuorumClientError: the server of the attempts failed.
        RolloutsFailed: attempts came to nothing, and not by the model's fault.
        ServiceFailed: the policy's service failed; what was saved is gone on from.
    """
    _check(task)
    config = {
        "model": task.model, "recipe": task.recipe.model_dump(mode="json"), "start": task.start,
        "answer_kind": task.answer_kind.value, "problems": _digest(task.problems),
        "held_out": _digest(task.held_out), "arguments": list(task.arguments),
        "inputs": [of_file(path) for path in task.inputs],
    }  # fmt: skip
    origin = provenance("rl", config)
    with collapsed(), RunFolder(folder, config, origin, trackers=task.trackers) as run:
        checkpoint = run.checkpoint()
        state = checkpoint["state_path"] if checkpoint else None
        learner = await to_thread.run_sync(make_learner, state)
        samples = Samples(folder, load_decoder(task.vocabulary), task.recipe, _first(checkpoint))
        sampler = await to_thread.run_sync(learner.sampler)
        recipe = task.recipe
        most = recipe.problems * recipe.group
        async with open_bridge(
            sampler, task.vocabulary.stem, context=recipe.context, chunk=recipe.chunk, most=most
        ) as bridge:
            choice = ServerChoice(arguments=_arguments(task, bridge.url))
            async with session(choice, lambda _: None) as client:
                rollouts = _Rollouts(client, bridge, task)
                steps = _Steps(run, learner, rollouts, samples, task, observe)
                return await steps.run(checkpoint)


def split(problems: Sequence[Problem], recipe: RlRecipe) -> tuple[list[Problem], list[Problem]]:
    """Return the problems to train on and the held-out ones, chosen by their names.

    A problem that is there twice, by its statement's words, goes by its first name.
    """
    sides: tuple[list[Problem], list[Problem]] = ([], [])
    names = Names()
    for problem in problems:
        names.see(problem.id, " ".join(words(problem.statement)))
        digest = hashlib.sha256(f"{recipe.seed}/{names.of(problem.id)}".encode()).digest()
        share = int.from_bytes(digest[:4], "big") / 2**32
        sides[share < recipe.held_out].append(problem)
    return sides


def without(problems: Sequence[Problem], held_out: Sequence[Problem]) -> list[Problem]:
    """Return the problems that are not held out, by their statements' words: ids may be numbers."""
    held = {tuple(words(each.statement)) for each in held_out}
    return [each for each in problems if tuple(words(each.statement)) not in held]


def steps_of(problems: int, recipe: RlRecipe) -> int:
    """Return how many steps a run takes."""
    return recipe.epochs * -(-problems // recipe.problems)


def batch_at(problems: Sequence[Problem], step: int, recipe: RlRecipe) -> list[Problem]:
    """Return a step's problems; each epoch has an order of its own, the same at every run."""
    a_pass = -(-len(problems) // recipe.problems)
    order = list(problems)
    random.Random(f"{recipe.seed}/{step // a_pass}").shuffle(order)
    place = step % a_pass * recipe.problems
    return order[place : place + recipe.problems]


def _check(task: Task) -> None:
    if not task.problems:
        raise EmptyCorpus("nothing to train on: no problem is left; lower held_out, or give more")
    for problem in (*task.problems, *task.held_out):
        if problem.answer is None:
            raise EmptyCorpus(f"problem {problem.id}: has no answer to reward; leave it out")
        rollout_request(problem, task.recipe, task.recipe.group, task.answer_kind)


def _digest(problems: Sequence[Problem]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for each in problems:
        digest.update(f"{each.id}\0{each.statement}\0{each.answer}\0".encode())
    return {"count": len(problems), "sha256": digest.hexdigest()}


def _first(checkpoint: dict[str, Any] | None) -> int:
    return int(checkpoint["batch"]) if checkpoint else 0


def _arguments(task: Task, url: str) -> list[str]:
    """Return the settings of a gateway whose engine is the policy."""
    recipe = task.recipe
    slots = _slots(recipe)
    return [
        "--engine-kind", "openai", "--engine-urls", url,
        "--engine-model", str(task.vocabulary.resolve()),
        "--engine-context-tokens", str(recipe.context), "--engine-slots", str(slots),
        "--engine-stall-timeout-s", str(_SILENCE_S), "--solve-mix", "none",
        "--gateway-max-running", str(slots), "--gateway-max-queued", str(slots),
        *task.arguments,
    ]  # fmt: skip


def _slots(recipe: RlRecipe) -> int:
    """Return how many attempts, and solves, are at work at a time: no gateway takes more."""
    return min(256, max(recipe.problems * recipe.group, recipe.evaluated))


class _Rollouts:
    """Makes groups of attempts; the policy's failure ends them at once."""

    def __init__(self, client: AsyncQuorumClient, bridge: Bridge, task: Task) -> None:
        self._client, self.bridge, self._task = client, bridge, task

    async def make(self, problems: Sequence[Problem], attempts: int, seed: int) -> list[Group]:
        """Return a group for each problem."""
        groups: list[Group] = []
        failures: list[Exception] = []
        async with anyio.create_task_group() as tasks:

            async def run(work: Callable[[], Any]) -> None:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - raised again outside of the group
                    failures.append(error)
                tasks.cancel_scope.cancel()

            async def make() -> None:
                task = self._task
                with collapsed():
                    made = await make_groups(
                        self._client, problems, task.recipe,
                        attempts=attempts, seed=seed, answer_kind=task.answer_kind,
                        at_once=_slots(task.recipe),
                    )  # fmt: skip
                groups.extend(made)

            tasks.start_soon(run, make)
            tasks.start_soon(run, self.bridge.check)
        if failures:
            raise failures[0]
        return groups


class _Steps:
    """The steps of a run."""

    def __init__(
        self,
        run: RunFolder,
        learner: Learner,
        rollouts: _Rollouts,
        samples: Samples,
        task: Task,
        observe: Observe | None,
    ) -> None:
        self._run, self._learner, self._rollouts = run, learner, rollouts
        self._samples, self._task, self._recipe = samples, task, task.recipe
        self._observe = observe
        self._total = steps_of(len(task.problems), task.recipe)

    async def run(self, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
        """Make the steps that are left, the last evaluation, and the run's result."""
        for step in range(_first(checkpoint), self._total):
            await self._step(step)
            if (step + 1) % self._recipe.save_every == 0 or step + 1 == self._total:
                checkpoint = await self._save(step + 1)
        last = await self._evaluate(self._total)
        self._run.add_metrics({"step": self._total, "progress": 1.0, **last})
        result = {"steps": self._total, "checkpoint": checkpoint, "evaluation": last}
        write_json(self._run.path / RESULT, result)
        return result

    async def _step(self, step: int) -> None:
        recipe, figures = self._recipe, dict[str, Any]()
        if step % recipe.evaluate_every == 0:
            figures |= await self._evaluate(step)
        begun = time.monotonic()
        problems = batch_at(self._task.problems, step, recipe)
        groups = await self._rollouts.make(problems, recipe.group, recipe.seed + step * _SEEDS)
        sampled = time.monotonic()
        figures |= rollout_figures(groups)
        self._samples.add(step, "train", groups)
        figures |= await self._learn(groups, self._rate(step))
        ended = time.monotonic()
        self._run.add_metrics(
            {
                "step": step, "progress": (step + 1) / self._total,
                "learning_rate": self._rate(step), **figures, "time/rollouts": sampled - begun,
                "time/learning": ended - sampled, "time/total": ended - begun,
            }
        )  # fmt: skip
        if self._observe is not None:
            self._observe(step + 1, self._total, float(figures["reward/mean"]))

    async def _learn(self, groups: Sequence[Group], rate: float) -> dict[str, Any]:
        """Learn from what the groups have, in as many steps as the recipe says."""
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        share = -(-len(rollouts) // self._recipe.substeps) or 1
        before: list[Any] = []
        for first in range(0, len(rollouts), share):
            part = rollouts[first : first + share]
            before += await to_thread.run_sync(self._learner.learn, part, rate, self._recipe)
        if rollouts:
            self._rollouts.bridge.sampler = await to_thread.run_sync(self._learner.sampler)
        return learning_figures(rollouts, before)

    async def _evaluate(self, step: int) -> dict[str, Any]:
        problems = self._task.held_out[: self._recipe.evaluated]
        if not problems:
            return {}
        attempts = self._recipe.evaluation_attempts
        groups = await self._rollouts.make(problems, attempts, _EVALUATION_SEED)
        self._samples.add(step, "eval", groups)
        return evaluation_figures(groups)

    async def _save(self, step: int) -> dict[str, Any]:
        name = checkpoint_name(step)
        paths = await to_thread.run_sync(self._learner.save, name)
        row = {"name": name, "batch": step, **paths, "final": step == self._total}
        self._run.add_checkpoint(row)
        return row

    def _rate(self, step: int) -> float:
        recipe = self._recipe
        return recipe.learning_rate * ((1 - step / self._total) if recipe.decay else 1.0)
