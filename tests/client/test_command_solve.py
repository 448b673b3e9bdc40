"""`quorum solve` against a real server: what it prints, where, and its exit codes."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client.main import main
from client.schema import AnswerKind, SolveResult
from client.solving import Show, fitting_show
from tests.client.quorum_command import SOLVE
from tests.client.recorded_server import RecordedServer

Quorum = Callable[..., tuple[int, str, str]]


@pytest.fixture
def quorum(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Quorum:
    """Run the command against the recorded server; return exit code, output and errors."""
    monkeypatch.setenv("QUORUM_URL", url)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["solve", *arguments], [SOLVE])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_plain_lines(quorum: Quorum) -> None:
    code, out, err = quorum("sum")
    assert code == 0
    assert out.startswith("[    0.0 s] accepted\n")
    assert out.endswith("\nanswer: 42\n")
    assert err == ""


def test_json_is_one_line_and_nothing_else(quorum: Quorum) -> None:
    code, out, err = quorum("sum", "--json")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()
    assert SolveResult.model_validate_json(line).answer == "42"


def test_answer_only(quorum: Quorum) -> None:
    assert quorum("sum", "--answer-only") == (0, "42\n", "")


@pytest.mark.parametrize("option", ["--plain", "--json", "--answer-only"])
def test_no_answer_has_its_exit_code(quorum: Quorum, option: str) -> None:
    code, out, _ = quorum("noanswer", option)
    assert code == 3
    assert out == "" or "no answer" in out or '"answer": null' in out


def test_every_option_is_sent(quorum: Quorum, server: RecordedServer) -> None:
    quorum(
        "sum", "--attempts", "8", "--agree", "4", "--turns", "5", "--tokens", "600",
        "--time-limit", "30", "--strategy", "majority_vote", "--kind", "integer", "--seed", "7",
        "--temperature", "0.5",
    )  # fmt: skip
    (request,) = server.requests
    assert (request.attempts, request.agree, request.max_turns) == (8, 4, 5)
    assert (request.max_tokens, request.time_limit_s, request.seed) == (600, 30.0, 7)
    assert (request.strategy, request.temperature) == ("majority_vote", 0.5)
    assert request.answer_kind is AnswerKind.INTEGER


def test_standard_input(
    quorum: Quorum, server: RecordedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("sum of π\n".encode())))
    assert quorum("-")[0] == 0
    assert server.requests[0].problem == "sum of π"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert quorum("-")[0] == 2
    monkeypatch.setattr(sys, "stdin", None)
    assert quorum("-") == (2, "", "quorum: standard input: closed; give the problem in quotes\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no problem: give it in quotes"),
        ([" "], "problem: the problem is empty"),
        (["x" * 16_001], "problem: must have at most 16000 characters; shorten it"),
        (["sum", "of", "two"], "unexpected word 'of': put the problem in quotes"),
        (["sum", "--attempts", "0"], "--attempts 0: must be greater than or equal to 1; cor"),
        (["sum", "--time-limit", "nan"], "--time-limit nan: must be a finite number; correct it"),
        (["sum", "--attempts", "2", "--agree", "3"], "agree 3: must be at most attempts (2)"),
        (["sum", "--json", "--plain"], "--json and --plain: choose one"),
        (["sum", "--url", "localhost:1"], "must be an http or https address"),
        (
            ["sum", "--url", "http://localhost:1/v1/"],
            "not that for OpenAI's clients; leave /v1 out",
        ),
        (["sum", "--", "--engine-model", "x"], "--engine-model: is for a server started"),
        (["--file", "no.jsonl"], "--file: needs --out"),
        (["--file", "no.jsonl", "--out", "o", "sum"], "unexpected word 'sum': with --file"),
        (["--file", "no.jsonl", "--out", "o", "--seed", "-1"], "--seed -1: must be greater"),
        (["--file", "no.jsonl", "--out", "o"], "no.jsonl: cannot be read"),
        (["sum", "--time", "5"], "--time: is for --file"),
        (["sum", "--out", "o"], "--out: is for --file"),
        (["sum", "--parallel", "2"], "--parallel: is for --file"),
        (["sum", "--kind", "poem"], "Invalid value for '--kind'"),
        (["--", "--engine-kind", "none"], "--engine-kind: is an option of the server, and there"),
        (["--", "--no-engine"], "--no-engine: is an option of the server, and there is no problem"),
        (["--file", "no.jsonl", "--out", "o", "--time", "inf"], "--time inf: must be a number of"),
        (["--file", "no.jsonl", "--out", "o", "--time", "1e9"], "--time 1e+09: must be a number"),
    ],
)
def test_wrong_usage(quorum: Quorum, arguments: list[str], told: str) -> None:
    code, out, err = quorum(*arguments)
    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("cut", "cut the connection"),
        ("fail", "a defect"),
        ("full", "the queue is full"),
        ("html", "is it Quorum?"),
    ],
)
def test_errors_of_the_server(quorum: Quorum, problem: str, told: str) -> None:
    code, _, err = quorum(problem)
    assert code == 1
    assert err.startswith("quorum: ")
    assert told in err
    assert len(err.splitlines()) == 1


def test_a_server_that_is_named_is_never_started(quorum: Quorum, unused_url: str) -> None:
    code, _, err = quorum("sum", "--url", unused_url)
    assert code == 1
    assert "cannot be reached" in err


def test_it_waits_for_a_server_that_is_getting_ready(
    quorum: Quorum, server: RecordedServer
) -> None:
    server.reset(ready_after=2)
    code, out, err = quorum("sum", "--answer-only")
    assert (code, out) == (0, "42\n")
    assert err == "waiting: engine: loading (weights)\n"


def test_the_wait_is_bounded(quorum: Quorum, server: RecordedServer) -> None:
    server.reset(ready_after=1_000)
    code, _, err = quorum("sum", "--ready-timeout", "0.3")
    assert code == 1
    assert "was not ready after 0.3 s, waiting for engine: loading (weights)" in err


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    rows = [
        {"id": "a", "problem": "sum", "answer": "42"},
        {"id": "b", "problem": "fail", "answer": "42"},
        {"id": "c", "problem": "sum", "answer": 41},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file(quorum: Quorum, problems: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    code, out, _ = quorum("--file", str(problems), "--out", str(results), "--parallel", "2")
    assert code == 1, "one problem failed"
    assert out.endswith(f"2 of 3 done, 1 of 2 correct, 1 failed; results: {results}\n")
    assert {json.loads(line)["id"] for line in results.read_text().splitlines()} == {"a", "c"}


def test_a_file_goes_on_where_it_stopped(
    quorum: Quorum, problems: Path, tmp_path: Path, server: RecordedServer
) -> None:
    arguments = ("--file", str(problems), "--out", str(tmp_path / "results.jsonl"), "--json")
    quorum(*arguments)
    server.reset()
    problems.write_text(problems.read_text().replace("fail", "sum again"))
    code, out, _ = quorum(*arguments)
    assert code == 0
    assert json.loads(out) == {
        "total": 3, "done": 3, "judged": 3, "correct": 2, "failed": [],
        "not_reached": [],
    }  # fmt: skip
    assert [request.problem_id for request in server.requests] == ["b"]
    server.reset()
    assert quorum(*arguments)[0] == 0
    assert server.seen["health"] == 0, "nothing is left: the server is not needed"


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_display_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert fitting_show(FakeTerminal()) is Show.LIVE
    assert fitting_show(io.StringIO()) is Show.PLAIN
    monkeypatch.setenv("TERM", "dumb")
    assert fitting_show(FakeTerminal()) is Show.PLAIN
