"""The runs of a server: opened, found again after a restart, asked, finished."""

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

import anyio.to_thread
import structlog

from client.schema import (
    Event,
    RunAnswer,
    RunFinish,
    RunRequest,
    SolveFinished,
    SolveRequest,
)
from server.journal.journal import Journal
from server.journal.runs import RUNS_LISTED, AnswerRow
from server.runs.archive import RunArchive
from server.runs.clock import Clocks, RunClock, SystemClocks
from server.runs.errors import FinishedRun, UnknownRun
from server.runs.evidence import Evidence, surer
from server.runs.fallback import Lines
from server.runs.listing import Place, RunPage, merged
from server.runs.options import NO_BUDGET, require_budget, with_options
from server.runs.pace import RunPace, RunView
from server.runs.run import Entry, Run
from server.runs.stored import StoredRun, answered
from server.sections.runs import RunsSettings
from server.sections.solve import SolveSettings
from server.solve.past import PastSolve
from server.solve.service import SolveHandle, SolveService, SolveTerms
from voting.budget import Budget
from voting.budgets import make_budget
from voting.catalogue import Context
from voting.paths import RatedPath

log = structlog.get_logger(__name__)

#: A problem that has less than this is answered at once: no attempt could say anything.
LEAST_SOLVE_S = 0.5
#: The margin at a run's end is at most this share of its time.
MOST_MARGIN = 0.05
#: The longest time limit that a solve may be told.
MOST_SOLVE_S = 86_400.0


class RunRegistry:
    """All runs that are open, and those finished that somebody asked for.

    `changed` is called whenever the best answer to a problem may be another one.
    """

    def __init__(
        self,
        service: SolveService,
        journal: Journal | None = None,
        clocks: Clocks | None = None,
        *,
        settings: RunsSettings | None = None,
        solve: SolveSettings | None = None,
        paths: tuple[RatedPath, ...] = (),
    ) -> None:
        self._service = service
        self._clocks = clocks or SystemClocks()
        self._archive = RunArchive(journal, self._clocks)
        self._settings = settings or RunsSettings()
        self._solve = solve or SolveSettings()
        self._paths = paths
        self._runs: dict[str, Run] = {}
        self.earlier: Lines = {}
        """What `fallback.json` said of problems when the server began, and of solves since then
        in whose place others were begun. Of no run that is known to be finished."""
        self.changed: Callable[[], None] = lambda: None

    def keep(self, stored: Iterable[StoredRun]) -> None:
        """Take up the open runs of the journal; until then it is not read for others."""
        self._archive.is_read = True
        for each in stored:
            if each.row.id not in self._runs:
                self._keep(each)
            else:
                # Opened again by its caller, while the journal was not to be had.
                each.fill(self._runs[each.row.id])
        self.changed()

    def forget(self, finished: Iterable[str]) -> None:
        """Drop what `fallback.json` said of runs that are over, by the journal."""
        for run_id in finished:
            self.earlier.pop(run_id, None)

    def opened(self) -> list[Run]:
        """Return the runs that take problems."""
        return [run for run in self._runs.values() if run.is_open]

    async def create(self, request: RunRequest) -> tuple[Run, bool]:
        """Open a run, or return the one of that id as it is; and whether it is new.

        Raises:
            PolicyNameError, PolicyError: there is no such budget, or no such policy as its options
                name.
            UnknownStrategyError: there is no such strategy.
        """
        if request.id is not None:
            found = await self._find(request.id)
            if found is not None:
                return found, False
        # Later it would be told to whoever asks for a problem, of fields that he has not named.
        self._service.check(with_options(SolveRequest(problem="?"), request))
        budget = request.budget or self._settings.budget
        require_budget(budget)
        made = await self._budget(request, budget)
        if request.id is not None and request.id in self._runs:
            return self._runs[request.id], False
        run = Run(
            id=request.id or f"run-{secrets.token_hex(6)}",
            request=request,
            budget=budget,
            created=self._clocks.wall_s(),
            clock=RunClock.start(self._clocks, request.elapsed_s),
            policy=made,
        )
        self._runs[run.id] = run
        await self._write(run)
        log.info("run.opened", run=run.id, problems=request.problems, limit_s=request.limit_s)
        return run, True

    async def get(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            UnknownRun: there is none of that id.
        """
        run = await self._find(run_id)
        if run is None:
            raise UnknownRun(
                f"run {run_id[:64]!r}: there is none of that id; open one with POST /v1/runs"
            )
        return run

    async def listing(self, limit: int = RUNS_LISTED, before: Place | None = None) -> RunPage:
        """Return a page of runs, the newest first, without their problems."""
        stored = await self._archive.listing(self._runs, limit, before)
        runs = self._runs.values()
        at_hand = [run for run in runs if before is None or run.place < before]
        return merged([(run.place, run.wire(solves=False)) for run in at_hand], stored, limit)

    async def finish(self, run_id: str, finish: RunFinish, *, cancel: bool = False) -> Run:
        """Take no more problems; with `cancel` end those that run. Finishing again changes nothing.

        Raises:
            UnknownRun: there is none of that id.
        """
        run = await self.get(run_id)
        if run.is_open:
            run.ended_s = run.clock.elapsed_s()
            run.finished, run.reason = self._clocks.wall_s(), finish.reason
            await self._write(run)
            log.info("run.finished", run=run.id, done=run.done, reason=run.reason)
        if cancel:
            for entry in list(run.live()):
                if entry.handle is not None:
                    entry.handle.cancel()
        return run

    async def answered(self, run_id: str, told: RunAnswer) -> tuple[AnswerRow, bool]:
        """Keep what a run's caller answered; return what stands, and whether it is new.

        The first answer told of a problem stands, in a run that is finished too.

        Raises:
            UnknownRun: there is none of that id.
        """
        run = await self.get(run_id)
        standing = run.answers.get(told.problem_id)
        if standing is not None:
            return standing, False
        row = AnswerRow(
            run_id=run.id,
            problem_id=told.problem_id,
            told=self._clocks.wall_s(),
            answer=told.answer,
            rung=told.rung.value,
            solve_id=told.solve,
            seconds=told.seconds,
            notes=json.dumps(told.notes),
        )
        run.answers[row.problem_id] = row
        await self._archive.write(run, row)
        return row, True

    async def submit(self, request: SolveRequest) -> SolveHandle:
        """Solve a problem of a run, join the solve that is at it, or answer from its result.

        Raises:
            UnknownRun: there is no such run.
            FinishedRun: the run is finished, and has no result of this problem.
            AdmissionError, ShuttingDownError, UnknownStrategyError: as for `SolveService.submit`.
        """
        run = await self.get(request.run or "")
        if run.policy is None and run.budget != NO_BUDGET:
            run.policy = await self._budget(run.request, run.budget)
        name = request.problem_id or ""
        request = with_options(request, run.request)
        entry = run.entries.get(name)
        if entry is not None and entry.handle is not None and entry.live:
            return entry.handle
        if entry is not None and entry.result is not None and entry.answers(request):
            result = entry.result.model_copy(update={"replayed": True})
            return self._service.answered(request, result)
        if not run.is_open:
            raise FinishedRun(
                f"run {run.id}: it is finished ({run.reason}) and has no answer to "
                f"{name[:80]!r}; open another run"
            )
        return self._start(run, name, request, run.policy)

    def resume(self, past: PastSolve, request: SolveRequest) -> bool:
        """Go on with a problem that a dead server was at; False: it cannot be.

        Raises:
            UnknownStrategyError, PolicyNameError: this server knows fewer than that one.
        """
        run = self._runs.get(request.run or "")
        name = request.problem_id or ""
        if run is None or not run.is_open or past.requested is None:
            return False
        if name in run.entries and not (request.again and run.entries[name].unanswered):
            return False
        if not self._service.same_model(past.requested.versions):
            return False
        if run.policy is None:
            run.policy = self._made(run.request, run.budget)
        structlog.contextvars.bind_contextvars(run=run.id)
        entry = Entry(name, Evidence(request.answer_kind))
        if self._left_s(run) < LEAST_SOLVE_S:
            return False
        # Where nothing is given out, the time without a server does not count.
        away_s = run.away_s(past) if run.policy is not None else 0.0
        gone_s = past.elapsed_s(past.at + away_s)
        terms = self._terms(run, entry, run.policy, request.time_limit_s, gone_s)
        terms = replace(terms, away_s=away_s)
        if entry.pace is not None:
            entry.pace.start_s, entry.pace.marks = past.run_s, list(past.marks)
        for event in past.events:
            entry.observe(event)
            entry.evidence.observe(event)
        if entry.started is not None:
            entry.started -= gone_s
        self._enter(run, entry, self._service.resume(past, request, terms))
        log.info("solve.resumed", run=run.id, problem_id=name, solve_id=past.solve_id)
        self.changed()
        return True

    def close_interrupted(
        self,
        problem_id: str,
        event: SolveFinished,
        run_id: str | None,
        before: Iterable[Event] = (),
    ) -> None:
        """Keep what a solve came to that a dead server was at; `before` is what it told."""
        run = self._runs.get(run_id or "")
        if run is None or not problem_id:
            return
        standing = run.entries.get(problem_id)
        if standing is None or standing.unanswered:
            self._put(run, answered(problem_id, event, before))
            self.changed()

    def lines(self) -> Lines:
        """Return what is known of every problem of the runs at hand, and was of other open ones."""
        lines = {run_id: dict(told) for run_id, told in self.earlier.items()}
        for run in self._runs.values():
            known = lines.setdefault(run.id, {})
            for name, entry in run.entries.items():
                known[name] = surer(entry.evidence.line(), known.get(name))
        return lines

    def _start(
        self, run: Run, name: str, request: SolveRequest, budget: Budget | None
    ) -> SolveHandle:
        entry = Entry(name, Evidence(request.answer_kind))
        terms = self._terms(run, entry, budget, request.time_limit_s)
        if terms.limit_s is not None and terms.limit_s < LEAST_SOLVE_S:
            detail = f"the run's time of {run.request.limit_s:g} s is over"
            handle = self._service.out_of_time(request, detail, terms)
        else:
            handle = self._service.submit(request, terms)
        self._enter(run, entry, handle)
        # Again with each problem: a journal that had to be begun anew has it then.
        self._archive.put(run)
        return handle

    def _enter(self, run: Run, entry: Entry, handle: SolveHandle) -> None:
        entry.solve_id = entry.evidence.solve_id = handle.solve_id
        if entry.result is None:
            entry.handle = handle
        self._put(run, entry)

    def _put(self, run: Run, entry: Entry) -> None:
        """Have an entry be that of its problem; the answer of the one before it is not lost."""
        name = entry.problem_id
        if (before := run.entries.pop(name, None)) is not None:
            told = self.earlier.setdefault(run.id, {})
            told[name] = surer(before.evidence.line(), told.get(name))
        run.entries[name] = entry

    def _limit_s(self, run: Run) -> float:
        """Return how long its problems may take together: all its time but for the margin."""
        limit_s = run.request.limit_s
        return limit_s - min(self._settings.margin_s, MOST_MARGIN * limit_s)

    def _left_s(self, run: Run) -> float:
        return max(self._limit_s(run) - run.clock.elapsed_s(), 0.0)

    def _terms(
        self,
        run: Run,
        entry: Entry,
        budget: Budget | None,
        asked_s: float | None,
        gone_s: float = 0.0,
    ) -> SolveTerms:
        """Return what holds for a problem of a run: its clock, its budget, and who looks on.

        Its limit counts from the problem's own start, which is `gone_s` ago where it is resumed.
        """
        if budget is not None:
            view = RunView(
                elapsed_s=run.clock.elapsed_s,
                limit_s=self._limit_s(run),
                problems_left=run.rounds_left,
                history=lambda: run.history,
            )
            entry.pace = RunPace(view, budget, asked_s)
        else:
            asked_s = asked_s or self._solve.time_limit_s

        def observe(event: Event) -> None:
            try:
                entry.observe(event)
                if entry.result is not None and entry.pace is not None:
                    run.note_path(entry)
                if entry.evidence.observe(event):
                    self.changed()
            except Exception:
                # Those who look on must not end a solve.
                log.exception("run.unobserved", run=run.id, problem_id=entry.problem_id)

        most_s = gone_s + self._left_s(run)
        limit_s = min(most_s, asked_s or most_s, MOST_SOLVE_S)
        return SolveTerms((observe,), entry.pace, limit_s)

    async def _budget(self, request: RunRequest, name: str) -> Budget | None:
        """Return a run's budget, made in a thread: one that learns takes some time."""
        return await anyio.to_thread.run_sync(self._made, request, name)

    def _made(self, request: RunRequest, name: str) -> Budget | None:
        if name == NO_BUDGET:
            return None
        attempts = request.attempts or self._solve.attempts
        agree = min(request.agree or self._solve.agree, attempts)
        return make_budget(name, Context(attempts, agree, self._paths))

    async def _find(self, run_id: str) -> Run | None:
        run = self._runs.get(run_id)
        if run is None:
            stored = await self._archive.load(run_id)
            # Meanwhile somebody else may have asked.
            if stored is not None and run_id not in self._runs:
                self._keep(stored)
            run = self._runs.get(run_id)
        return run

    def _keep(self, stored: StoredRun) -> None:
        run = self._archive.run(stored)
        if run is not None:
            self._runs[run.id] = run

    async def _write(self, run: Run) -> None:
        self.changed()
        await self._archive.write(run)
