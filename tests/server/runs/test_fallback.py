"""`fallback.json`: the best answers, whatever happens to the server and the disk."""

import json
import os
from pathlib import Path
from typing import Any

import anyio

from client.schema import (
    AnswerKind,
    AttemptResult,
    AttemptText,
    BallotChanged,
    BallotLine,
    Channel,
    Event,
    SolveEnd,
    SolveFinished,
    SolveResult,
)
from server.runs.evidence import Evidence, Line, surer
from server.runs.fallback import Fallback, read_fallback, replace_file
from tests.server.solve.rehearsal import eventually


def text(said: str, attempt: int = 0) -> Event:
    return AttemptText(
        solve_id="s", at=1, attempt=attempt, turn=1, channel=Channel.THINKING, text=said, sampled=9
    )


def told(output: str, status: str = "ok") -> Event:
    return AttemptResult(
        solve_id="s", at=1, attempt=0, turn=1, call=0, status=status, output=output,
        seconds=0.1, state_lost=False,
    )  # fmt: skip


def ballot(answer: str, votes: int) -> Event:
    line = BallotLine(answer=answer, votes=votes, weight=votes, attempts=[*range(votes)])
    return BallotChanged(solve_id="s", at=1, lines=[line], running=1, stop=False, reason="open")


def end(answer: str | None, why: SolveEnd = SolveEnd.DEADLINE, votes: int = 0) -> Event:
    lines = [BallotLine(answer=answer, votes=votes, weight=votes, attempts=[])] if answer else []
    result = SolveResult(
        solve_id="s", answer=answer, end=why, detail="", strategy="tir", ballot=lines
    )
    return SolveFinished(solve_id="s", at=1, result=result)


def seen(*events: Event, kind: AnswerKind = AnswerKind.INTEGER) -> tuple[str | None, str, int]:
    evidence = Evidence(kind, "s")
    for event in events:
        evidence.observe(event)
    line = evidence.line()
    return line["answer"], line["rung"], line["votes"]


def test_the_surest_evidence_counts() -> None:
    printed = told("x = 2.5\n17\nabc9")
    boxed = (text("so it is \\bo"), text("xed{5"), text("2}."))
    assert seen() == (None, "printed", 0)
    assert seen(printed) == ("17", "printed", 0)
    assert seen(printed, told("999999\n-3")) == ("17", "printed", 0)
    assert seen(printed, told("18", status="error")) == ("17", "printed", 0)
    assert seen(*boxed, printed) == ("52", "boxed", 0)
    assert seen(*boxed, text("\\boxed{x}", attempt=1), printed) == ("17", "printed", 0)
    assert seen(*boxed, ballot("7", 2)) == ("7", "ballot", 2)
    assert seen(*boxed, ballot("7", 2), end("7")) == ("7", "vote", 0)
    assert seen(*boxed, end(None)) == ("52", "boxed", 0)
    interrupted = SolveEnd.INTERRUPTED
    assert seen(end("7", interrupted, 2)) == ("7", "ballot", 2)
    assert seen(*boxed, end(None, interrupted)) == ("52", "boxed", 0)
    assert seen(*boxed, ballot("7", 2), end(None, interrupted)) == ("7", "ballot", 2)
    assert seen(told("-12"), kind=AnswerKind.TEXT) == ("-12", "printed", 0)


def said(answer: str | None, rung: str = "printed", *, final: bool = False) -> Line:
    return {"answer": answer, "rung": rung, "final": final}


def test_an_answer_that_was_known_is_given_up_for_a_surer_one_only() -> None:
    boxed, voted = said("7", "boxed"), said("8", "vote", final=True)
    for now in (said(None), said("3"), said(None, final=True)):
        assert surer(now, boxed) == boxed
    for now in (said("3", "boxed"), said("3", "ballot"), voted, said("3", final=True)):
        assert surer(now, boxed) == now
    for before in (None, said(None, "vote"), {}, said("9", "of another program")):
        assert surer(said("3"), before) == said("3")


async def test_it_is_written_when_something_changes_and_at_the_end(tmp_path: Path) -> None:
    path, lines = tmp_path / "state" / "fallback.json", {"run": {"p": {"answer": "1"}}}
    fallback = Fallback(path, lambda: lines)
    async with anyio.create_task_group() as group:
        group.start_soon(fallback.run)
        fallback.note()
        await eventually(path.exists)
        assert json.loads(path.read_bytes()) == {
            "version": 1,
            "runs": {"run": {"problems": {"p": {"answer": "1"}}}},
        }
        lines["run"]["p"]["answer"] = "2"
        fallback.note()
        group.cancel_scope.cancel()
    assert read_fallback(path) == {"run": {"p": {"answer": "2"}}}
    assert [each.name for each in path.parent.iterdir()] == ["fallback.json"]


async def test_a_disk_that_fails_costs_nothing_and_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("no folder")
    fallback = Fallback(folder / "fallback.json", lambda: {"run": {}})
    async with anyio.create_task_group() as group:
        group.start_soon(fallback.run)
        fallback.note()
        await eventually(lambda: bool(fallback.error))
        folder.unlink()
        await eventually(fallback.path.exists)
        assert not fallback.error or fallback.path.exists()
        group.cancel_scope.cancel()
    assert read_fallback(fallback.path) == {"run": {}}


def test_a_file_that_is_none_of_ours_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fallback.json"
    contents: list[Any] = [b"", b"[]", b'{"version": 2, "runs": {"a": {}}}', b'{"version": 1}']
    contents += [b'{"version": 1, "runs": 3}', b'{"version": 1, "runs": {"a": 1}}', b"\xff"]
    assert read_fallback(path) == {}
    for content in contents:
        replace_file(path, content)
        assert read_fallback(path) == {}
    replace_file(path, b'{"version": 1, "runs": {"r": {"problems": {"a": 7, "b": {"answer": 1}}}}}')
    assert read_fallback(path) == {"r": {"b": {"answer": 1}}}
    path.unlink()
    os.mkfifo(path)
    assert read_fallback(path) == {}
