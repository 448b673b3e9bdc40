"""Tokens that were not asked for are cut off."""

from server.engine.allowance import Allowance
from server.engine.base import Chunk, FinishReason

STOP = FinishReason.STOP


def chunk(*ids: int, finish: FinishReason | None = None) -> Chunk:
    return Chunk(ids, tuple(-1.0 for _ in ids), tuple(((i, -1.0),) for i in ids), finish)


def test_what_was_asked_for_passes_as_it_is() -> None:
    allowance = Allowance(3)
    for given in (chunk(1, 2), chunk(), chunk(3), chunk(finish=STOP)):
        assert allowance.held(given) is given


def test_more_is_cut_ends_the_stream_and_is_told_once() -> None:
    times: list[bool] = []
    allowance = Allowance(3, lambda: times.append(True))
    assert allowance.held(chunk(1, 2)).finish_reason is None
    last = allowance.held(chunk(3, 4, 5, finish=STOP))
    assert last == Chunk((3,), (-1.0,), (((3, -1.0),),), FinishReason.LENGTH)
    assert times == [True]


def test_lost_probabilities_stay_lost() -> None:
    assert Allowance(1).held(Chunk((7, 8), exact=False)) == Chunk(
        (7,), finish_reason=FinishReason.LENGTH, exact=False
    )
