"""SGLang's events become chunks: new ids only, whatever the stream repeats."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.base import FinishReason
from server.engine.errors import EngineProtocolError, EngineUnavailable
from server.engine.sglang_events import EventReader


def event(ids: list[int], total: int, finish: str | None = None, **meta: Any) -> bytes:  # noqa: ANN401
    reason = None if finish is None else {"type": finish}
    body = {"completion_tokens": total, "finish_reason": reason, **meta}
    return json.dumps({"output_ids": ids, "meta_info": body}).encode()


@given(
    ids=st.lists(st.integers(0, 99), min_size=1, max_size=30),
    cuts=st.sets(st.integers(1, 29)),
    cumulative=st.booleans(),
    ahead=st.integers(0, 2),
)
def test_every_way_to_cut_a_stream_gives_the_same_ids(
    ids: list[int], cuts: set[int], *, cumulative: bool, ahead: int
) -> None:
    reader = EventReader(100)
    found: list[int] = []
    borders = [*sorted(cut for cut in cuts if cut < len(ids)), len(ids)]
    before = 0
    for border in borders:
        # The list goes on growing while a cumulative event is written.
        written = ids[: border + ahead] if cumulative else ids[before:border]
        entries = [[-0.5, token_id, None] for token_id in written]
        tops = [[[-0.5, token_id, None], [None, 7, None]] for token_id in written]
        finish = "length" if border == len(ids) else None
        line = event(
            written, border, finish, output_token_logprobs=entries, output_top_logprobs=tops
        )
        chunk = reader.read(line)
        assert chunk.logprobs == (-0.5,) * len(chunk.token_ids)
        assert chunk.top_logprobs == tuple(((i, -0.5),) for i in chunk.token_ids)
        found += chunk.token_ids
        before = border
    assert found == ids
    assert chunk.finish_reason is FinishReason.LENGTH


def test_an_abort_repeats_the_last_id_and_is_no_chunk() -> None:
    reader = EventReader(100)
    assert reader.read(event([4], 1)).token_ids == (4,)
    finish = {"type": "abort", "message": "Abort in waiting queue"}
    with pytest.raises(EngineUnavailable, match="Abort in waiting queue"):
        reader.read(event([4], 1, finish_reason=finish))


def test_an_event_behind_the_one_before_it_brings_nothing() -> None:
    reader = EventReader(100)
    found = [reader.read(event([*range(n)], total)).token_ids for n, total in ((4, 2), (3, 3))]
    assert found == [(0, 1, 2, 3), ()]
    assert reader.read(event([*range(6)], 6, "length")).token_ids == (4, 5)


def test_an_error_that_is_none_is_none() -> None:
    line = event([4], 1)[:-1] + b', "error": null}'
    assert EventReader(100).read(line).token_ids == (4,)


def test_an_end_without_ids_is_an_end() -> None:
    reader = EventReader(100)
    reader.read(event([4], 1))
    chunk = reader.read(event([], 1, "stop"))
    assert (chunk.token_ids, chunk.finish_reason) == ((), FinishReason.STOP)


@pytest.mark.parametrize(
    "entries",
    [None, [], [[None, 4, None]], [[-1.0, 5, None]], [[-1.0, 4, None], [-1.0, 4, None]][:0]],
)
def test_probabilities_that_are_not_whole_are_none(entries: list[Any] | None) -> None:
    chunk = EventReader(100).read(event([4], 1, output_token_logprobs=entries))
    assert (chunk.token_ids, chunk.logprobs, chunk.top_logprobs) == ((4,), (), ())


@pytest.mark.parametrize("entries", [5, [4], [["high", 4, None]]])
def test_probabilities_that_are_none_are_refused(entries: Any) -> None:  # noqa: ANN401
    with pytest.raises(EngineProtocolError):
        EventReader(100).read(event([4], 1, output_token_logprobs=entries))
