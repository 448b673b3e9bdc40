"""Hostile cells at the best tier of this machine and at the weakest; see `tests.hostile.table`.

At a tier that cannot guarantee what a row needs the row is not run: there it is shown that a pool
which requires it does not open (`python -m tests.hostile` prints the whole table).
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.confinement import probe
from sandbox.confinement.mechanisms import Candidates
from sandbox.confinement.tiers import GUARANTEES, Guarantee
from sandbox.confinement.tiers import Tier as TierName
from tests.hostile.canaries import Canaries, canaries
from tests.hostile.row import Row
from tests.hostile.table import (
    ROWS,
    Tier,
    judge_next,
    judge_outside,
    judge_refusal,
    judge_state,
    open_tier,
    play,
)


def _no_mechanisms(*_: object) -> Candidates:
    return Candidates(frozenset(), ("taken away by a test",))


@pytest.fixture(scope="module")
def watched() -> Iterator[Canaries]:
    with canaries() as all_of_them:
        yield all_of_them


@pytest.fixture(scope="module", params=["best", "weakest"])
async def tier(request: pytest.FixtureRequest, watched: Canaries) -> AsyncIterator[Tier]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "weakest":
            patch.setattr(probe, "candidates", _no_mechanisms)
        async with open_tier(watched) as opened:
            yield opened


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_row(tier: Tier, watched: Canaries, row: Row) -> None:
    if row.needs - tier.guarantees:
        await judge_refusal(tier, row)
        return
    played = await play(tier, row)
    assert row.judge(played.results), (row.outcome, played.results)
    judge_state(row, played)
    await judge_outside(tier, watched, played)
    await judge_next(tier)


class TestTable:
    def test_names_are_unique(self) -> None:
        assert len({row.name for row in ROWS}) == len(ROWS)

    def test_every_guarantee_is_attacked(self) -> None:
        assert set().union(*(row.needs for row in ROWS)) == set(Guarantee)

    def test_every_tier_but_the_lowest_stands_more_rows_than_the_one_below(self) -> None:
        stood = [sum(row.needs <= GUARANTEES[tier] for row in ROWS) for tier in TierName]
        assert stood == sorted(set(stood))
        assert stood[-1] == len(ROWS)
