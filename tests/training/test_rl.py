"""Reinforcement learning: rewards, and a whole run over a real gateway and the real SDK."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from anyio import to_thread
from tinker import ServiceClient

from client.http import AsyncQuorumClient
from client.schema import AnswerKind, AttemptEnd
from server.dialect.qwen import QwenDialect
from server.vocabulary import Vocabulary
from tests.training.ngram import Model
from tests.training.test_corpus import read_json, row, write
from tests.training.tinker_server import Service, running
from training import errors
from training.problems.read import Problem, read_problems
from training.rl.commands import arguments, sides
from training.rl.loop import Task, train_rl
from training.rl.policy import Asked, Rollout
from training.rl.rewards import advantages, judge, unusable
from training.rl.rollouts import Group, make_groups
from training.rl.tinker import TinkerLearner
from training.tuning.recipe import load_recipe, load_rl_recipe, with_rate
from training.tuning.service import open_service

#: The SDK leaves sockets of calls that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TOKENIZER = Path("server/engine/rehearsal/vocabularies/qwen").resolve()
RECIPE = """
kind = "rl"
rank = 8
learning_rate = 0.5
problems = 2
group = 6
epochs = 2
max_tokens = 96
context = 4096
chunk = 24
evaluate_every = 2
evaluated = 2
evaluation_attempts = 4
samples = 1.0
save_every = 2
time_limit_s = 60
"""
PROBLEMS = [
    {"id": f"p{number}", "problem": f"How many sides have {number} heptagons, over {number}?",
     "answer": 7}
    for number in range(1, 5)
]  # fmt: skip
HELD_OUT = [{"id": "h", "problem": "How many days has a week?", "answer": 7}]
#: Few processes: the machine is small.
SERVE = ["--serve", "sandbox.kernels=2", "--serve", "log.level=error"]


def solver() -> Model:
    """Return a model that writes a program, and then boxes 7 or 8, or nothing, by chance."""
    vocabulary = Vocabulary.load(TOKENIZER)
    dialect, encode = QwenDialect(vocabulary), vocabulary.encode
    model = Model("solver", vocabulary.size, order=4)
    header = [*dialect.close(None), *dialect.header()]
    program = encode("I compute it.\n```python\nprint(7)\n```")
    model.teach([*header, *program], len(header))
    shown = encode("\n```output\n7\n\n```\n")
    for answer in ("It is \\boxed{7}.", "It is \\boxed{8}.", "So."):
        said = [*shown, *encode(answer), dialect.end]
        model.teach(said, len(shown))
    return model


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as served:
        served.bases["solver"] = solver()
        yield served


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.setenv("TINKER_TELEMETRY", "0")


@pytest.fixture
def opened(service: Service, tmp_path: Path) -> Iterator[ServiceClient]:
    with open_service(service.url, tmp_path) as client:
        yield client
    gc.collect()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path / "problems.jsonl", PROBLEMS)
    write(tmp_path / "held-out.jsonl", HELD_OUT)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def kill_when_saved(folder: Path, url: str) -> None:
    """Run the command, and end it by SIGKILL once it has a checkpoint and a step after it."""
    command = [
        sys.executable, "-m", "client.main", "train", "rl", str(folder / "problems.jsonl"),
        "--held-out", str(folder / "held-out.jsonl"), "--to", str(folder / "run"),
        "--model", "solver", "--tokenizer", str(TOKENIZER),
        "--recipe", str(folder / "recipe.toml"), "--url", url, *SERVE,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not len(lines(folder / "run" / "metrics.jsonl")) > 2:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


@pytest.mark.timeout(240)  # two gateways start, one after the other
async def test_a_killed_run_goes_on_and_learns_the_right_answer(
    files: Path, service: Service, opened: ServiceClient
) -> None:
    await to_thread.run_sync(kill_when_saved, files, service.url)
    folder = files / "run"
    saved = read_json(folder / "checkpoints.jsonl")[-1]
    assert saved["batch"] == 2
    recipe = load_rl_recipe(str(files / "recipe.toml"))
    trained, held = sides(files / "problems.jsonl", files / "held-out.jsonl", recipe)
    inputs = [files / "problems.jsonl", files / "held-out.jsonl"]
    serve = arguments(SERVE[1::2])
    task = Task("solver", TOKENIZER, trained, held, recipe, arguments=serve, inputs=inputs)
    seen: list[int] = []
    result = await train_rl(
        lambda state: TinkerLearner(opened, "solver", recipe, state),
        task,
        folder,
        observe=lambda step, *_: seen.append(step),
    )
    assert seen == [3, 4]
    rows = {each["step"]: each for each in read_json(folder / "metrics.jsonl")}
    assert sorted(rows) == list(range(5))
    assert rows[0]["num_attempts"] == 12
    assert 0 < rows[0]["train/accuracy"] < 0.8
    assert rows[3]["train/accuracy"] > rows[0]["train/accuracy"]
    assert rows[3]["reward/mean"] > rows[0]["reward/mean"]
    assert abs(rows[0]["kl_sample_train"]) < 1e-3
    assert {0, 2, 4} == {step for step, each in rows.items() if "eval/accuracy" in each}
    assert rows[4]["eval/accuracy"] == result["evaluation"]["eval/accuracy"]
    assert rows[4]["eval/boxed_rate"] >= rows[0]["eval/boxed_rate"]
    assert rows[0]["train/tool_calls"] == pytest.approx(1, abs=0.2)
    check_samples(read_json(folder / "samples.jsonl"))
    names = [each["name"] for each in read_json(folder / "checkpoints.jsonl")]
    assert len(set(names)) == len(names) == 2
    assert read_json(folder / "checkpoints.jsonl")[-1]["final"]
    config = json.loads((folder / "config.json").read_text())
    assert config["problems"]["count"] == 4


def check_samples(samples: list[dict[str, Any]]) -> None:
    places = [(each["step"], each["split"], each["problem_id"]) for each in samples]
    assert len(set(places)) == len(places) == 4 * 2 + 3
    first = samples[0]
    assert first["truth"] == "7"
    for response, answer, reward in zip(
        first["responses"], first["answers"], first["rewards"], strict=True
    ):
        assert "```python\nprint(7)\n```" in response
        # a box that was opened for the model earns it nothing
        if "It is \\boxed{7}" in response:
            assert (answer, reward) == ("7", pytest.approx(1.1))
        elif "It is \\boxed{8}" in response:
            assert (answer, reward) == ("8", pytest.approx(-0.4))
        elif "final answer is \\boxed{7}" in response:
            assert (answer, reward) == ("7", pytest.approx(1.0))
    told = [each for each in samples if each["split"] == "train"]
    assert all(abs(sum(each["advantages"])) < 1e-9 for each in told)


@pytest.mark.timeout(120)
async def test_a_service_that_fails_in_rollouts_ends_the_run_by_name(
    files: Path, service: Service, opened: ServiceClient
) -> None:
    recipe = load_rl_recipe(str(files / "recipe.toml"))
    trained, held = sides(files / "problems.jsonl", files / "held-out.jsonl", recipe)
    task = Task("solver", TOKENIZER, trained, held, recipe, arguments=arguments(SERVE[1::2]))
    service.fail = {"asample": 5}
    try:
        with pytest.raises(errors.ServiceFailed, match=r"sampling: .* run the same command again"):
            await train_rl(
                lambda state: TinkerLearner(opened, "solver", recipe, state, timeout_s=20),
                task,
                files / "run",
            )
    finally:
        service.fail = {}
    assert not (files / "run" / "result.json").exists()


def test_ppo_is_sent_its_bounds(opened: ServiceClient) -> None:
    recipe = load_rl_recipe("rl").model_copy(update={"loss": "ppo", "clip_high": 1.1})
    learner = TinkerLearner(opened, "bigram", recipe, None)
    sampler = learner.sampler()
    sampled = sampler.sample(Asked((1, 2, 3), 6, 1.0, stop_ids=(63,), seed=1))
    assert sampler.score([1, 2, 3])[0] is None
    rollout = to_rollout([1, 2, 3], sampled.ids, sampled.logprobs, 1.0)
    first = sum(learner.learn([rollout], 0.5, recipe)[0])
    second = learner.learn([rollout], 0.5, recipe)[0]
    third = learner.learn([rollout], 0.0, recipe)[0]
    assert sum(second) > first
    assert sum(third) > sum(second) - 1e-6
    assert len(second) == len(rollout.ids) - 1


def to_rollout(
    prompt: list[int], ids: list[int], logprobs: list[float], advantage: float
) -> Rollout:
    mask = np.array([0] * len(prompt) + [1] * len(ids), np.uint8)
    known = np.array([0.0] * len(prompt) + logprobs, np.float32)
    return Rollout(np.array(prompt + ids, np.uint32), mask, known, advantage)


def test_rewards_and_advantages() -> None:
    recipe = load_rl_recipe("rl")
    assert (recipe.group, recipe.temperature, recipe.learning_rate) == (16, 0.7, 1e-6)
    ends = [
        ("7", AttemptEnd.ANSWERED, 1.1), ("8", AttemptEnd.ANSWERED, -0.4),
        ("7", AttemptEnd.FORCED, 1.0), (None, AttemptEnd.NO_ANSWER, -0.5),
    ]  # fmt: skip
    for answer, end, reward in ends:
        judged = judge(row("a", [1], answer=answer, end=end.value), recipe)
        assert judged.reward == pytest.approx(reward)
    assert advantages([1.1, -0.4, -0.4, 1.1], normalise=False).tolist() == pytest.approx(
        [0.75, -0.75, -0.75, 0.75]
    )
    assert advantages([1.1, -0.4], normalise=True).tolist() == pytest.approx([1, -1])
    assert not advantages([0.1 + 0.2, 0.3], normalise=True).any()
    assert not advantages([1.0], normalise=True).any()


def test_what_cannot_be_learnt_from_is_left_out() -> None:
    good = row("a", [1, 2], end="answered", complete=True, logprobs=[None] * 3 + [-1.0, -2.0])
    assert unusable(good) == ""
    assert unusable(good | {"logprobs": [None] * 4 + [-1.0]}) == "log-probabilities are missing"
    for no_number in (float("nan"), float("-inf")):
        told = unusable(good | {"logprobs": [None] * 3 + [-1.0, no_number]})
        assert told == "log-probabilities are missing"
    assert unusable(good | {"mask": [0] * 5}) == "nothing was sampled: its mask is all zero"
    assert unusable(good | {"complete": False}) == "tokens are missing"
    assert unusable(good | {"end": "engine_lost"}) == "engine_lost"
    # a slow service's queue, not the model, let the time run out
    assert unusable(good | {"end": "deadline"}) == "deadline"


def test_what_was_appended_has_no_log_probability_whatever_is_told_of_it() -> None:
    told = row("a", [1, 2, 3], [1, 0, 1], end="answered", complete=True,
               logprobs=[None, 0.5, float("nan"), -1.0, float("nan"), -2.0])  # fmt: skip
    assert unusable(told) == ""
    judged = judge(told, load_rl_recipe("rl"))
    problem = Problem("a", "?", "7", "", "", {})
    (rollout,) = Group(problem, [judged], [0.5], Counter()).rollouts
    assert rollout.logprobs.tolist() == [0, 0, 0, -1, 0, -2]


def test_a_problem_that_is_held_out_is_not_trained_on(tmp_path: Path) -> None:
    known = write(tmp_path / "p.jsonl", PROBLEMS)
    # another id, and written otherwise; an id that is another problem's says nothing
    held = [{**PROBLEMS[2], "id": "x", "problem": f" {PROBLEMS[2]['problem']}\n"}, HELD_OUT[0]]
    others = write(tmp_path / "h.jsonl", [held[0], {**held[1], "id": "p1"}])
    trained, evaluated = sides(known, others, load_rl_recipe("rl"))
    assert [each.id for each in trained] == ["p1", "p2", "p4"]
    assert [each.id for each in evaluated] == ["x", "p1"]


@pytest.mark.parametrize("rate", [0.0, -1e-4, float("nan"), float("inf")])
def test_a_learning_rate_that_none_can_be_is_refused(rate: float) -> None:
    with pytest.raises(errors.BadFile, match="must be a number above 0"):
        with_rate(load_rl_recipe("rl"), rate)
    with pytest.raises(errors.BadFile, match="must be a number above 0"):
        with_rate(load_recipe("sft"), rate)


async def test_more_problems_than_a_server_takes_at_once_are_asked_in_turn(url: str) -> None:
    count = 20  # the server has one solve at work and lets sixteen wait
    problems = [
        Problem(f"p{number}", "How many prime numbers are below 100?", "25", "", "", {})
        for number in range(count)
    ]
    async with AsyncQuorumClient(url) as client:
        groups = await make_groups(
            client, problems, load_rl_recipe("rl"),
            attempts=1, seed=1, answer_kind=AnswerKind.INTEGER, at_once=8,
        )  # fmt: skip
    assert [group.problem.id for group in groups] == [each.id for each in problems]
    assert all(group.attempts or group.left_out for group in groups)


def test_bad_recipes_and_problems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadFile, match="kind"):
        load_rl_recipe("sft")
    (tmp_path / "one.toml").write_text('kind = "rl"\ngroup = 1\n')
    with pytest.raises(errors.BadFile, match="group: "):
        load_rl_recipe(str(tmp_path / "one.toml"))
    problems = write(tmp_path / "p.jsonl", [{"id": "a", "problem": "x"}])
    known = read_problems(problems)
    with pytest.raises(errors.EmptyCorpus, match="problem a: has no answer"):
        run_nothing(known, tmp_path)
    with pytest.raises(errors.EmptyCorpus, match="nothing to train on"):
        run_nothing([], tmp_path)
    long = [replace(each, statement="x" * 16_001, answer="1") for each in known]
    with pytest.raises(errors.BadTraces, match=r"problem a: cannot be asked .problem: "):
        run_nothing(long, tmp_path)
    assert not (tmp_path / "run").exists()


def run_nothing(problems: list[Any], folder: Path) -> None:
    task = Task("m", TOKENIZER, problems, [], load_rl_recipe("rl"))
    anyio.run(partial(train_rl, lambda _: None, task, folder / "run"))  # type: ignore[arg-type,return-value]


def test_no_process_is_left(service: Service) -> None:
    """The killed run's gateway has ended with it."""
    del service
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and orphans():
        time.sleep(0.05)
    assert not orphans()


def orphans() -> list[str]:
    """Return the gateways for the solver that have lost their parent."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if str(TOKENIZER).encode() in command and b"serve" in command and parent == "1":
            found.append(entry.name)
    return [name for name in found if int(name) != os.getpid()]
