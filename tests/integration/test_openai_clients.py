"""Programs that speak to OpenAI's API use the server unchanged: the official client, inspect-ai."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.docs.gateway import running_gateway

PROBLEM = "What is the remainder when $7^{2024}$ is divided by 1000?"
#: Its own types do not know the server's extensions.
Client = Any
MESSAGES: Any = [{"role": "user", "content": PROBLEM}]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_chat(client: Client) -> None:
    reply = client.chat.completions.create(
        model="quorum",
        messages=MESSAGES,
        seed=3,
        temperature=0.5,
        max_tokens=4_000,
        extra_body={"attempts": 2, "strategy": "majority_vote", "time_limit_s": 30},
    )
    assert reply.choices[0].message.content == "401"
    assert reply.choices[0].finish_reason == "stop"
    usage = reply.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens > usage.completion_tokens_details.reasoning_tokens > 0


def test_choices(client: Client) -> None:
    reply = client.chat.completions.create(model="quorum", messages=MESSAGES, n=3)
    assert [choice.message.content for choice in reply.choices] == ["401"] * 3


def test_a_stream(client: Client) -> None:
    content, reasoning, usage = "", "", None
    with client.chat.completions.create(
        model="quorum", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                content += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning_content", None) or ""
    assert content == "401"
    assert "print(pow(7, 2024, 1000))" in reasoning
    assert usage is not None
    assert usage.completion_tokens > 0


async def test_asynchronously(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        reply = await client.chat.completions.create(model="quorum", messages=MESSAGES)
        assert reply.choices[0].message.content == "401"
        stream = await client.chat.completions.create(
            model="quorum", messages=MESSAGES, stream=True
        )
        content = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert content == "401"


def test_completions(client: Client) -> None:
    reply = client.completions.create(model="quorum", prompt=PROBLEM, max_tokens=8, stop="!")
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 8
    stream = client.completions.create(
        model="quorum",
        prompt=[PROBLEM, PROBLEM],
        max_tokens=2,
        stream=True,
        extra_body={"return_token_ids": True},
    )
    ids: dict[int, list[int]] = {0: [], 1: []}
    for chunk in stream:
        ids[chunk.choices[0].index] += chunk.choices[0].token_ids
    assert len(ids[0]) == 2
    assert ids[0] == ids[1]


def test_models(client: Client) -> None:
    assert [model.id for model in client.models.list()] == ["scripted", "quorum"]
    assert client.models.retrieve("quorum").owned_by == "quorum"


def test_errors_are_the_clients_own(client: Client) -> None:
    with pytest.raises(openai.BadRequestError, match="tools: has no meaning") as refused:
        client.chat.completions.create(
            model="quorum", messages=MESSAGES, tools=[{"type": "function", "function": {}}]
        )
    assert refused.value.param == "tools"
    with pytest.raises(openai.NotFoundError, match="must be 'scripted' or 'quorum'"):
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)


def test_inspect(url: str, tmp_path: Path) -> None:
    program = Path(__file__).with_name("inspect_task.py")
    done = subprocess.run(
        [sys.executable, str(program), url, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "INSPECT_TELEMETRY": ""},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout)
    assert found["accuracy"] == 1.0
    assert found["output_tokens"] > 0
