"""An evaluation's folder on a full disk, and with lines that it did not write."""

import resource
from pathlib import Path

import pytest

from client.schema import MAX_SEED, AttemptReport
from server.evaluation.arms import Arm
from server.evaluation.errors import EvaluationUnusable
from server.evaluation.folder import EvaluationFolder
from server.evaluation.problem import Problem, ProblemSet
from server.evaluation.recorded import (
    ATTEMPTS,
    SELECTIONS,
    SOLVES,
    AttemptRow,
    Plan,
    SolveRow,
    read_recorded,
)


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    problems = ProblemSet(name="set", problems=(Problem(id="a", statement="A?", answer="1"),))
    plan = Plan(
        id="eval-1", set="set", digest=problems.digest, origin="", licence="",
        arms=[{"name": "arm", "fields": {}}], attempts=2, seed=0, time_limit_s=None,
    )  # fmt: skip
    return EvaluationFolder(tmp_path / "evaluation", plan, problems)


def solve(number: int, without: list[int] | None = None) -> SolveRow:
    return SolveRow(
        arm="arm", problem="a", solve_id=f"solve-{number}", first_seed=0, count=2, end="deadline",
        answer=None, without=without,
    )  # fmt: skip


def test_a_full_disk_is_told_in_a_sentence_and_nothing_before_it_is_lost(
    folder: EvaluationFolder,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with folder:
        folder.add_solve(solve(1))
    size = (folder.path / SOLVES).stat().st_size

    def add() -> None:
        with folder:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
            folder.add_solve(solve(2))

    try:
        with pytest.raises(EvaluationUnusable, match="free space and run the command"):
            add()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with folder:
        folder.add_solve(solve(3))
    told = read_recorded(folder.path).solves_of("arm", "a")
    assert [each.solve_id for each in told] == ["solve-1", "solve-3"]


@pytest.mark.parametrize("name", [ATTEMPTS, SOLVES, SELECTIONS])
@pytest.mark.parametrize("line", ["{}", "[]", '{"arm": "arm", "problem": "a", "report": {}}'])
def test_a_line_that_is_not_an_evaluations_is_named(
    folder: EvaluationFolder, name: str, line: str
) -> None:
    with folder:
        pass
    (folder.path / name).write_text(f"{line}\n")
    with pytest.raises(EvaluationUnusable, match=rf"{name}, line 1: not what an evaluation writes"):
        read_recorded(folder.path)


ARM = Arm("arm", {})


def attempt(seed: int) -> AttemptRow:
    return AttemptRow("arm", "a", "solve-1", AttemptReport(attempt=seed, seed=seed, end="answered"))


def test_an_attempt_whose_line_is_removed_is_had_again(folder: EvaluationFolder) -> None:
    """As the refusal of the line advises, although its solve has ended."""
    with folder:
        folder.add_attempt(attempt(0))
        folder.add_attempt(attempt(1))
        folder.add_solve(solve(1, without=[]))
        assert folder.missing(ARM, "a") == []
    path = folder.path / ATTEMPTS
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:40] + b"\n" + second)
    with pytest.raises(EvaluationUnusable, match="its attempts are done again"):
        read_recorded(folder.path)
    path.write_bytes(second)
    with folder:
        assert folder.missing(ARM, "a") == [0]
        folder.add_attempt(attempt(0))
        assert folder.missing(ARM, "a") == []


def test_attempts_that_a_solve_did_without_are_settled(folder: EvaluationFolder) -> None:
    """It stopped before they began; a row of an earlier version does not say which these are."""
    with folder:
        folder.add_attempt(attempt(0))
        assert folder.missing(ARM, "a") == [1]
        folder.add_solve(solve(1, without=[1]))
        assert folder.missing(ARM, "a") == []
    with folder:
        assert folder.missing(ARM, "a") == []
    (folder.path / SOLVES).write_bytes(b"")
    with folder:
        folder.add_solve(solve(1))
        assert folder.missing(ARM, "a") == []


def test_attempts_have_one_number_in_all_solves_of_their_problem(folder: EvaluationFolder) -> None:
    plan = folder.plan.model_copy(update={"seed": 5, "attempts": 4})
    copied = Problem(id="a@2", statement="A?", answer="1", copy=1)
    assert [plan.number(copied, seed) for seed in (9, 12)] == [0, 3]
    last = plan.model_copy(update={"seed": MAX_SEED})
    assert last.number(Problem(id="a", statement="A?", answer="1"), 1) == 2
