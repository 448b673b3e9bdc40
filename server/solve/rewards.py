r"""Process reward models: how a solution's steps are laid out for one, and its scores read back.

Two published formats. Qwen2.5-Math-PRM (model card of Qwen/Qwen2.5-Math-PRM-7B): a ChatML
conversation whose answer has the token ``<extra_0>`` after each step; at it the model gives the
probabilities of two classes, the second being "right". math-shepherd (model card of
peiyi9979/math-shepherd-mistral-7b-prm): plain text with the tag ``ки`` after each step; where it
stands, the next token is ``+`` or ``-``.
"""

import math
import re
from collections.abc import Sequence
from typing import Protocol

from server.vocabulary import Vocabulary
from voting.requests import StepScores

#: What Qwen2.5-Math-PRM is told as system message, as on its card.
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
QWEN_MARK = "<extra_0>"
SHEPHERD_TAG = " ки"
SHEPHERD_RIGHT, SHEPHERD_WRONG = "+", "-"
#: More steps are joined to the last one: scores cost one request a step with math-shepherd.
MAX_STEPS = 64

_PARAGRAPHS = re.compile(r"\n[ \t]*\n+")


class RewardEngine(Protocol):
    """An engine that serves a classifier: class probabilities at given places of a token list."""

    async def reward(self, ids: Sequence[int], places: Sequence[int]) -> list[Sequence[float]]:
        """Return, for each index in `places` into `ids`, the probability of each class.

        Raises:
            EngineError: as `Engine.score`.
        """
        ...


class ScoringEngine(Protocol):
    """The part of `Engine` that math-shepherd needs."""

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """As `Engine.score`."""
        ...


class RewardModel(Protocol):
    """Scores the steps of a solution."""

    async def score(self, problem: str, solution: str) -> StepScores:
        """Return, for each step, the probability that it is right.

        Raises:
            EngineError: the engine could not tell.
        """
        ...


def steps_of(solution: str) -> list[str]:
    """Return the paragraphs of a solution, `MAX_STEPS` of them at most; none of an empty one."""
    steps = [step.strip() for step in _PARAGRAPHS.split(solution) if step.strip()]
    if len(steps) > MAX_STEPS:
        steps[MAX_STEPS - 1 :] = ["\n\n".join(steps[MAX_STEPS - 1 :])]
    return steps


class QwenRewardModel:
    """Qwen2.5-Math-PRM-7B and 72B, on an engine that serves them."""

    def __init__(self, engine: RewardEngine, vocabulary: Vocabulary) -> None:
        self._engine = engine
        self._encode = vocabulary.encode
        self._mark = vocabulary.control(QWEN_MARK)
        self._start = vocabulary.control("<|im_start|>")
        self._end = vocabulary.control("<|im_end|>")

    async def score(self, problem: str, solution: str) -> StepScores:
        """Return the probability of the second class at each mark."""
        steps = steps_of(solution)
        if not steps:
            return StepScores(())
        ids, places = self.layout(problem, steps)
        classes = await self._engine.reward(ids, places)
        return StepScores(tuple(float(each[1]) for each in classes))

    def layout(self, problem: str, steps: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the conversation's ids and where its marks stand."""
        newline = self._encode("\n")
        ids: list[int] = []
        for role, text in (("system", QWEN_SYSTEM), ("user", problem)):
            ids += [self._start, *self._encode(f"{role}\n{text}"), self._end, *newline]
        ids += [self._start, *self._encode("assistant\n")]
        places = []
        for step in steps:
            ids += self._encode(step)
            places.append(len(ids))
            ids.append(self._mark)
        return [*ids, self._end, *newline], places


class ShepherdRewardModel:
    """math-shepherd's reward model, on any engine that scores tokens."""

    def __init__(self, engine: ScoringEngine, vocabulary: Vocabulary) -> None:
        self._engine = engine
        self._encode = vocabulary.encode

    async def score(self, problem: str, solution: str) -> StepScores:
        """Return the probability of `+` against `-` after each tag."""
        ids = self._encode(problem)
        scores = []
        for number, step in enumerate(steps_of(solution), start=1):
            lead = " " if number == 1 else "\n"
            ids = [*ids, *self._encode(f"{lead}Step {number}: {step}{SHEPHERD_TAG}")]
            right, wrong = [
                await self._ends(ids, each) for each in (SHEPHERD_RIGHT, SHEPHERD_WRONG)
            ]
            scores.append(1 / (1 + math.exp(min(wrong - right, 700.0))))
        return StepScores(tuple(scores))

    async def _ends(self, ids: list[int], sign: str) -> float:
        target = self._encode(sign)
        return sum(await self._engine.score([*ids, *target], start=len(ids)))
