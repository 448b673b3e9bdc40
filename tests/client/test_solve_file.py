"""`quorum solve --file`: what is left for the next call, and problems under one clock."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.batch import ResultFile
from client.main import main
from client.schema import MAX_RUN_PROBLEMS, SolveEnd, SolveRequest, TokenCounts
from tests.client.quorum_command import SOLVE
from tests.client.recorded_server import RecordedServer
from tests.client.recordings import result_of

Solve = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "problems.jsonl"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl.run"


@pytest.fixture
def solve(
    file: Path,
    out: Path,
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Solve:
    """Solve the file against the recorded server; return exit code, output and errors."""
    monkeypatch.setenv("QUORUM_URL", url)

    def run(*options: str) -> tuple[int, str, str]:
        code = main(["solve", "--file", str(file), "--out", str(out), *options], [SOLVE])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def write(file: Path, **problems: str) -> None:
    rows = [{"id": name, "problem": text, "answer": 42} for name, text in problems.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ids(out: Path) -> list[str]:
    return [json.loads(line)["id"] for line in out.read_text().splitlines()]


def test_an_aborted_solve_is_a_failure_and_asked_again(
    solve: Solve, file: Path, out: Path, server: RecordedServer
) -> None:
    write(file, a="sum", b="abort")
    code, shown, _ = solve("--plain")
    assert (code, ids(out)) == (1, ["a"])
    assert "b: failed, the solve was aborted (cancelled: the server is being shut down)\n" in shown
    assert shown.endswith(f"1 of 2 done, 1 of 1 correct, 1 failed; results: {out}\n")
    write(file, a="sum", b="sum")
    server.reset()
    assert solve()[0] == 0
    assert [request.problem_id for request in server.requests] == ["b"]
    assert ids(out) == ["a", "b"]


@pytest.mark.parametrize(
    "changes",
    [
        {"end": SolveEnd.CANCELLED},
        {"end": SolveEnd.DEADLINE, "tokens": TokenCounts()},
    ],
)
def test_rows_of_earlier_versions_that_are_no_results_are_asked_again(
    solve: Solve, file: Path, out: Path, changes: dict[str, Any]
) -> None:
    write(file, a="sum")
    row = result_of(SolveRequest(problem="sum"), answer=None).model_copy(update=changes)
    aborted = {"id": "a", **row.model_dump(mode="json"), "expected": "42", "correct": False}
    out.write_text(json.dumps(aborted) + "\n")
    code, shown, _ = solve()
    assert (code, ids(out)) == (0, ["a", "a"])
    assert shown.endswith(f"1 of 1 done, 1 of 1 correct; results: {out}\n")
    with ResultFile(out) as results:
        assert results.done["a"].correct


def test_what_the_clock_did_not_reach_is_left_for_the_next_call(
    solve: Solve, file: Path, out: Path, server: RecordedServer
) -> None:
    write(file, a="sum", b="late", c="late")
    code, shown, _ = solve("--plain", "--time", "60")
    assert (code, ids(out)) == (1, ["a"])
    assert "b: not reached in the time given\n" in shown
    counts = "1 of 3 done, 1 of 1 correct, 2 not reached; run again with more time"
    assert shown.endswith(f"{counts}; results: {out}\n")
    server.reset()
    code, shown, _ = solve("--json", "--time", "60")
    assert (code, json.loads(shown)["not_reached"]) == (1, ["b", "c"])
    assert [request.problem_id for request in server.requests] == ["b", "c"]
    assert [run.problems for run in server.runs.values()] == [2]


def test_a_run_is_ended_with_its_command(
    solve: Solve, file: Path, note: Path, server: RecordedServer
) -> None:
    write(file, a="sum")
    assert solve("--time", "60")[0] == 0
    (run,) = server.runs
    assert {request.run for request in server.requests} == {run}
    assert server.cancelled == [run]
    assert not note.exists()


@pytest.mark.parametrize("again", [("--time", "60"), ()])
def test_a_run_that_could_not_be_ended_is_ended_by_the_next_call(
    solve: Solve, file: Path, note: Path, server: RecordedServer, again: tuple[str, ...]
) -> None:
    write(file, a="abort")
    server.runs_end = False
    solve("--time", "60")
    (orphan,) = server.runs
    assert note.read_text() == f"{orphan}\n"
    server.runs_end = True
    server.cancelled.clear()
    write(file, a="sum")
    assert solve(*again)[0] == 0
    assert server.cancelled[0] == orphan
    assert not note.exists()


@pytest.mark.parametrize("left", [b"gone\n", b"", b"\xff"])
def test_a_note_of_no_run_is_forgotten(
    solve: Solve, file: Path, note: Path, left: bytes, server: RecordedServer
) -> None:
    write(file, a="sum")
    note.write_bytes(left)
    assert solve("--time", "60")[0] == 0
    assert not note.exists()
    note.write_bytes(left)
    server.reset()
    assert solve()[0] == 0
    assert not note.exists()
    assert server.seen["health"] == 0, "nothing is left: the server is not needed"


def test_a_note_that_cannot_be_written_is_told(
    solve: Solve, file: Path, note: Path, server: RecordedServer
) -> None:
    write(file, a="sum")
    note.mkdir()
    code, _, err = solve("--time", "60")
    assert code == 2
    assert f"{note}: cannot be written (Is a directory)" in err
    assert not server.runs


def test_more_problems_than_a_run_takes_are_refused_before_anything_starts(
    solve: Solve, file: Path, server: RecordedServer
) -> None:
    write(file, **{f"p{number}": "sum" for number in range(MAX_RUN_PROBLEMS + 1)})
    code, _, err = solve("--time", "60")
    assert code == 2
    assert "--time: 10,001 problems are left, and a run takes at most 10,000; split" in err
    assert server.seen["health"] == 0


def test_problems_of_a_run_have_names(solve: Solve, file: Path, server: RecordedServer) -> None:
    write(file, **{"": "sum"})
    code, _, err = solve("--time", "60")
    assert code == 2
    assert "line 1: field id: empty; with --time each problem needs a name" in err
    assert server.seen["health"] == 0
    assert solve()[0] == 0
