"""Runs that the registry finds in the journal, and what it reckons of them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from structlog.testing import capture_logs

from client.schema import AnswerRung, RunAnswer, RunRequest
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.journal.runs import RunRow
from server.runs.listing import Place
from server.runs.opening import open_runs
from server.runs.registry import RunRegistry
from server.settings import Settings
from server.solve.service import SolveService
from tests.server.journal.stories import options

SERVICE = cast("SolveService", SimpleNamespace(check=lambda _: None))
RUN = RunRow(
    id="sound", created=1_000.0, name="two", problems=2, limit_s=600.0, budget="none",
    request='{"problems": 2, "limit_s": 600}', elapsed_s=0.0, boot="b", boot_s=5.0, wall=1_000.0,
)  # fmt: skip


async def test_a_damaged_run_keeps_no_server_from_starting_and_can_be_opened_anew(
    tmp_path: Path,
) -> None:
    cut = replace(RUN, id="cut", request=RUN.request[:-3])
    other = replace(RUN, id="other", elapsed_s=cast("float", "soon"))
    async with Journal(options(tmp_path)) as journal:
        for row in (cut, RUN, other):
            journal.put_run(row)
    with capture_logs() as logs:
        async with (
            Journal(options(tmp_path)) as journal,
            open_runs(Settings(), SERVICE, journal) as runs,
        ):
            assert [run.id for run in runs.opened()] == ["sound"]
            assert [wire.id for wire in (await runs.listing()).runs] == ["sound"]
            run, new = await runs.create(
                RunRequest(id="cut", problems=7, limit_s=60, budget="none")
            )
            assert (new, run.request.problems) == (True, 7)
    assert {line["run"] for line in logs if line["event"] == "run.unreadable"} == {"cut", "other"}
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        kept = reader.run("cut")
    assert kept is not None
    assert kept.problems == 7


async def test_the_list_goes_on_to_the_oldest_run_past_those_that_are_damaged(
    tmp_path: Path,
) -> None:
    async with Journal(options(tmp_path)) as journal:
        for number in range(7):
            finished = None if number == 2 else 2_000.0
            row = replace(RUN, id=f"run-{number}", created=1_000.0 + number // 2, finished=finished)
            journal.put_run(replace(row, request="{") if number in (5, 6) else row)
    async with (
        Journal(options(tmp_path)) as journal,
        open_runs(Settings(), SERVICE, journal) as runs,
    ):
        pages: list[list[str]] = []
        before: Place | None = None
        while not pages or before is not None:
            page = await runs.listing(2, before)
            pages.append([wire.id for wire in page.runs])
            before = page.next
    assert pages == [[], ["run-4", "run-3"], ["run-2", "run-1"], ["run-0"]]


async def test_problems_that_were_answered_without_a_solve_leave_their_time_to_the_others() -> None:
    runs = RunRegistry(SERVICE)
    run, _ = await runs.create(RunRequest(problems=5, limit_s=600, budget="none"))
    for problem_id in ("a", "b"):
        told = RunAnswer(problem_id=problem_id, answer="0", rung=AnswerRung.DEFAULT)
        await runs.answered(run.id, told)
    assert run.rounds_left() == 3
