import math

import pytest

from tests.voting.outcomes import outcome
from voting.errors import OutcomeError, PolicyError
from voting.prune import GroupConfidence, KeepAll, PruneReason
from voting.scores import TokenScores
from voting.types import AttemptOutcome, AttemptProgress


def ended(*lowest: float | None, finished: bool = True) -> list[AttemptOutcome]:
    return [
        outcome(
            attempt,
            5,
            finished=finished,
            seconds=attempt,
            scores=None if score is None else TokenScores(tokens=9, lowest_group=score),
        )
        for attempt, score in enumerate(lowest)
    ]


def running(group: float | None) -> AttemptProgress:
    return AttemptProgress(attempt=99, tokens=10, group_confidence=group)


@pytest.mark.parametrize(
    ("keep_fraction", "bar"), [(1.0, 1.0), (0.9, 1.0), (0.75, 2.0), (0.5, 3.0), (0.1, 4.0)]
)
def test_the_bar_is_what_the_kept_fraction_of_the_warm_up_passes(
    keep_fraction: float, bar: float
) -> None:
    policy = GroupConfidence(keep_fraction, warm_up=4)
    warm_up = ended(3.0, 1.0, 4.0, 2.0)
    assert policy.bar(warm_up) == bar
    assert policy.decide(running(bar - 0.01), warm_up).reason is PruneReason.NOT_CONFIDENT
    assert policy.decide(running(bar), warm_up).reason is PruneReason.CONFIDENT
    assert sum(lowest >= bar for lowest in (3.0, 1.0, 4.0, 2.0)) >= keep_fraction * 4


@pytest.mark.parametrize(("keep_fraction", "warm_up"), [(0.07, 100), (0.28, 25), (0.5, 8)])
def test_a_fraction_in_decimals_keeps_no_more_than_it_says(
    keep_fraction: float, warm_up: int
) -> None:
    # 0.07 * 100 is a little more than 7 in floats.
    lowest = [float(score) for score in range(warm_up, 0, -1)]
    bar = GroupConfidence(keep_fraction, warm_up).bar(ended(*lowest))
    assert sum(score >= (bar or 0.0) for score in lowest) == round(keep_fraction * warm_up)


def test_only_the_first_whole_attempts_set_the_bar() -> None:
    policy = GroupConfidence(1.0, warm_up=2)
    assert policy.bar(list(reversed(ended(3.0, 5.0, 1.0)))) == 3.0
    assert policy.bar(ended(3.0, 5.0, finished=False)) is None
    assert policy.bar(ended(None, 3.0)) is None


@pytest.mark.parametrize(
    ("policy", "group", "reason"),
    [
        (GroupConfidence(warm_up=3), 0.1, PruneReason.WARMING_UP),
        (GroupConfidence(warm_up=2), None, PruneReason.NO_SCORE),
        (KeepAll(), 0.0, PruneReason.NEVER),
    ],
)
def test_otherwise_the_attempt_goes_on(
    policy: GroupConfidence | KeepAll, group: float | None, reason: PruneReason
) -> None:
    decision = policy.decide(running(group), ended(5.0, 6.0))
    assert (decision.end, decision.reason) == (False, reason)


@pytest.mark.parametrize("keep_fraction", [0.0, -1.0, 1.1, math.nan])
def test_a_fraction_that_keeps_none_or_too_many_is_refused(keep_fraction: float) -> None:
    with pytest.raises(PolicyError, match="must be above 0 and at most 1"):
        GroupConfidence(keep_fraction)


@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_impossible_progress_is_refused(wrong: float) -> None:
    with pytest.raises(OutcomeError, match=r"group_confidence .*: must be finite"):
        running(wrong)
    with pytest.raises(OutcomeError, match=r"lowest_group .*: must be finite"):
        TokenScores(lowest_group=wrong)
