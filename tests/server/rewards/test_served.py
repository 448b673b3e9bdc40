"""Process reward models on a server, over real HTTP: answers, faults, and a solve that asks."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from client.schema import AttemptRated
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.rewards.served import (
    RewardModel,
    RewardOptions,
    ServedRewardModel,
    maybe_open_reward_model,
    open_reward_model,
    require_rewards,
)
from server.sections.reward import RewardSettings
from tests.server.rewards.reward_server import RewardServer, serving
from tests.server.solve.rehearsal import Stage, boxed
from voting.catalogue import Context
from voting.errors import PolicyNameError
from voting.policies import PolicyNames, make_policies
from voting.requests import StepScores

SOLUTION = "It is sure 0.25 so.\n\nAnd sure 0.75 then.\n\nSo \\boxed{42}."
SHEPHERD = "peiyi9979/math-shepherd-mistral-7b-prm"


@pytest.fixture(scope="module")
def server() -> Iterator[RewardServer]:
    with serving(RewardServer()) as running:
        yield running


@asynccontextmanager
async def opened(server: RewardServer, **options: object) -> AsyncIterator[ServedRewardModel]:
    server.asked.clear()
    given = {"url": server.url, "timeout_s": 10.0, **options}
    async with open_reward_model(RewardOptions(**given)) as model:  # type: ignore[arg-type]
        yield model


def play(server: RewardServer, model: str, owner: str, fault: str = "") -> None:
    server.model, server.owner, server.fault = model, owner, fault


@pytest.mark.parametrize(
    ("model", "owner", "fault"),
    [
        ("Qwen/Qwen2.5-Math-PRM-7B", "vllm", ""),
        ("Qwen/Qwen2.5-Math-PRM-7B", "vllm", "logits"),
        (SHEPHERD, "vllm", ""),
        (SHEPHERD, "sglang", ""),
    ],
)
async def test_each_step_has_its_probability(
    server: RewardServer, model: str, owner: str, fault: str
) -> None:
    play(server, model, owner, fault)
    async with opened(server) as rewards:
        scores = (await rewards.score("Q?", SOLUTION)).scores
        assert scores == pytest.approx((0.25, 0.75, 0.5))
        assert (await rewards.score("Q?", " \n\n ")).scores == ()
    assert len(server.asked) == 1


async def test_a_solution_that_is_too_long_is_rated_by_its_last_steps(
    server: RewardServer,
) -> None:
    play(server, "Qwen/Qwen2.5-Math-PRM-7B", "vllm")
    steps = [f"{'x' * 700} sure 0.{number}1" for number in range(1, 8)]
    async with opened(server) as rewards:
        scores = (await rewards.score("Q?", "\n\n".join(steps))).scores
        assert scores == pytest.approx((0.61, 0.71))
        with pytest.raises(EngineRefused, match="maximum context"):
            await rewards.score("Q?", "x" * 9_000)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("garbage", EngineProtocolError),
        ("busy", EngineUnavailable),
        ("silent", EngineStalled),
        ("every token", EngineProtocolError),
        ("not numbers", EngineProtocolError),
        ("no models", EngineProtocolError),
    ],
)
async def test_faults_are_told(server: RewardServer, fault: str, error: type[EngineError]) -> None:
    play(server, "Qwen/Qwen2.5-Math-PRM-7B", "vllm", fault)
    async with opened(server, timeout_s=0.3) as rewards:
        with pytest.raises(error):
            await rewards.score("Q?", SOLUTION)
        server.fault = ""
        assert (await rewards.score("Q?", SOLUTION)).scores


@pytest.mark.parametrize(
    ("model", "owner", "options"),
    [
        ("Qwen/Qwen2.5-Math-PRM-7B", "sglang", {}),
        ("gpt-oss-120b", "vllm", {}),
        ("Qwen/Qwen2.5-Math-PRM-7B", "vllm", {"model": "another"}),
    ],
)
async def test_what_cannot_be_served_is_refused_with_a_remedy(
    server: RewardServer, model: str, owner: str, options: dict[str, object]
) -> None:
    play(server, model, owner)
    async with opened(server, **options) as rewards:
        with pytest.raises(EngineFailed, match=r"set reward\."):
            await rewards.score("Q?", SOLUTION)


async def test_the_settings_name_the_server(server: RewardServer) -> None:
    async with maybe_open_reward_model(RewardSettings()) as none:
        assert none is None
    play(server, "tuned", "vllm")
    settings = RewardSettings(url=f"{server.url}/", model="tuned", format="qwen")
    async with maybe_open_reward_model(settings) as rewards:
        assert rewards is not None
        assert len((await rewards.score("Q?", SOLUTION)).scores) == 3


@pytest.mark.parametrize("selector", ["process_reward", "cascade(weighted, process_reward(least))"])
def test_a_selector_without_its_model_is_refused(selector: str) -> None:
    policies = make_policies(PolicyNames(selector=selector), Context(4, 3))
    with pytest.raises(PolicyNameError, match=r"set reward\.url") as caught:
        require_rewards(policies, None)
    assert caught.value.kind == "selector"
    require_rewards(make_policies(PolicyNames(), Context(4, 3)), None)


async def test_a_solve_asks_the_server_and_tells_what_it_said(
    stage: Stage, server: RewardServer
) -> None:
    """Two of three attempts say 41; the model believes the third."""
    play(server, "Qwen/Qwen2.5-Math-PRM-7B", "vllm")
    said = ["so sure 0.05", "so sure 0.10", "so sure 0.95"]
    async with opened(server) as rewards:
        solve = stage.rehearse(
            lambda attempt, _: [f"{said[attempt]}\n\n", *boxed("42" if attempt == 2 else "41")],
            attempts=3,
            agree=3,
            selector="process_reward(least)",
            rewards=rewards,
            time_limit_s=90.0,
        )
        result = await solve.run()
    assert (result.answer, "process_reward" in result.detail) == ("42", True)
    told = {event.attempt: event.steps for event in solve.events(AttemptRated)}
    assert told == {0: [0.05, 0.5], 1: [0.1, 0.5], 2: [0.95, 0.5]}


async def test_a_server_that_hangs_costs_the_time_that_is_left_and_no_more(stage: Stage) -> None:
    class Hanging:
        async def score(self, problem: str, solution: str) -> StepScores:
            await anyio.sleep_forever()
            raise AssertionError(problem, solution)

    rewards: RewardModel = Hanging()
    solve = stage.rehearse(
        lambda attempt, _: boxed("42" if attempt == 2 else "41"),
        attempts=3,
        agree=3,
        selector="process_reward",
        rewards=rewards,
        time_limit_s=5.7,
    )
    assert (await solve.run()).answer == "41"
