"""Which policies there are, by kind and name, and those of one solve together."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from voting.adaptive import DEFAULT_LEAD, AheadBy, ByEffort, TopUp
from voting.arguments import Arguments
from voting.cascade import DEFAULT_PLAUSIBLE, DEFAULT_SETTLED, Cascade
from voting.catalogue import Catalogue, Context, Entry, Policy
from voting.early_stop import (
    DEFAULT_LEAST_VOTES,
    DEFAULT_POSTERIOR,
    DEFAULT_SHARE,
    AgreeingAnswers,
    AnyOf,
    BetaPosterior,
    CannotBeOvertaken,
    EarlyStop,
    Never,
    StagedAgreement,
    VoteShare,
)
from voting.errors import PolicyNameError, VotingError
from voting.evidence_weights import (
    DEFAULT_CONFIDENCE_CAP,
    DEFAULT_DECIMAL,
    DEFAULT_ENTROPY_FLOOR,
    DEFAULT_FORCED,
    DEFAULT_HALF_TOKENS,
    DEFAULT_UNPRINTED,
    ByCodeAgreement,
    ByConfidence,
    ByEntropy,
    ByExactness,
    ByFinish,
    ByTokens,
    ExecutionFilter,
    Score,
)
from voting.launch import AllAtOnce, Launch, Staged
from voting.notation import Call
from voting.process_rewards import DEFAULT_MOST_ATTEMPTS, Aggregate, ProcessRewardVote
from voting.prune import (
    DEFAULT_KEEP_FRACTION,
    DEFAULT_WARM_UP,
    GroupConfidence,
    KeepAll,
    Prune,
)
from voting.rechecks import DEFAULT_EACH, DEFAULT_TRUST, RecheckVote, RerunVote
from voting.revision import DEFAULT_MOST_REVIEWS, NoReview, ReviewUntilStable, Revision
from voting.selectors import FirstBoxed, PluralityVote, Selector, WeightedVote
from voting.stages import Stage, doubling, proportioned, within
from voting.tournament import DEFAULT_MOST_LINES, Tournament
from voting.weights import (
    DEFAULT_FLOOR,
    ByEntry,
    ByToolErrors,
    Plain,
    Product,
    Weight,
    needs_scores,
)


def _confidence(score: Score) -> "Entry[Weight]":
    names = {
        Score.MEAN: ("mean_confidence", "the mean of all tokens"),
        Score.LOWEST_GROUP: ("lowest_group_confidence", "the lowest window"),
        Score.BOTTOM_TENTH: ("bottom_tenth_confidence", "the lowest tenth of all windows"),
        Score.TAIL: ("tail_confidence", "the last window"),
    }
    name, what = names[score]
    return Entry(
        f"{name}(cap={DEFAULT_CONFIDENCE_CAP:g})",
        f"in proportion to the confidence of the attempt's tokens: {what}",
        lambda given, _: ByConfidence(score, given.number("cap", DEFAULT_CONFIDENCE_CAP)),
    )


WEIGHTS: Catalogue[Weight] = Catalogue(
    "weight",
    (
        Entry("plain", "every vote weighs one", lambda *_: Plain()),
        Entry(
            f"tool_errors(floor={DEFAULT_FLOOR:g})",
            "less the more of the attempt's tool calls failed, down to the floor",
            lambda given, _: ByToolErrors(given.number("floor", DEFAULT_FLOOR)),
        ),
        Entry(
            f"tokens(half={DEFAULT_HALF_TOKENS})",
            "less the longer the attempt is, one half at so many tokens",
            lambda given, _: ByTokens(given.number("half", DEFAULT_HALF_TOKENS)),
        ),
        Entry(
            f"entropy(floor={DEFAULT_ENTROPY_FLOOR:g})",
            "inverse to the mean entropy of the attempt's tokens",
            lambda given, _: ByEntropy(given.number("floor", DEFAULT_ENTROPY_FLOOR)),
        ),
        Entry(
            "entries(1)",
            "what is given for the attempt's entry in the mix: entries(1, 1.1) with two of them",
            lambda given, context: ByEntry(given.numbers() or (1.0,), context.offset),
        ),
        Entry(
            "effort(tokens=1, calls=1)",
            "more the more tokens and tool calls the attempt has, to these powers",
            lambda given, _: ByEffort(given.number("tokens", 1.0), given.number("calls", 1.0)),
        ),
        *(_confidence(score) for score in Score),
        Entry(
            f"code_agreement(otherwise={DEFAULT_UNPRINTED:g})",
            "one if the attempt's code printed its answer, else less",
            lambda given, _: ByCodeAgreement(given.number("otherwise", DEFAULT_UNPRINTED)),
        ),
        Entry(
            "executed(otherwise=0)",
            "one if a cell of the attempt ran without an error, else none",
            lambda given, _: ExecutionFilter(given.number("otherwise", 0.0)),
        ),
        Entry(
            f"exact(otherwise={DEFAULT_DECIMAL:g})",
            "one if the answer has no decimal point, else less",
            lambda given, _: ByExactness(given.number("otherwise", DEFAULT_DECIMAL)),
        ),
        Entry(
            f"finished(otherwise={DEFAULT_FORCED:g})",
            "one if the attempt came to its own end, less if it was cut and made to answer",
            lambda given, _: ByFinish(given.number("otherwise", DEFAULT_FORCED)),
        ),
    ),
    "*",
    Product,
)


def _stages(given: Arguments, context: Context) -> tuple[Stage, ...]:
    stages = given.stages() or proportioned(context.attempts, context.agree)
    return within(stages, context.attempts)


EARLY_STOPS: Catalogue[EarlyStop] = Catalogue(
    "early stop",
    (
        Entry("none", "never: every attempt ends", lambda *_: Never()),
        Entry(
            "agree(needed=the solve's agree)",
            "at so many equal answers",
            lambda given, context: AgreeingAnswers(
                min(given.whole("needed", context.agree), context.attempts)
            ),
        ),
        Entry(
            "staged(4:3, 8:4, 16:6)",
            "at as many equal answers as the stage of the launched attempts asks",
            lambda given, context: StagedAgreement(_stages(given, context)),
        ),
        Entry(
            f"ahead(needed={DEFAULT_LEAD:g})",
            "when an answer of two votes or more is so many ahead of the next",
            lambda given, _: AheadBy(given.number("needed", DEFAULT_LEAD)),
        ),
        Entry(
            "cannot_be_overtaken(by=weight)",
            "when the attempts to come cannot change the leader, by weight or count",
            lambda given, _: CannotBeOvertaken(
                given.word("by", "weight", ("weight", "count")) == "weight"
            ),
        ),
        Entry(
            f"beta(threshold={DEFAULT_POSTERIOR:g})",
            "when the leader's Beta posterior of a majority reaches the threshold",
            lambda given, _: BetaPosterior(given.number("threshold", DEFAULT_POSTERIOR)),
        ),
        Entry(
            f"share(share={DEFAULT_SHARE:g}, least={DEFAULT_LEAST_VOTES})",
            "when the leader has such a share of at least so many votes",
            lambda given, _: VoteShare(
                given.number("share", DEFAULT_SHARE), given.whole("least", DEFAULT_LEAST_VOTES)
            ),
        ),
    ),
    "|",
    AnyOf,
)

LAUNCHES: Catalogue[Launch] = Catalogue(
    "launch",
    (
        Entry("all", "all attempts at once", lambda _, context: AllAtOnce(context.attempts)),
        Entry(
            "staged(4:3, 8:4, 16:6)",
            "few attempts, and more while the ballot is open; left out, in proportion to attempts",
            lambda given, context: Staged(_stages(given, context)),
        ),
        Entry(
            "doubling(first=4)",
            "so many attempts, and as many again as there are while the ballot is open",
            lambda given, context: Staged(
                within(doubling(given.whole("first", 4), context.attempts), context.attempts),
                waits=True,
            ),
        ),
        Entry(
            f"top_up(needed={DEFAULT_LEAD:g}, streams=8, spare=0)",
            "as many as it takes for an answer to be so many votes ahead, `streams` at a time",
            lambda given, _: TopUp(
                given.number("needed", DEFAULT_LEAD),
                given.whole("streams", 8),
                given.whole("spare", 0),
            ),
        ),
    ),
)

PRUNES: Catalogue[Prune] = Catalogue(
    "prune",
    (
        Entry("none", "no attempt is ended", lambda *_: KeepAll()),
        Entry(
            f"deepconf(keep_fraction={DEFAULT_KEEP_FRACTION:g}, warm_up={DEFAULT_WARM_UP})",
            "an attempt is ended when its confidence falls under the bar that the warm-up set",
            lambda given, _: GroupConfidence(
                given.number("keep_fraction", DEFAULT_KEEP_FRACTION),
                given.whole("warm_up", DEFAULT_WARM_UP),
            ),
        ),
    ),
)

REVISIONS: Catalogue[Revision] = Catalogue(
    "revision",
    (
        Entry("none", "answers stand as they come", lambda *_: NoReview()),
        Entry("once", "each attempt reviews its answer once", lambda *_: ReviewUntilStable(1)),
        Entry(
            f"until_stable(most={DEFAULT_MOST_REVIEWS})",
            "each attempt reviews its answer until that does not change",
            lambda given, _: ReviewUntilStable(given.whole("most", DEFAULT_MOST_REVIEWS)),
        ),
    ),
)


def _cascade(given: Arguments, context: Context) -> Selector:
    settled = given.named_number("settled", DEFAULT_SETTLED)
    plausible = given.named_number("plausible", DEFAULT_PLAUSIBLE)
    calls: tuple[Call, ...] = given.calls()
    if len(calls) < 2:
        raise PolicyNameError(
            f"a cascade of {len(calls)} selectors: must be at least 2; "
            "for example cascade(weighted, genselect)"
        )
    selector = SELECTORS.make_one(calls[-1], context)
    for call in reversed(calls[:-1]):
        selector = Cascade(SELECTORS.make_one(call, context), selector, settled, plausible)
    return selector


SELECTORS: Catalogue[Selector] = Catalogue(
    "selector",
    (
        Entry("majority", "the answer with the most votes", lambda *_: PluralityVote()),
        Entry("weighted", "the answer whose votes weigh most", lambda *_: WeightedVote()),
        Entry("first", "the answer of the first attempt to finish", lambda *_: FirstBoxed()),
        Entry(
            f"genselect(size=2, repeats=1, most={DEFAULT_MOST_LINES})",
            "a tournament: the model reads a solution for each answer, so many at once",
            lambda given, _: Tournament(
                given.whole("size", 2),
                given.whole("repeats", 1),
                given.whole("most", DEFAULT_MOST_LINES),
            ),
        ),
        Entry(
            "rerun",
            "the heaviest answer whose last program prints it again",
            lambda *_: RerunVote(),
        ),
        Entry(
            f"recheck(trust={DEFAULT_TRUST:g}, each={DEFAULT_EACH})",
            "the answer that votes and the model's yes or no speak for together",
            lambda given, _: RecheckVote(
                given.number("trust", DEFAULT_TRUST), given.whole("each", DEFAULT_EACH)
            ),
        ),
        Entry(
            f"process_reward(aggregate=last, most={DEFAULT_MOST_ATTEMPTS})",
            "the answer whose solutions a process reward model rates best",
            lambda given, _: ProcessRewardVote(
                Aggregate(given.word("aggregate", "last", tuple(each.value for each in Aggregate))),
                given.whole("most", DEFAULT_MOST_ATTEMPTS),
            ),
        ),
        Entry(
            f"cascade(weighted, genselect, settled={DEFAULT_SETTLED:g})",
            "the first of these that leaves the answer with more than such a share",
            _cascade,
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNames:
    """The policies of a solve as settings write them."""

    weight: str = "plain"
    selector: str = "majority"
    early_stop: str = "none"
    launch: str = "all"
    prune: str = "none"
    revision: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies of a solve."""

    weight: Weight
    selector: Selector
    early_stop: EarlyStop
    launch: Launch
    prune: Prune
    revision: Revision

    @property
    def needs_scores(self) -> bool:
        """Whether any looks at log-probabilities, so that the engine must give them."""
        return any(needs_scores(getattr(self, each.name)) for each in fields(self))

    @property
    def asks(self) -> bool:
        """Whether the selector may ask for work, so that time should be kept for it."""
        return not isinstance(self.selector, PluralityVote | WeightedVote | FirstBoxed)

    @property
    def rates(self) -> bool:
        """Whether the selector may ask a process reward model."""
        return _rates(self.selector)


def _rates(selector: Selector) -> bool:
    if isinstance(selector, Cascade):
        return _rates(selector.first) or _rates(selector.then)
    return isinstance(selector, ProcessRewardVote)


#: The catalogue of each kind, by the field of `PolicyNames`.
CATALOGUES: Mapping[str, Catalogue[Any]] = MappingProxyType(
    {
        "weight": WEIGHTS,
        "selector": SELECTORS,
        "early_stop": EARLY_STOPS,
        "launch": LAUNCHES,
        "prune": PRUNES,
        "revision": REVISIONS,
    }
)


def make_policies(names: PolicyNames, context: Context) -> Policies:
    """Return the policies of these names.

    Raises:
        PolicyNameError: a text is malformed, names what there is not, or has an argument out of its
            range; the error says of which kind.
    """

    def made(catalogue: Catalogue[Policy], kind: str) -> Policy:
        try:
            return catalogue.make(getattr(names, kind), context)
        except VotingError as error:
            raise PolicyNameError(f"{kind}: {error}", kind) from None

    return Policies(
        weight=made(WEIGHTS, "weight"),
        selector=made(SELECTORS, "selector"),
        early_stop=made(EARLY_STOPS, "early_stop"),
        launch=made(LAUNCHES, "launch"),
        prune=made(PRUNES, "prune"),
        revision=made(REVISIONS, "revision"),
    )
