"""Answers what selectors and ballots ask, with the real engine, kernels and workers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import anyio
import structlog

from client.schema import AttemptRated
from sandbox.errors import SandboxError
from sandbox.pool import KernelPool
from sandbox.types import CellStatus
from server.engine.errors import EngineError
from server.equivalence.pool import EquivalencePool
from server.rewards.served import RewardModel
from server.solve.plan import SolvePlan
from server.solve.solution import Solution
from server.solve.verifying import Judging
from voting.printed import printed
from voting.requests import (
    Compare,
    Recheck,
    Replies,
    Reply,
    Request,
    Reran,
    Rerun,
    Same,
    Sameness,
    ScoreSteps,
    StepScores,
)
from voting.types import AttemptOutcome

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers requests about the attempts of one solve; `at_once` of them at the same time.

    What fails is answered by None; only cancellation passes through. `emit` is told, as
    `EventLog.emit` is, what a process reward model said.
    """

    plan: SolvePlan
    judge: Judging
    pool: KernelPool
    solutions: dict[int, Solution]
    outcomes: dict[int, AttemptOutcome]
    equivalence: EquivalencePool | None = None
    rewards: RewardModel | None = None
    emit: Callable[..., None] | None = None
    at_once: int = 4

    async def answer(self, requests: Sequence[Request], within_s: float) -> Replies:
        """Return a reply for each request; those that take longer than `within_s` have none."""
        replies: dict[Request, Reply | None] = dict.fromkeys(requests)
        limit = anyio.CapacityLimiter(max(self.at_once, 1))
        each_s = within_s / max(1, -(-len(requests) // max(self.at_once, 1)))
        with anyio.move_on_after(within_s):
            async with anyio.create_task_group() as group:
                for request in requests:
                    group.start_soon(partial(self._answer_one, request, replies, limit, each_s))
        return replies

    async def _answer_one(
        self,
        request: Request,
        replies: dict[Request, Reply | None],
        limit: anyio.CapacityLimiter,
        each_s: float,
    ) -> None:
        async with limit:
            try:
                replies[request] = await self._reply(request, each_s)
            except (EngineError, SandboxError) as error:
                log.info("select.unanswered", request=repr(request)[:200], error=str(error))
            except Exception:
                # A defect costs one reply, never the solve.
                log.exception("select.failed", request=repr(request)[:200])

    async def _reply(self, request: Request, within_s: float) -> Reply | None:
        match request:
            case Compare():
                return await self.judge.compare(request, self.solutions, within_s)
            case Recheck():
                return await self.judge.recheck(request, self.solutions)
            case Rerun():
                return await self._rerun(request)
            case ScoreSteps():
                return await self._rate(request)
            case Same():
                return await self._same(request)

    async def _rerun(self, request: Rerun) -> Reran | None:
        """Run the attempt's last program by itself, under the seed that the attempt had."""
        answer = self.outcomes[request.attempt].answer
        program = self.solutions[request.attempt].program
        if answer is None or not program:
            return None
        seed = self.plan.attempt_seed(request.attempt)
        owner = f"{self.judge.session}/rerun-{request.attempt}"
        async with self.pool.lease(seed=seed, owner=owner) as kernel:
            result = await kernel.execute(program, timeout=self.plan.cell_timeout_s)
        return Reran(result.status is CellStatus.OK and printed(answer, [result.output]))

    async def _rate(self, request: ScoreSteps) -> StepScores | None:
        if self.rewards is None:
            return None
        text = self.solutions[request.attempt].text
        scores = await self.rewards.score(self.plan.problem, text)
        if self.emit is not None:
            steps = [round(score, 6) for score in scores.scores]
            self.emit(AttemptRated, attempt=request.attempt, steps=steps)
        return scores

    async def _same(self, request: Same) -> Sameness | None:
        if self.equivalence is None:
            return None
        ones = [self.plan.rules.as_written(each) for each in (request.one, request.other)]
        equal = await self.equivalence.are_equal(*ones)
        return None if equal is None else Sameness(equal)
