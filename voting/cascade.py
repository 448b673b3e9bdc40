"""Spends a dear selector only where a cheap one leaves the ballot contested."""

from dataclasses import dataclass, replace

from voting.ballot import Ballot
from voting.errors import PolicyError
from voting.selectors import Ask, Selection, SelectionReason, SelectionState, Selector

#: A majority: an answer with over half of what was cast is right far more often than not.
DEFAULT_SETTLED = 0.5
#: Answers with less than this share of the leader's weight are not worth a look.
DEFAULT_PLAUSIBLE = 0.2

_CLEAR = frozenset(
    {SelectionReason.NO_ATTEMPTS, SelectionReason.ALL_FAILED, SelectionReason.UNANIMOUS}
)


@dataclass(frozen=True, slots=True)
class Cascade:
    """What `first` chooses if that is settled, else what `then` chooses of the plausible answers.

    It is settled where the answer's share is over `settled`, or there is only one. Answers with
    under `plausible` of the leader's weight do not reach `then`. Cascades nest.

    Raises:
        PolicyError: `settled` or `plausible` is not from 0 to 1.
    """

    first: Selector
    then: Selector
    settled: float = DEFAULT_SETTLED
    plausible: float = DEFAULT_PLAUSIBLE

    def __post_init__(self) -> None:
        if not (0 <= self.settled <= 1 and 0 <= self.plausible <= 1):
            raise PolicyError(
                f"cascade settled at {self.settled}, plausible from {self.plausible}: must be "
                "shares from 0 to 1; leave them out for ours"
            )

    def decide(self, state: SelectionState) -> Selection | Ask:
        """Return the answer, or what either selector must know."""
        choice = self.first.decide(state)
        if isinstance(choice, Ask):
            return choice
        if choice.reason in _CLEAR or choice.share > self.settled:
            return choice
        rest = self._plausible(state.ballot)
        if len(rest.lines) < 2:
            return choice
        then = self.then.decide(replace(state, ballot=rest))
        if isinstance(then, Ask):
            return Ask(then.requests, choice)
        return then

    def _plausible(self, ballot: Ballot) -> Ballot:
        least = self.plausible * ballot.lines[0].weight
        return Ballot(tuple(line for line in ballot.lines if line.weight >= least))
