"""An evaluation's folder on a full disk, and with lines that it did not write."""

import resource
from pathlib import Path

import pytest

from server.evaluation.errors import EvaluationUnusable
from server.evaluation.folder import (
    ATTEMPTS,
    SELECTIONS,
    SOLVES,
    EvaluationFolder,
    Plan,
    SolveRow,
    read_recorded,
)
from server.evaluation.problem import Problem, ProblemSet


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    problems = ProblemSet(name="set", problems=(Problem(id="a", statement="A?", answer="1"),))
    plan = Plan(
        id="eval-1", set="set", digest=problems.digest, origin="", licence="",
        arms=[{"name": "arm", "fields": {}}], attempts=2, seed=0, time_limit_s=None,
    )  # fmt: skip
    return EvaluationFolder(tmp_path / "evaluation", plan, problems)


def solve(number: int) -> SolveRow:
    return SolveRow(
        arm="arm", problem="a", solve_id=f"solve-{number}", first_seed=0, count=2, end="deadline",
        answer=None,
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
