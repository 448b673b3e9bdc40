"""Runs by both clients, against a real gateway with a scripted model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.commands.solve_file import BatchPlan, solve_file
from client.commands.wishes import wish_of
from client.errors import InvalidRequest, NotFound, RunFinished
from client.http import AsyncQuorumClient, QuorumClient
from client.runs import finish_call, open_call
from client.schema import (
    AnswerRung,
    RunAnswer,
    RunRequest,
    RunState,
    SolveFinished,
    SolveRequest,
)
from client.session import ServerChoice
from client.solving import Show
from server.sections.solve import SolveSettings
from server.settings import Settings
from server.vocabulary import Vocabulary
from tests.server.api.gateway import Gateway, serving
from tests.server.solve.plain_logs import plain_logs
from tests.server.vocabulary import tiny_models


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    path = tmp_path_factory.mktemp("runs") / "tiny.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    settings = Settings(solve=SolveSettings(attempts=2, agree=2))
    with plain_logs(), serving(Vocabulary.load(path), settings) as gateway:
        yield gateway


def problem(run: str, name: str) -> SolveRequest:
    return SolveRequest(problem="6 x 7?", run=run, problem_id=name)


def test_a_run_from_its_opening_to_its_end(gateway: Gateway) -> None:
    with QuorumClient(gateway.url) as client:
        run = client.runs.open(RunRequest(id="a", problems=2, limit_s=60, name="two problems"))
        assert client.runs.open(RunRequest(id="a", problems=9, limit_s=9)).problems == 2
        assert client.solve(problem("a", "p1")).answer == "42"
        again = client.solve(problem("a", "p1"))
        assert (again.answer, again.replayed) == ("42", True)
        with client.stream(problem("a", "p1")) as events:
            assert [type(event) for event in events] == [SolveFinished]
        found = client.runs.get("a")
        assert (found.done, found.seconds_left < run.seconds_left) == (1, True)
        assert "a" in [each.id for each in client.runs.list()]
        client.runs.open(RunRequest(id="b", problems=1, limit_s=60))
        first = client.runs.page(limit=1)
        assert [each.id for each in first.runs] == ["b"]
        assert [each.id for each in client.runs.page(after=first.next).runs] == ["a"]
        told = RunAnswer(problem_id="p1", answer="42", rung=AnswerRung.VOTE, seconds=1.5)
        assert client.runs.answered("a", told).rung is AnswerRung.VOTE
        assert [each.answer for each in client.runs.get("a").answers] == ["42"]
        assert client.runs.finish("a", "enough").reason == "enough"
        assert client.runs.cancel("a").state is RunState.FINISHED
        with pytest.raises(RunFinished, match="enough"):
            client.solve(problem("a", "p2"))
        with pytest.raises(NotFound):
            client.solve(problem("nowhere", "p2"))


async def test_the_same_asynchronously(gateway: Gateway) -> None:
    async with AsyncQuorumClient(gateway.url) as client:
        run = await client.runs.open(RunRequest(problems=1, limit_s=60, attempts=1))
        result = await client.solve(problem(run.id, "p1"))
        assert (result.answer, len(result.attempts)) == ("42", 1)
        assert (await client.runs.get(run.id)).done == 1
        assert run.id in [each.id for each in await client.runs.list()]
        assert [each.id for each in (await client.runs.page(limit=1)).runs] == [run.id]
        told = RunAnswer(problem_id="p1", answer="42", rung=AnswerRung.BALLOT)
        assert (await client.runs.answered(run.id, told)).rung == "ballot"
        assert (await client.runs.finish(run.id)).state is RunState.FINISHED
        assert (await client.runs.cancel(run.id)).done == 1
        with pytest.raises(NotFound):
            await client.runs.get("a/b ?")
        with pytest.raises(InvalidRequest, match="budget 'best'"):
            await client.runs.open(RunRequest(problems=1, limit_s=60, budget="best"))


def test_what_is_repeated_after_a_failure() -> None:
    assert open_call(RunRequest(id="a", problems=1, limit_s=1)).safe
    assert not open_call(RunRequest(problems=1, limit_s=1)).safe
    assert finish_call("a", "").safe
    assert finish_call("a", "").body is None
    assert finish_call("a/b", "").path == "/v1/runs/a%2Fb/finish"


def test_a_file_is_solved_under_one_clock(gateway: Gateway, tmp_path: Path) -> None:
    file, out = tmp_path / "problems.jsonl", tmp_path / "results.jsonl"
    rows = [{"id": f"p{number}", "problem": "6 x 7?", "answer": 42} for number in range(3)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    plan = BatchPlan(Show.ANSWER, parallel=2, time_s=60.0)
    assert solve_file(file, out, wish_of(), ServerChoice(gateway.url), plan) == 0
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["correct"] for row in results] == [True] * 3
    with QuorumClient(gateway.url) as client:
        run = client.runs.list()[0]
        assert (run.state, run.problems, run.done) == (RunState.FINISHED, 3, 3)
        solved = {solve.problem_id for solve in client.runs.get(run.id).solves}
        assert solved == {"p0", "p1", "p2"}
