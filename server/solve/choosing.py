"""Chooses the answer of one solve from its ballot, by the selector and what that asks for."""

from dataclasses import dataclass

import anyio
import structlog

from server.solve.answering import Answering
from server.solve.attempt import MARGIN_S
from server.solve.frame import TimeFrame
from server.solve.plan import SolvePlan
from server.solve.tally import Tally
from voting.ballot import Ballot
from voting.early_stop import StopDecision
from voting.selecting import rounds, select
from voting.selectors import PluralityVote, Selection, SelectionReason

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Choosing:
    """Chooses; `decision` is the early stop's, once there is one."""

    solve_id: str
    plan: SolvePlan
    tally: Tally
    answering: Answering
    frame: TimeFrame
    decision: StopDecision | None = None
    _selection: Selection | None = None

    async def choose(self) -> None:
        """Run the selector, answering what it asks while there is time."""
        ballot = self.tally.ballot()
        self._selection = self._agreed(ballot)
        if self._selection is not None:
            return
        try:
            self._selection = await self._ask_selector(ballot)
        except Exception:
            # Some answer is better than none.
            log.exception("solve.selector_failed", solve_id=self.solve_id)
            self._selection = select(PluralityVote(), ballot, self.tally.ended)

    def selection(self, ballot: Ballot) -> Selection:
        """Return the selection made, or one that asks for nothing where that failed."""
        if self._selection is not None:
            return self._selection
        agreed = self._agreed(ballot)
        if agreed is not None:
            return agreed
        try:
            return select(self.plan.policies.selector, ballot, self.tally.ended)
        except Exception:
            log.exception("solve.selector_failed", solve_id=self.solve_id)
            return select(PluralityVote(), ballot, self.tally.ended)

    async def _ask_selector(self, ballot: Ballot) -> Selection:
        def left_s() -> float:
            return max(self.frame.ends - MARGIN_S - anyio.current_time(), 0.0)

        asking = rounds(self.plan.policies.selector, ballot, self.tally.ended, left_s)
        try:
            requests = next(asking)
            while True:
                requests = asking.send(await self.answering.answer(requests, left_s()))
        except StopIteration as end:
            selection: Selection = end.value
            return selection

    def _agreed(self, ballot: Ballot) -> Selection | None:
        """Return the answer for which the rest was stopped, whatever the weights say."""
        if self.decision is None or self.decision.answer is None:
            return None
        key = self.tally.classes.of(self.decision.answer).key
        line = next(line for line in ballot.lines if line.answer.key == key)
        votes, total = float(line.count), float(ballot.count)
        return Selection(line.answer, SelectionReason.AGREED, votes, total)
