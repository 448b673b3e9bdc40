import math

import pytest

from voting.errors import PolicyError
from voting.machine import H100, MACHINES, Machine, machine


def test_token_times_are_interpolated_and_throughput_stays_beyond_the_last_point() -> None:
    described = Machine(name="x", decode=((2, 100.0), (4, 50.0)))
    assert described.token_s(1) == described.token_s(2) == pytest.approx(0.01)
    assert described.token_s(3) == pytest.approx(0.015)
    assert described.token_s(4) == pytest.approx(0.02)
    # Four streams of 50 tokens/s are 200 together; so are eight.
    assert 8 / described.token_s(8) == pytest.approx(200)


@pytest.mark.parametrize("name", MACHINES)
def test_more_streams_are_slower_each_and_the_machine_is_found(name: str) -> None:
    described = machine(name)
    times = [described.token_s(streams) for streams in range(1, 300)]
    assert times == sorted(times)


def test_eight_attempts_on_the_h100_have_the_measured_throughput() -> None:
    """Of 32,000 tokens and 21 calls each: 608-667 tokens/s in public runs."""
    seconds = 32_000 * H100.token_s(8) + H100.overhead_s(21)
    assert 608 <= 8 * 32_000 / seconds <= 667


@pytest.mark.parametrize(
    "decode",
    [(), ((0, 5.0),), ((2, 5.0), (1, 4.0)), ((1, 5.0), (1, 4.0)), ((1, 0.0),), ((1, math.nan),)]
)  # fmt: skip
def test_speeds_that_are_none_are_refused(decode: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(PolicyError, match="machine 'x'"):
        Machine(name="x", decode=decode)


def test_other_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(PolicyError, match="start_s -1"):
        Machine(name="x", decode=((1, 5.0),), start_s=-1)
    with pytest.raises(PolicyError, match="0 slots"):
        Machine(name="x", decode=((1, 5.0),), slots=0)
    with pytest.raises(PolicyError, match="machine 'nowhere': must be one of"):
        machine("nowhere")
