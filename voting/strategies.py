"""Strategies by name: which policies a solve runs under."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from voting.errors import UnknownStrategyError
from voting.policies import PolicyNames

#: What stands for the strategy's own policy in settings.
AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a solve decides.

    ``tools`` is whether attempts may call tools; ``greedy`` whether they sample at temperature 0;
    ``attempts`` overrides the solve's number of attempts where it is not None. ``policies`` are its
    policies where settings and request do not name others.
    """

    name: str
    description: str
    tools: bool
    policies: PolicyNames
    greedy: bool = False
    attempts: int | None = None

    def named(self, others: Mapping[str, str | None]) -> PolicyNames:
        """Return the strategy's policies, with those that are named by kind in their place.

        `auto` and None leave the strategy's own. A staged launch brings its own early stop along,
        where no other is named and the strategy has one.
        """
        given = {kind: text for kind, text in others.items() if text not in (None, "", AUTO)}
        names = replace(self.policies, **given)
        brings = names.launch.partition("(")[0].strip() == "staged"
        if brings and "early_stop" not in given and self.policies.early_stop == "agree":
            names = replace(names, early_stop=names.launch)
        return names


STRATEGIES = MappingProxyType(
    {
        each.name: each
        for each in (
            Strategy(
                name="greedy",
                description="one attempt at temperature 0, without tools",
                tools=False,
                policies=PolicyNames(selector="first"),
                greedy=True,
                attempts=1,
            ),
            Strategy(
                name="first_boxed",
                description="attempts with tools; the first to finish with an answer decides",
                tools=True,
                policies=PolicyNames(selector="first", early_stop="agree(1)"),
            ),
            Strategy(
                name="majority_vote",
                description="attempts without tools; the most frequent answer wins",
                tools=False,
                policies=PolicyNames(selector="majority"),
            ),
            Strategy(
                name="weighted_vote",
                description="attempts with tools; votes are weighed, and every attempt ends",
                tools=True,
                policies=PolicyNames(weight="tool_errors*code_agreement", selector="weighted"),
            ),
            Strategy(
                name="tir",
                description="tool-integrated reasoning: votes are weighed, agreement stops it",
                tools=True,
                policies=PolicyNames(
                    weight="tool_errors*code_agreement", selector="weighted", early_stop="agree"
                ),
            ),
            Strategy(
                name="genselect",
                description="as tir; where no answer has a majority, the model itself compares",
                tools=True,
                policies=PolicyNames(
                    weight="tool_errors*code_agreement",
                    selector="cascade(weighted, genselect)",
                    early_stop="agree",
                ),
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
