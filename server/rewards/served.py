"""A process reward model on a server of its own, at `reward.url`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog

from server.engine.errors import EngineFailed, EngineProtocolError, EngineRefused
from server.engine.remote import RemoteServer, no_doubt
from server.rewards.formats import FORMATS, RewardFormat, format_of, steps_of
from server.rewards.routes import RewardRoute, route_of
from server.sections.reward import RewardSettings
from voting.errors import PolicyNameError
from voting.policies import Policies
from voting.requests import StepScores

log = structlog.get_logger(__name__)

#: A solution that is too long for the model is cut to its last half, at most so many times:
#: Qwen2.5-Math-PRM has 4,096 tokens of context, and a final message seldom 32,000.
MOST_HALVINGS = 4


class RewardModel(Protocol):
    """Scores the steps of a solution."""

    async def score(self, problem: str, solution: str) -> StepScores:
        """Return, for each step, the probability that it is right.

        Raises:
            EngineError: the server could not tell.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardOptions:
    """Where the server is. An empty model or format is found out; times are in seconds."""

    url: str
    api_key: str = ""
    model: str = ""
    format: str = ""
    timeout_s: float = 30.0
    at_once: int = 4


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the server runs, and how it is asked."""

    model: str
    format: RewardFormat
    route: RewardRoute


class ServedRewardModel:
    """Asks the server; opened by `open_reward_model`. It is looked at with the first question."""

    def __init__(self, options: RewardOptions, server: RemoteServer) -> None:
        self._options = options
        self._server = server
        self._facts: _Facts | None = None
        self._turns = anyio.CapacityLimiter(options.at_once)

    async def score(self, problem: str, solution: str) -> StepScores:
        """Return the probability that each step is right; of the last steps where all are too long.

        Raises:
            EngineError: the server is away or serves something else.
        """
        steps = steps_of(solution)
        if not steps:
            return StepScores(())
        async with self._turns:
            facts = self._facts = self._facts or await self._look()
            for _ in range(MOST_HALVINGS):
                try:
                    return await self._score(facts, problem, steps)
                except EngineRefused:
                    if len(steps) == 1:
                        raise
                    steps = steps[len(steps) // 2 :]
            return await self._score(facts, problem, steps)

    async def _score(self, facts: _Facts, problem: str, steps: list[str]) -> StepScores:
        text = facts.format.text(problem, steps)
        rows = await facts.route.classes(
            self._server, facts.model, text, len(steps), self._options.timeout_s
        )
        return StepScores(tuple(row[facts.format.right] for row in rows))

    async def _look(self) -> _Facts:
        listing = await self._server.get("/v1/models")
        try:
            served = {str(each["id"]): str(each.get("owned_by", "")) for each in listing["data"]}
            model = self._options.model or next(iter(served))
            owner = served.get(model, "")
        except (KeyError, TypeError, AttributeError, StopIteration) as problem:
            raise EngineProtocolError(
                f"{self._server.name} lists no models ({type(problem).__name__})"
            ) from None
        chosen = FORMATS.get(self._options.format) or format_of(model)
        if model not in served or chosen is None:
            raise EngineFailed(
                f"{self._server.name} serves {', '.join(served)[:200]}: must be "
                f"{self._options.model or 'a process reward model of a known format'}; "
                "set reward.model and reward.format"
            )
        log.info("reward.facts", server=self._server.name, model=model, format=chosen.name)
        return _Facts(model, chosen, route_of(owner, chosen, self._server))


def require_rewards(policies: Policies, rewards: RewardModel | None) -> None:
    """See that what a selector may ask for can be answered.

    Raises:
        PolicyNameError: it asks a process reward model, and there is none.
    """
    if policies.rates and rewards is None:
        raise PolicyNameError(
            "selector process_reward: needs a process reward model; set reward.url to a server "
            "that runs one",
            "selector",
        )


@asynccontextmanager
async def open_reward_model(options: RewardOptions) -> AsyncIterator[ServedRewardModel]:
    """Use the server for the length of the block; nothing is asked before the first question."""
    name = f"the reward model at {options.url}"
    async with RemoteServer(name, options.url, options.api_key, no_doubt) as server:
        yield ServedRewardModel(options, server)


@asynccontextmanager
async def maybe_open_reward_model(settings: RewardSettings) -> AsyncIterator[RewardModel | None]:
    """Use the model of the settings; None where they name none."""
    if settings.url == "none":
        yield None
        return
    options = RewardOptions(
        url=settings.url,
        api_key=settings.api_key.get_secret_value(),
        model="" if settings.model == "auto" else settings.model,
        format="" if settings.format == "auto" else settings.format,
        timeout_s=settings.timeout_s,
        at_once=settings.at_once,
    )
    async with open_reward_model(options) as model:
        yield model
