"""Who judges solutions: the attempts' own model, or a further engine that the recipe names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import structlog

from client.schema import TokenCounts
from server.engine.base import EngineState
from server.engine.errors import EngineError
from server.engine.named import NamedEngine
from server.solve.judge import Judge
from server.solve.plan import SolvePlan
from server.solve.solution import Solution
from voting.requests import Compare, Judgment, Recheck, Verdict

log = structlog.get_logger(__name__)

#: Of the time for a comparison, the further engine's share: the rest is for the attempts' own.
VERIFIER_SHARE = 0.7


class Judging(Protocol):
    """Judges solutions of one solve; `session` names its requests."""

    @property
    def session(self) -> str:
        """The beginning of its sessions' names."""
        ...

    async def compare(
        self, request: Compare, solutions: dict[int, Solution], within_s: float = math.inf
    ) -> Judgment | None:
        """As `Judge.compare`."""
        ...

    async def recheck(self, request: Recheck, solutions: dict[int, Solution]) -> Verdict:
        """As `Judge.recheck`."""
        ...

    def told(self) -> str:
        """Return what the result says of who judged; empty where it goes without saying."""
        ...

    def spent(self) -> dict[str, TokenCounts]:
        """Return the tokens of judging, by engine; empty is the attempts' own."""
        ...


def open_judge(plan: SolvePlan, own: Judge, others: Mapping[str, NamedEngine]) -> Judging:
    """Return who judges by the plan's recipe; `own` is of the attempts' model."""
    if not plan.recipe.judge:
        return OwnJudge(own)
    by = others[plan.recipe.judge]
    further = Judge(plan, by.engine, by.dialect, by.vocabulary, own.session)
    return Verifier(by.name, further, own)


@dataclass(slots=True)
class OwnJudge:
    """The model that made the attempts."""

    judge: Judge

    @property
    def session(self) -> str:
        """The beginning of its sessions' names."""
        return self.judge.session

    async def compare(
        self, request: Compare, solutions: dict[int, Solution], within_s: float = math.inf
    ) -> Judgment | None:
        """As `Judge.compare`."""
        return await self.judge.compare(request, solutions, within_s)

    async def recheck(self, request: Recheck, solutions: dict[int, Solution]) -> Verdict:
        """As `Judge.recheck`."""
        return await self.judge.recheck(request, solutions)

    def told(self) -> str:
        """Return nothing."""
        return ""

    def spent(self) -> dict[str, TokenCounts]:
        """Return its tokens."""
        return {"": self.judge.counter.counts()}


@dataclass(slots=True)
class Verifier:
    """A further engine, `name`; while it is away, the attempts' own model judges."""

    name: str
    further: Judge
    own: Judge
    _judged: int = field(default=0, init=False)
    _missed: int = field(default=0, init=False)

    @property
    def session(self) -> str:
        """The beginning of its sessions' names."""
        return self.further.session

    async def compare(
        self, request: Compare, solutions: dict[int, Solution], within_s: float = math.inf
    ) -> Judgment | None:
        """As `Judge.compare`; a dead or slow verifier leaves the rest of the time to the other."""
        ends = anyio.current_time() + within_s
        if self._ready:
            try:
                with anyio.move_on_after(VERIFIER_SHARE * within_s):
                    share_s = VERIFIER_SHARE * within_s
                    judgment = await self.further.compare(request, solutions, share_s)
                    if judgment is not None or self._ready:
                        self._judged += 1
                        return judgment
            except EngineError as error:
                log.info("verify.unanswered", engine=self.name, error=str(error))
        self._missed += 1
        left_s = max(ends - anyio.current_time(), 0.0)
        return await self.own.compare(request, solutions, left_s)

    async def recheck(self, request: Recheck, solutions: dict[int, Solution]) -> Verdict:
        """As `Judge.recheck`."""
        if self._ready:
            try:
                verdict = await self.further.recheck(request, solutions)
            except EngineError as error:
                log.info("verify.unanswered", engine=self.name, error=str(error))
            else:
                self._judged += 1
                return verdict
        self._missed += 1
        return await self.own.recheck(request, solutions)

    def told(self) -> str:
        """Return who judged."""
        if not self._judged + self._missed:
            return ""
        if not self._missed:
            return f"judged by {self.name}"
        away = f"{self.name} was away for {self._missed} of {self._judged + self._missed} questions"
        return f"{away}, which the attempts' own model answered"

    def spent(self) -> dict[str, TokenCounts]:
        """Return the tokens of both."""
        return {"": self.own.counter.counts(), self.name: self.further.counter.counts()}

    @property
    def _ready(self) -> bool:
        return self.further.engine.status().state is EngineState.READY
