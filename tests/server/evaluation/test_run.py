"""Evaluations on a real server with a rehearsed model: each attempt once, whatever is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from server.evaluation.api import Api
from server.evaluation.commands import app
from server.evaluation.errors import EvaluationUnusable, ServerProblem
from server.evaluation.recorded import ATTEMPTS as ATTEMPT_FILE
from server.evaluation.recorded import read_recorded
from tests.server.evaluation.conftest import ATTEMPTS, PROBLEMS, Rehearsal

#: A killed evaluation has done something by then, and not all: a problem takes a third of a second.
KILLS_S = (1.2, 1.6, 2.0)


def arguments(rehearsal: Rehearsal, out: Path, *more: str) -> list[str]:
    return [
        "run", "--set", str(rehearsal.problems), "--out", str(out), "--attempts", str(ATTEMPTS),
        "--url", rehearsal.url, "--journal", str(rehearsal.journal), "--time-limit", "30", *more,
    ]  # fmt: skip


def call(*given: str) -> Result:
    return CliRunner().invoke(app, list(given))


def as_child(given: list[str]) -> "subprocess.Popen[bytes]":
    code = "from server.evaluation.commands import app; app()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def attempts_of(folder: Path) -> dict[tuple[str, int], tuple[str | None, int]]:
    """Return answer and tokens of each attempt, by problem and seed."""
    recorded = read_recorded(folder)
    assert recorded.doubled == 0
    return {
        (problem, seed): (row.report.answer, row.report.tokens.sampled)
        for (_, problem), rows in recorded.attempts.items()
        for seed, row in rows.items()
    }


@pytest.fixture(scope="session")
def whole(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "evaluation"
    result = call(*arguments(rehearsal, out))
    assert result.exit_code == 0, result.output
    return out


def test_the_server_can_be_named_by_the_variable(
    rehearsal: Rehearsal, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUORUM_URL", "http://127.0.0.1:9")
    run = call("run", "--set", str(rehearsal.problems), "--out", str(tmp_path / "out"))
    select = call("select", str(whole), "--selector", "majority")
    for result in (run, select):
        assert "http://127.0.0.1:9" in str(result.exception)


def test_an_evaluation_has_every_attempt_and_its_report(whole: Path) -> None:
    assert len(attempts_of(whole)) == PROBLEMS * ATTEMPTS
    report = orjson.loads((whole / "report.json").read_bytes())
    summary = report["sections"]["summary"]["recorded"]
    assert (summary["problems"], summary["attempts"]) == (PROBLEMS, PROBLEMS * ATTEMPTS)
    low_to_high = [summary["single"][place] for place in (1, 0, 2)]
    assert low_to_high == sorted(low_to_high)
    assert "weighted: code agreement" in report["sections"]["strategies recorded"]
    page = (whole / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert "/solves/solve-" in page
    assert (whole / "problems.csv").read_text().count("\n") == PROBLEMS + 1
    assert "| arm |" in (whole / "report.md").read_text()


def test_running_it_again_asks_for_nothing(rehearsal: Rehearsal, whole: Path) -> None:
    before = (whole / ATTEMPT_FILE).read_bytes()
    # Nothing listens there but for /ready, which a resumed evaluation asks as well.
    result = call(*arguments(rehearsal, whole))
    assert result.exit_code == 0, result.output
    assert (whole / ATTEMPT_FILE).read_bytes() == before


def test_a_killed_evaluation_goes_on_without_loss_or_repetition(
    rehearsal: Rehearsal, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    for after_s in KILLS_S:
        child = as_child(arguments(rehearsal, out))
        time.sleep(after_s + random.Random(after_s).random() / 4)
        child.send_signal(signal.SIGKILL)
        child.wait()
    result = call(*arguments(rehearsal, out))
    assert result.exit_code == 0, result.output
    assert attempts_of(out) == attempts_of(whole)
    assert figures(out) == figures(whole)


def figures(folder: Path) -> Any:  # noqa: ANN401 - JSON
    """Return what a report says, without the times of this machine."""
    report = orjson.loads((folder / "report.json").read_bytes())
    sections = report["sections"]
    strategies = {name: one["accuracy"] for name, one in sections["strategies recorded"].items()}
    kept = ("summary", "at k recorded", "lengths recorded", "errors recorded")
    return strategies, [sections[name] for name in kept]


def test_attempts_that_are_lost_are_asked_for_by_their_seeds(
    rehearsal: Rehearsal, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    out.mkdir()
    for name in ("problems.jsonl",):
        (out / name).write_bytes((whole / name).read_bytes())
    plan = orjson.loads((whole / "plan.json").read_bytes())
    (out / "plan.json").write_bytes(orjson.dumps(plan | {"id": f"eval-{os.getpid()}"}))
    lines = (whole / ATTEMPT_FILE).read_bytes().splitlines(keepends=True)
    kept = [line for place, line in enumerate(lines) if place % 3]
    # The last line is cut in its middle, as a killed process leaves it.
    (out / ATTEMPT_FILE).write_bytes(b"".join(kept) + lines[0][:40])
    result = call(*arguments(rehearsal, out))
    assert result.exit_code == 0, result.output
    assert attempts_of(out) == attempts_of(whole)


def test_another_evaluation_does_not_go_into_its_folder(rehearsal: Rehearsal, whole: Path) -> None:
    for change in (("--seed", "5"), ("--attempts", "2"), ("--arm", "strategy=tir")):
        result = call(*arguments(rehearsal, whole, *change))
        assert isinstance(result.exception, EvaluationUnusable)
        assert change[0].removeprefix("--").rstrip("s") in str(result.exception)


def test_a_server_that_has_another_model_or_is_not_there_is_refused(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    wrong = call(*arguments(rehearsal, tmp_path / "a", "--model", "other"))
    assert isinstance(wrong.exception, ServerProblem)
    assert "must" in str(wrong.exception) or "start one" in str(wrong.exception)
    gone = call(*arguments(rehearsal, tmp_path / "b")[:-4], "--url", "http://127.0.0.1:9")
    assert isinstance(gone.exception, ServerProblem)
    assert "quorum serve" in str(gone.exception)


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://127.0.0.1:99999", "http://a..b", "localhost:8642", ""]
)
async def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ServerProblem, match="quorum serve"):
        async with Api(url) as api:
            await api.ready()


@pytest.mark.parametrize("url", ["http://me:pa/55@127.0.0.1:9", "http://me:55:pa@127.0.0.1:99999"])
def test_a_piece_of_a_password_is_not_shown(url: str) -> None:
    with pytest.raises(ServerProblem, match="percent-encode its password") as told:
        Api(url)
    assert "pa" not in str(told.value).replace("password", "")


@pytest.mark.parametrize("key", ["schlüssel", "schl\nuessel"])
def test_a_key_that_cannot_be_sent_is_told_and_not_shown(key: str) -> None:
    with pytest.raises(ServerProblem, match="must be printable ASCII") as told:
        Api("http://127.0.0.1:9", key=key)
    assert "schl" not in str(told.value)


async def test_a_key_with_white_space_around_it_can_be_sent() -> None:
    with pytest.raises(ServerProblem, match=r"is not to be had \(ConnectError") as told:
        async with Api("http://127.0.0.1:9", key=" secret \n") as api:
            await api.ready()
    assert "secret" not in str(told.value)


def test_a_password_of_an_address_is_not_shown_or_kept(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    gone = call(
        *arguments(rehearsal, tmp_path / "a")[:-4], "--url", "http://me:pa55word@127.0.0.1:9"
    )
    assert "http://***@127.0.0.1:9" in str(gone.exception)
    url = rehearsal.url.replace("//", "//me:pa55word@")
    out = tmp_path / "b"
    result = call(*arguments(rehearsal, out, "--url", url, "--first", "1"))
    assert result.exit_code == 0, result.output
    assert "pa55word" not in result.output
    holding = [f.name for f in out.rglob("*") if f.is_file() and b"pa55word" in f.read_bytes()]
    assert not holding
    assert rehearsal.url in (out / "report.html").read_text()


@pytest.mark.parametrize(
    "change", [("--seed", str(10**20)), ("--time-limit", "inf"), ("--time-limit", "100000")]
)
def test_what_no_server_takes_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set.jsonl").write_text('{"problem": "1 + 1?", "answer": 2}\n')
    result = call("run", "--set", "set.jsonl", "--url", "http://127.0.0.1:9", *change)
    assert result.exit_code == 2, result.output
    assert change[0] in result.output


def test_an_evaluation_that_names_no_folder_has_one_by_what_is_asked(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [each for each in arguments(rehearsal, Path()) if each not in ("--out", ".")]
    for count in ("1", "1", "2"):
        result = call(*asked, "--first", count, "--policy", "greedy", "--attempts", "1")
        assert result.exit_code == 0, result.output
    folders = sorted((tmp_path / "evaluations").iterdir())
    assert len(folders) == 2
    assert all(folder.name.startswith("rehearsed-") for folder in folders)
    assert sorted(len(attempts_of(folder)) for folder in folders) == [1, 2]


def test_arms_copies_and_selectors(rehearsal: Rehearsal, tmp_path: Path) -> None:
    out = tmp_path / "arms"
    result = call(
        *arguments(rehearsal, out, "--first", "1", "--repeat", "2"),
        "--arm", "name=tools; strategy=weighted_vote", "--arm", "name=plain; strategy=greedy",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    chosen = call("select", str(out), "--selector", "genselect", "--url", rehearsal.url)
    assert chosen.exit_code == 0, chosen.output
    assert "4 problems chosen by genselect, 0 left out" in chosen.output
    again = call("rescore", str(out), "--journal", str(rehearsal.journal), "--json")
    assert again.exit_code == 0, again.output
    sections = orjson.loads(again.stdout)["sections"]
    assert any(name.startswith("genselect") for name in sections["strategies tools"])
    assert next(iter(sections["repeats tools"].values()))["of"] == 2
    assert "plain, single attempt" in sections["compared"]
    seeds = {(problem, seed) for problem, seed in attempts_of(out) if "@1" in problem}
    assert {seed for _, seed in seeds} == set(range(ATTEMPTS, 2 * ATTEMPTS))


def test_two_evaluations_are_compared(whole: Path, tmp_path: Path) -> None:
    result = call("compare", str(whole), str(whole), "--json", "--out", str(tmp_path / "report"))
    assert result.exit_code == 0, result.output
    compared = orjson.loads(result.stdout)["sections"]["compared"]
    (single, answer) = compared.values()
    mean, low, high = single["difference"]
    # Two of the same do not differ; so few problems leave open what others would do.
    assert mean == 0
    assert low == -high < 0
    assert answer["permutation_p"] == 1.0
    assert (tmp_path / "report" / "report.html").is_file()
