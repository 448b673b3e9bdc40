"""DeepConf's scores: as the paper defines them, in constant time a token."""

import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.confidence import LEAST_LOGPROB, ConfidenceMeter
from voting.errors import PolicyError

CONFIDENCES = st.lists(st.floats(0, 50), min_size=1, max_size=60)


def metered(confidences: list[float], window: int) -> ConfidenceMeter:
    meter = ConfidenceMeter(window)
    for confidence in confidences:
        meter.push([-confidence])
    return meter


@given(CONFIDENCES, st.integers(1, 20))
def test_scores_are_those_of_the_definition(confidences: list[float], window: int) -> None:
    scores = metered(confidences, window).scores()
    groups = sorted(
        sum(confidences[end - window : end]) / window for end in range(window, len(confidences) + 1)
    ) or [sum(confidences) / len(confidences)]
    bottom = groups[: max(1, round(0.1 * len(groups)))]
    tail = confidences[-window:]
    assert scores.tokens == len(confidences)
    assert scores.mean_confidence == pytest.approx(sum(confidences) / len(confidences), abs=1e-9)
    assert scores.lowest_group == pytest.approx(groups[0], abs=1e-9)
    assert scores.bottom_tenth == pytest.approx(sum(bottom) / len(bottom), abs=1e-9)
    assert scores.tail == pytest.approx(sum(tail) / len(tail), abs=1e-9)


def test_a_group_is_there_once_the_window_is_full() -> None:
    meter = metered([1.0, 2.0], 3)
    assert meter.group_confidence is None
    meter.push([-6.0])
    assert meter.group_confidence == pytest.approx(3.0)
    meter.push([-1.0])
    assert meter.group_confidence == pytest.approx(3.0)


def test_entropy_counts_the_rest_as_one_token() -> None:
    meter = ConfidenceMeter(4)
    meter.push([math.log(0.5), math.log(0.25)])
    expected = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert meter.scores().mean_entropy == pytest.approx(expected)
    certain = ConfidenceMeter(4)
    certain.push([0.0])
    assert certain.scores().mean_entropy == 0.0


@pytest.mark.parametrize("bad", [[], [math.nan], [math.nan, math.nan]])
def test_tokens_without_log_probabilities_are_left_out(bad: list[float]) -> None:
    meter = metered([2.0], 4)
    meter.push(bad)
    assert meter.tokens == 1
    assert meter.scores().mean_confidence == 2.0


def test_impossible_log_probabilities_are_bounded() -> None:
    meter = ConfidenceMeter(1)
    meter.push([-math.inf, 3.0])
    assert meter.scores().mean_confidence == pytest.approx(-LEAST_LOGPROB / 2)
    assert math.isfinite(meter.scores().mean_entropy or 0.0)


def test_nothing_is_known_without_tokens() -> None:
    assert ConfidenceMeter().scores().lowest_group is None


def test_a_window_below_one_is_refused() -> None:
    with pytest.raises(PolicyError, match="window 0: must be at least 1"):
        ConfidenceMeter(0)


def test_a_token_costs_the_same_whatever_the_window() -> None:
    """Quadratic work would make the wide window thousands of times slower."""
    numbers = random.Random(1)
    confidences = [numbers.uniform(0, 20) for _ in range(20_000)]

    def seconds(window: int) -> float:
        started = time.process_time()
        metered(confidences, window)
        return time.process_time() - started

    seconds(16)
    assert seconds(8_192) < 20 * max(seconds(16), 0.005)
