"""Groups of attempts at problems, made by a gateway whose engine is the policy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from client.http import AsyncQuorumClient
from client.schema import MAX_SEED, AnswerKind, SolveFinished, SolveRequest
from training.parallel import run_all
from training.problems.ask import to_request
from training.problems.read import Problem
from training.rl.policy import Rollout
from training.rl.recipe import RlRecipe
from training.rl.rewards import Judged, advantages, judge, unusable
from training.traces.generate import Collector

#: A weight that needs log-probabilities: only with one are they asked of the engine.
_WEIGHT = "entropy"


@dataclass(frozen=True, slots=True)
class Group:
    """A problem's attempts with their advantages; `left_out` counts those that cannot be used."""

    problem: Problem
    attempts: list[Judged]
    advantages: list[float]
    left_out: Counter[str]

    @property
    def rollouts(self) -> list[Rollout]:
        """What can be learnt from it: nothing where all earned the same."""
        return [
            Rollout(
                np.asarray(each.row["ids"], np.uint32),
                np.asarray(each.row["mask"], np.uint8),
                np.array(
                    [
                        value if own else 0.0
                        for own, value in zip(each.row["mask"], each.row["logprobs"], strict=True)
                    ],
                    np.float32,
                ),
                advantage,
            )
            for each, advantage in zip(self.attempts, self.advantages, strict=True)
            if advantage
        ]


def rollout_request(
    problem: Problem, recipe: RlRecipe, attempts: int, answer_kind: AnswerKind, seed: int = 0
) -> SolveRequest:
    """Return what a group is asked with; raises `BadTraces` where no server takes it."""
    return to_request(
        problem,
        {
            "answer_kind": answer_kind, "attempts": attempts, "weight": _WEIGHT,
            "temperature": recipe.temperature, "top_p": 1.0, "min_p": 0.0, "top_k": 0,
            "max_tokens": recipe.max_tokens, "max_turns": recipe.max_turns,
            "time_limit_s": recipe.time_limit_s, "seed": seed,
        },
    )  # fmt: skip


async def make_groups(
    client: AsyncQuorumClient,
    problems: Sequence[Problem],
    recipe: RlRecipe,
    *,
    attempts: int,
    seed: int,
    answer_kind: AnswerKind,
    at_once: int,
) -> list[Group]:
    """Return a group of attempts for each problem, made for `at_once` of them at a time.

    Raises:
        QuorumClientError: the server refuses, or is gone.
    """
    groups: dict[int, Group] = {}

    async def make(place: int, problem: Problem) -> None:
        place_seed = (seed + place * attempts) % (MAX_SEED + 1)
        request = rollout_request(problem, recipe, attempts, answer_kind, place_seed)
        collector = Collector(problem)
        async with client.stream(request) as events:
            async for event in events:
                collector.take(event)
                if isinstance(event, SolveFinished):
                    break
        groups[place] = to_group(collector, recipe)

    # what a server has no room for, not even in its queue, it refuses
    await run_all([partial(make, *each) for each in enumerate(problems)], at_once)
    return [groups[place] for place in range(len(problems))]


def to_group(collector: Collector, recipe: RlRecipe) -> Group:
    """Return a finished solve's attempts as a group."""
    left_out: Counter[str] = Counter()
    judged: list[Judged] = []
    for row in sorted(collector.rows, key=lambda row: int(row["attempt"])):
        reason = unusable(row)
        if reason:
            left_out[reason] += 1
        else:
            judged.append(judge(row, recipe))
    rewards = [each.reward for each in judged]
    values = advantages(rewards, normalise=recipe.normalise).tolist()
    return Group(collector.problem, judged, values, left_out)
