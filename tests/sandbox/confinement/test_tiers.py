"""Tiers are nested sets of guarantees, and requirements are read from words."""

from itertools import pairwise

import pytest

from sandbox.confinement.tiers import GUARANTEES, Guarantee, Tier, parse_requirement, tier_of
from sandbox.errors import SettingsError


def test_each_tier_includes_the_one_before() -> None:
    sizes = [len(GUARANTEES[tier]) for tier in Tier]
    assert sizes == sorted(set(sizes))
    tiers = list(Tier)
    assert all(GUARANTEES[a] < GUARANTEES[b] for a, b in pairwise(tiers))


def test_the_highest_tier_holds_all() -> None:
    assert tier_of(set(Guarantee)) is Tier.FULL
    assert tier_of(set()) is Tier.NONE


@pytest.mark.parametrize("missing", Guarantee)
def test_a_missing_guarantee_lowers_the_tier_below_every_tier_with_it(missing: Guarantee) -> None:
    tier = tier_of(set(Guarantee) - {missing})
    assert missing not in GUARANTEES[tier]
    higher = list(Tier)[list(Tier).index(tier) + 1]
    assert missing in GUARANTEES[higher]


@pytest.mark.parametrize("tier", Tier)
def test_a_requirement_can_be_a_tier(tier: Tier) -> None:
    assert parse_requirement(f" {tier.upper()} ") == GUARANTEES[tier]


def test_a_requirement_can_be_guarantees() -> None:
    assert parse_requirement("files, network") == {Guarantee.FILES, Guarantee.NETWORK}


@pytest.mark.parametrize("text", ["", "high", "full, network", "network,,files"])
def test_other_words_are_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(SettingsError, match=r"must be a tier \(none, basic, strict, full\)"):
        parse_requirement(text)
