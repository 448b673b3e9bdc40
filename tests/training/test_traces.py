"""Traces over a real gateway with a scripted model, and those of other tools."""

import json
from pathlib import Path

import pytest
from anyio import to_thread

from client.schema import AnswerKind
from tests.training.test_corpus import write
from training import errors
from training.corpus.build import build
from training.corpus.rules import Rules
from training.corpus.store import read_entries
from training.problems.read import read_problems
from training.traces.commands import import_command
from training.traces.generate import Plan, generate
from training.traces.read import read_traces

PROBLEMS = [
    {"id": "power", "problem": "What is $7^{2024}$ modulo 1000?", "answer": 401, "source": "own"},
    {"id": "primes", "problem": "How many prime numbers are below 100?", "answer": 24},
]


class Stopped(Exception):
    """The job is ended from outside."""


async def test_generated_traces_are_whole_and_a_stopped_job_goes_on(
    url: str, tmp_path: Path
) -> None:
    problems = read_problems(write(tmp_path / "problems.jsonl", PROBLEMS), licence="CC0-1.0")
    plan = Plan(stages=(2, 3), enough=2, answer_kind=AnswerKind.INTEGER)

    def stop(*_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await generate(url, problems, tmp_path / "out", plan, observe=stop)
    assert not (tmp_path / "out").exists()
    seen: list[tuple[int, int, int]] = []
    count = await generate(
        url, problems, tmp_path / "out", plan, observe=lambda *told: seen.append(told)
    )
    # the solve that had ended is not made again; only the problem without right answers goes on
    assert seen == [(1, 1, 2), (1, 1, 2)]
    traces = list(read_traces(tmp_path / "out" / "traces.jsonl"))
    assert count == len(traces) == 2 + 2 + 3
    assert [trace.values["truth"] for trace in traces].count("24") == 5
    assert all(trace.values["complete"] for trace in traces)
    assert {trace.values["licence"] for trace in traces} == {"CC0-1.0"}
    first = traces[0]
    assert first.prompt_tokens > 10
    assert 0 < first.sampled < len(first.ids) - first.prompt_tokens  # the result is not sampled
    told = json.loads((tmp_path / "out" / "traces.json").read_text())
    assert told["figures"] == {"traces": 7, "right": 2}
    figures = await to_thread.run_sync(
        lambda: build([tmp_path / "out" / "traces.jsonl"], tmp_path / "corpus", Rules())
    )
    assert figures["kind"] == {"tir": figures["entries"]}
    assert {entry.source for entry in read_entries(tmp_path / "corpus")} == {"own"}


async def test_rows_that_a_power_cut_took_are_made_again(url: str, tmp_path: Path) -> None:
    problems = read_problems(write(tmp_path / "problems.jsonl", PROBLEMS), licence="CC0-1.0")
    plan = Plan(stages=(2,), answer_kind=AnswerKind.INTEGER)

    def stop(*_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await generate(url, problems, tmp_path / "out", plan, observe=stop)
    (tmp_path / ".out.partial" / "traces.jsonl").write_bytes(b"")
    for _ in range(2):  # the second finds the progress of the first cut back
        with pytest.raises(Stopped):
            await generate(url, problems, tmp_path / "out", plan, observe=stop)
    assert await generate(url, problems, tmp_path / "out", plan) == 4
    traces = list(read_traces(tmp_path / "out" / "traces.jsonl"))
    assert sorted(trace.key for trace in traces) == ["power"] * 2 + ["primes"] * 2


def test_numbers_of_more_than_64_bits_are_told(tmp_path: Path) -> None:
    row = {"problem_id": "p", "ids": [1, 2], "mask": [0, 1], "attempt": 2**63}
    with pytest.raises(errors.BadTraces, match=f"attempt is {2**63}; must be of 64 bits"):
        list(read_traces(write(tmp_path / "t.jsonl", [row])))


@pytest.mark.parametrize(
    ("problem", "plan", "told"),
    [
        ("x" * 16_001, Plan(), "problem p: cannot be asked .problem: String should have at most"),
        ("x", Plan(stages=(4, 500)), "attempts: .*256"),
        ("x", Plan(seed=2**31 - 5, stages=(1, 1)), "seed: "),
    ],
)
async def test_what_no_server_takes_is_told_before_anything_is_asked(
    problem: str, plan: Plan, told: str, tmp_path: Path
) -> None:
    rows = [{"id": "first", "problem": "y"}, {"id": "p", "problem": problem}]
    problems = read_problems(write(tmp_path / "problems.jsonl", rows))
    with pytest.raises(errors.BadTraces, match=told):
        await generate("http://127.0.0.1:9", problems, tmp_path / "out", plan)


def test_traces_of_other_tools_become_exports(tmp_path: Path) -> None:
    start, assistant = 200006, 173781
    row = {
        "problem_id": "p", "correct_answer": 5, "attempt_answer": 5, "prompt_tokens": [1, 2],
        "completion_tokens": [3, 200012, start, 4, 5, start, assistant, 6],
    }  # fmt: skip
    source = write(tmp_path / "harmony.jsonl", [row])
    import_command([source], target=tmp_path / "traces.jsonl", model="m", licence="MIT")
    (trace,) = read_traces(tmp_path / "traces.jsonl")
    assert trace.ids.tolist() == [*row["prompt_tokens"], *row["completion_tokens"]]  # type: ignore[misc]
    assert trace.mask.tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0, 1]
    assert trace.values["model"] == "m"
    told = json.loads((tmp_path / "traces.origin.json").read_text())
    assert told["inputs"][0]["name"] == "harmony.jsonl"


def test_problems_are_read_from_csv_and_published_names(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text('unique_id,question,expected_answer,level\na,What?,7,3\nb,"Why,\nso?",,1\n')
    one, other = read_problems(path, source="S")
    assert (one.id, one.statement, one.answer, one.more) == ("a", "What?", "7", {"level": "3"})
    assert (other.statement, other.answer, other.source) == ("Why,\nso?", None, "S")
    path.write_text("id,problem\na,x\na,y\n")
    with pytest.raises(errors.BadTraces, match="the id a is there twice"):
        read_problems(path)
    path.write_text("id,problem\na,\n")
    with pytest.raises(errors.BadTraces, match="row 1: must have a statement"):
        read_problems(path)
