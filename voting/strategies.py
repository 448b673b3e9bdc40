"""Strategies by name: which policies a solve runs under."""

from dataclasses import dataclass
from types import MappingProxyType

from voting.early_stop import AgreeingAnswers, EarlyStop, Never
from voting.errors import UnknownStrategyError
from voting.selectors import FirstBoxed, PluralityVote, Selector, WeightedVote
from voting.weights import ByToolErrors, Plain, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a solve decides.

    ``tools`` is whether attempts may call tools; ``greedy`` whether they sample at temperature 0;
    ``attempts`` and ``agreement`` override the solve's number of attempts and of equal answers that
    stop it, where they are not None; ``stops_early`` is whether agreement stops it at all.
    """

    name: str
    description: str
    tools: bool
    weight: Weight
    selector: Selector
    greedy: bool = False
    attempts: int | None = None
    stops_early: bool = False
    agreement: int | None = None

    def early_stop(self, agreement: int) -> EarlyStop:
        """Return the policy that stops the solve, at `agreement` equal answers by default.

        Raises:
            PolicyError: the strategy stops early, and at less than one answer.
        """
        if not self.stops_early:
            return Never()
        return AgreeingAnswers(agreement if self.agreement is None else self.agreement)


STRATEGIES = MappingProxyType(
    {
        each.name: each
        for each in (
            Strategy(
                name="greedy",
                description="one attempt at temperature 0, without tools",
                tools=False,
                weight=Plain(),
                selector=FirstBoxed(),
                greedy=True,
                attempts=1,
            ),
            Strategy(
                name="first_boxed",
                description="attempts with tools; the first to finish with an answer decides",
                tools=True,
                weight=Plain(),
                selector=FirstBoxed(),
                stops_early=True,
                agreement=1,
            ),
            Strategy(
                name="majority_vote",
                description="attempts without tools; the most frequent answer wins",
                tools=False,
                weight=Plain(),
                selector=PluralityVote(),
            ),
            Strategy(
                name="weighted_vote",
                description="attempts with tools; votes are weighed, and every attempt ends",
                tools=True,
                weight=ByToolErrors(),
                selector=WeightedVote(),
            ),
            Strategy(
                name="tir",
                description="tool-integrated reasoning: votes are weighed, agreement stops it",
                tools=True,
                weight=ByToolErrors(),
                selector=WeightedVote(),
                stops_early=True,
            ),
        )
    }
)


def strategy(name: str) -> Strategy:
    """Return the strategy of a name.

    Raises:
        UnknownStrategyError: there is none.
    """
    try:
        return STRATEGIES[name]
    except KeyError:
        raise UnknownStrategyError(
            f"strategy {name[:40]!r}: must be one of {', '.join(STRATEGIES)}; choose one of these"
        ) from None
