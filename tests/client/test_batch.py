"""Files of problems and results, and a pass over them with a real server."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from client.batch import (
    FAULTS_SHOWN,
    InvalidFile,
    Problem,
    ResultFile,
    ResultLost,
    digest_of,
    read_problems,
)
from client.batch_run import GIVE_UP_AFTER, BatchRun, LineObserver
from client.commands.wishes import Wish
from client.correctness import is_correct
from client.errors import ServerUnreachable
from client.exchange import NO_RETRY, RetryPolicy
from client.http import AsyncQuorumClient
from client.schema import SolveRequest
from tests.client.recorded_server import RecordedServer
from tests.client.recordings import result_of


def problems_of(path: Path, *rows: dict[str, Any] | str) -> list[Problem]:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_problems(path, Wish({"attempts": 2}).request_of)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "problems.jsonl"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_problems_are_read(path: Path) -> None:
    first, second = problems_of(
        path,
        {"id": "a", "problem": "1+1?\u2028", "answer": 2, "level": 5},
        "",
        {"id": 7, "problem": "2+2?"},
        "",
    )
    assert (first.id, first.expected, first.line) == ("a", "2", 1)
    assert first.request == SolveRequest(problem="1+1?\u2028", problem_id="a", attempts=2)
    assert (second.id, second.expected, second.line) == ("7", None, 3)


@pytest.mark.parametrize("written", ["0.00001", "1e16", "12345678901234567890.10", "9" * 5_000])
def test_a_number_is_read_as_it_is_written(path: Path, written: str) -> None:
    (only,) = problems_of(path, f'{{"id": "a", "problem": "x", "answer": {written}}}')
    assert only.expected == written


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("{broken", "line 2: not JSON: Expecting property name"),
        ("[1]", "line 2: a JSON list: must be an object"),
        ("[" * 200_000, "line 2: not JSON that can be read: nested too deep"),
        ({"problem": "x"}, "line 2: field id: missing"),
        ({"id": "b"}, "line 2: field problem: missing"),
        ({"id": "b", "problem": ["x"]}, "line 2: field problem: a list; must be text"),
        ({"id": True, "problem": "x"}, "line 2: field id: a bool"),
        ({"id": "b", "problem": "  "}, "line 2: problem: the problem is empty"),
        ({"id": "b", "problem": "x" * 16_001}, "line 2: problem: String should have at most"),
        ({"id": "x" * 257, "problem": "x"}, "line 2: problem_id: String should have at most"),
        ({"id": "a", "problem": "x"}, "line 2: id 'a' is taken by line 1"),
    ],
)
def test_faulty_lines_are_named(path: Path, row: dict[str, Any] | str, fault: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        problems_of(path, {"id": "a", "problem": "x"}, row)
    assert fault in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_faults_are_named_up_to_a_limit(path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"line 10: .*; and 5 more"):
        problems_of(path, *["{"] * (FAULTS_SHOWN + 5))


def test_files_that_hold_nothing(path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_problems(path, Wish({}).request_of)
    with pytest.raises(InvalidFile, match="holds no problem"):
        problems_of(path, "", "")
    path.write_bytes(b'{"id": "\xff"}')
    with pytest.raises(InvalidFile, match="UTF-8"):
        read_problems(path, Wish({}).request_of)


@pytest.mark.parametrize(
    ("answer", "expected", "correct"),
    [
        ("42", None, None),
        (None, "42", False),
        ("42", "42", True),
        ("42", "042.0", True),
        ("41", "42", False),
        ("1,234", "1234", True),
        ("1/2", "0.5", True),
        ("1/0", "1/0", True),
        ("-3", "3", False),
        ("\\dfrac{3}{7}", "$\\frac{3}{7}$", True),
        ("\\boxed{ x + 1 }", "x+1", True),
        ("(1, 2)", "(1,2)", True),
        ("12,34", "1234", False),
        ("٤٢", "42", False),
        ("9" * 5_000, "9" * 5_000, True),
        ("0.00001", "1e-05", True),
        ("10,000,000,000,000,000", "1E16", True),
        (".5", "0.5", True),
        ("5.", "5", True),
        ("-.5e1", "-5", True),
        (".", "0", False),
        ("0.1", "0.1000000000000000055511151231257827", False),
        ("1e999999999", "1e999999999", True),
        ("1e999999999", "2e999999998", False),
    ],
)
def test_correctness(answer: str | None, expected: str | None, correct: bool | None) -> None:
    assert is_correct(answer, expected) is correct


def problem(name: str, word: str = "sum", expected: str | None = None) -> Problem:
    return Problem(name, SolveRequest(problem=word, problem_id=name), expected, 1)


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines() if line.strip()]


def test_results_are_appended_and_found_again(out: Path) -> None:
    with ResultFile(out) as results:
        results.append(problem("a", expected="42"), result_of(SolveRequest(problem="sum")))
        (row,) = rows_of(out)
    assert (row["id"], row["expected"], row["correct"]) == ("a", "42", True)
    assert row["ballot"][0]["votes"] == 3
    with ResultFile(out) as results:
        assert found(results) == {"a": True}


def found(results: ResultFile) -> dict[str, bool | None]:
    return {name: done.correct for name, done in results.done.items()}


def test_a_result_of_another_problem_is_not_taken_for_this_one_s(out: Path) -> None:
    with ResultFile(out) as results:
        for name in ("a", "b"):
            results.append(problem(name), result_of(SolveRequest(problem="sum")))
    before = out.read_bytes()
    with (
        ResultFile(out) as results,
        pytest.raises(InvalidFile, match=r"line 2: the result of 'b' .* another file with --out"),
    ):
        BatchRun([problem("a"), problem("b", "product")], results)
    assert out.read_bytes() == before


def test_a_row_of_an_earlier_version_counts_whatever_its_problem_was(out: Path) -> None:
    out.write_text('{"id": "a", "answer": "42", "correct": null}\n')
    with ResultFile(out) as results:
        assert BatchRun([problem("a", "product")], results).pending == []


def test_an_answer_that_is_expected_since_is_judged_again(out: Path) -> None:
    with ResultFile(out) as results:
        results.append(problem("a"), result_of(SolveRequest(problem="sum")))
    for expected, correct in (("42.0", 1), ("7", 0)):
        with ResultFile(out) as results:
            tally = BatchRun([problem("a", expected=expected)], results).tally
        assert (tally.done, tally.judged, tally.correct) == (1, 1, correct)


def test_a_row_says_which_statement_it_is_of(out: Path) -> None:
    with ResultFile(out) as results:
        results.append(problem("a", "1 + 1?"), result_of(SolveRequest(problem="sum")))
    (row,) = rows_of(out)
    assert row["statement_sha256"] == digest_of(problem("b", "1 + 1?")) == "c97c3a9c9b990740"


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        ('{"id": "b", "corr', {"a": None}),
        ('{"id": "b", "correct": false}', {"a": None, "b": False}),
        ("\n", {"a": None}),
        (' \n{"id": "b", "correct": false}\n\n  ', {"a": None, "b": False}),
        ("{", {"a": None}),
        ('{"id": "b", "correct": false}\0\0', {"a": None}),
        ("\0\0", {"a": None}),
    ],
)
def test_a_last_line_that_was_cut_off_is_repaired(
    out: Path, tail: str, left: dict[str, bool | None]
) -> None:
    out.write_text('{"id": "a", "correct": null}\n' + tail.lstrip("\n"))
    with ResultFile(out) as results:
        assert found(results) == left
        results.append(problem("c"), result_of(SolveRequest(problem="sum")))
        assert results.done["c"].line == len(out.read_text().splitlines())
    assert [row["id"] for row in rows_of(out)] == [*left, "c"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"id": "a", "correct": null}\nnotes\n', 2),
        ('{"id": "a", "correct": null}\nnotes', 2),
        ("notes\nthat end without a newline", 1),
        ("notes of one line", 1),
        ('{"id": "a", "problem": "1 + 1?"}', 1),
        ('notes\n{"id": "a", "corr', 1),
        pytest.param("[" * 200_000 + "\n", 1, id="deep"),
    ],
)
def test_files_that_are_not_results_are_left_alone(out: Path, text: str, line: int) -> None:
    out.write_text(text)
    with pytest.raises(InvalidFile, match=f"line {line}: not a result"), ResultFile(out):
        pass
    assert out.read_text() == text


def test_files_that_cannot_be_read_or_written_are_told_with_a_reason(path: Path, out: Path) -> None:
    def told(file: Path) -> str:
        with pytest.raises(InvalidFile) as caught:
            read_problems(file, Wish({}).request_of)
        return str(caught.value)

    assert (
        told(path)
        == f"{path}: cannot be read (No such file or directory); name a file of JSON lines"
    )
    assert "cannot be read (Is a directory)" in told(path.parent)
    path.write_bytes(b"\xff")
    assert f"{path}: must be UTF-8 text (" in told(path)
    with (
        pytest.raises(InvalidFile, match=r"cannot be written \(No such file"),
        ResultFile(out / "x"),
    ):
        pass


def test_two_processes_do_not_share_a_file(out: Path, tmp_path: Path) -> None:
    with ResultFile(out), pytest.raises(InvalidFile, match="another process"), ResultFile(out):
        pass
    with pytest.raises(InvalidFile, match="regular file"), ResultFile(Path("/dev/full")):
        pass
    with pytest.raises(InvalidFile, match="cannot be written"), ResultFile(tmp_path):
        pass


async def run(
    url: str, out: Path, problems: list[Problem], parallel: int = 1
) -> tuple[BatchRun, list[str]]:
    lines: list[str] = []
    retry = RetryPolicy(busy_patience_s=5.0, retries=0)
    with ResultFile(out) as results:
        batch = BatchRun(problems, results)
        async with AsyncQuorumClient(url, retry=retry) as client:
            await batch.solve(client, LineObserver(lines.append), parallel)
    return batch, lines


@pytest.mark.parametrize("parallel", [1, 3])
async def test_one_failure_does_not_end_the_batch(url: str, out: Path, parallel: int) -> None:
    problems = [
        problem("good", expected="42"),
        problem("bad", "fail"),
        problem("wrong", expected="7"),
        problem("lost", "cut"),
        problem("later", "busy"),
    ]
    batch, lines = await run(url, out, problems, parallel)
    assert sorted(row["id"] for row in rows_of(out)) == ["good", "later", "wrong"]
    assert sorted(batch.tally.failed) == ["bad", "lost"]
    assert str(batch.tally) == "3 of 5 done, 1 of 2 correct, 2 failed"
    assert any("bad: failed, a defect" in line for line in lines)
    assert any("good: correct, answer 42" in line for line in lines)
    assert any("wrong: wrong, answer 42" in line for line in lines)


async def test_what_is_done_is_not_solved_again(
    url: str, out: Path, server: RecordedServer
) -> None:
    problems = [problem("a", expected="42"), problem("b", expected="42")]
    await run(url, out, problems[:1])
    batch, _ = await run(url, out, problems)
    assert [request.problem_id for request in server.requests] == ["a", "b"]
    assert (batch.tally.done, batch.tally.correct) == (2, 2)


async def test_the_expected_answer_never_leaves(
    url: str, out: Path, server: RecordedServer
) -> None:
    await run(url, out, [problem("a", expected="secret")])
    assert b"secret" not in server.bodies[0]


async def test_a_server_that_is_gone_ends_the_batch(out: Path, unused_url: str) -> None:
    lines: list[str] = []
    problems = [problem(str(number)) for number in range(10)]
    with ResultFile(out) as results:
        batch = BatchRun(problems, results)
        async with AsyncQuorumClient(unused_url, retry=NO_RETRY) as client:
            with pytest.raises(ServerUnreachable):
                await batch.solve(client, LineObserver(lines.append))
    assert len(lines) == GIVE_UP_AFTER


def test_a_full_disk_is_told_and_what_was_cut_off_is_solved_again(out: Path) -> None:
    first, second = problem("a"), problem("b")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with ResultFile(out) as results:
            results.append(first, result_of(first.request))
            # The system refuses bytes past this limit as it does on a full disk.
            resource.setrlimit(resource.RLIMIT_FSIZE, (out.stat().st_size + 10, hard))
            with pytest.raises(ResultLost, match=r"result of 'b' cannot .*; free some space"):
                results.append(second, result_of(second.request))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not out.read_text().endswith("\n")
    with ResultFile(out) as results:
        assert list(results.done) == ["a"]
