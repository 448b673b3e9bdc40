"""Statistics against brute force, theory and simulation."""

import math
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.evaluation.errors import NothingRecorded
from server.evaluation.statistics.calibration import auc, auc_within, calibration
from server.evaluation.statistics.contest import two_runs
from server.evaluation.statistics.correlation import error_correlation, intraclass
from server.evaluation.statistics.estimators import majority_at_k, pass_at_k
from server.evaluation.statistics.paired import paired_test, permutation_p, power

VOTES = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=8)


@given(VOTES, st.integers(1, 8))
def test_both_estimators_equal_the_mean_over_all_subsets(votes: list[str | None], k: int) -> None:
    if k > len(votes):
        assert math.isnan(pass_at_k(len(votes), 0, k))
        assert math.isnan(majority_at_k(votes, {"1"}, k))
        return
    passed, won = [], []
    for subset in combinations(votes, k):
        counts = Counter(vote for vote in subset if vote is not None)
        leaders = [key for key, count in counts.items() if count == max(counts.values())]
        passed.append("1" in subset)
        won.append(leaders.count("1") / len(leaders) if leaders else 0.0)
    assert pass_at_k(len(votes), votes.count("1"), k) == pytest.approx(np.mean(passed))
    assert majority_at_k(votes, {"1"}, k) == pytest.approx(np.mean(won))


def test_majority_of_many_attempts_is_exact_and_quick() -> None:
    votes = ["1"] * 40 + ["2"] * 35 + [None] * 10 + [str(n) for n in range(3, 43)]
    assert 0.5 < majority_at_k(votes, {"1"}, 64) < 1.0
    assert majority_at_k(votes, {"9999"}, 8) == 0.0


def test_sign_flips_are_exact_for_few_and_drawn_for_many() -> None:
    few = np.array([0.5, 0.25, 0.0, -0.25, 1.0])
    nonzero = few[few != 0]
    sums = [abs(np.dot(signs, nonzero)) for signs in product((-1, 1), repeat=len(nonzero))]
    expected = np.mean([each >= abs(nonzero.sum()) - 1e-12 for each in sums])
    assert permutation_p(few, seed=0) == pytest.approx(expected)
    assert permutation_p(np.zeros(5), seed=0) == 1.0
    many = np.concatenate([np.ones(30), -np.ones(10)])
    # Of 40 signs, the chance that 30 or more are alike: the binomial's two tails.
    tails = 2 * sum(math.comb(40, n) for n in range(30, 41)) / 2**40
    assert permutation_p(many, seed=0) == pytest.approx(tails, abs=0.001)
    assert permutation_p(np.ones(60), seed=0) > 0


def test_a_paired_test_counts_gains_and_losses() -> None:
    one, other = np.array([1.0, 1.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    found = paired_test(one, other, seed=1)
    assert (found.gained, found.lost, found.problems) == (3, 1, 5)
    assert found.comparison.difference.mean == pytest.approx(0.4)
    # Of 4 discordant problems, 3 or more on one side: exact McNemar.
    assert found.mcnemar == pytest.approx(2 * (4 + 1) / 16)
    shares = paired_test(np.array([0.5, 0.25]), np.array([0.25, 0.5]), seed=1)
    assert math.isnan(shares.mcnemar)
    with pytest.raises(NothingRecorded):
        paired_test(np.array([]), np.array([]), seed=1)


def test_power_is_what_simulated_runs_show() -> None:
    rates = np.full(50, 0.7)
    found = power(rates, points=2.0)
    assert found.deviation == pytest.approx(math.sqrt(50 * 0.21))
    random = np.random.default_rng(0)
    seen = 0
    for _ in range(400):
        base = random.binomial(1, 0.7, (found.runs, 50)).sum(axis=1).mean()
        better = random.binomial(1, 0.74, (found.runs, 50)).sum(axis=1).mean()
        error = found.deviation * math.sqrt(2 / found.runs)
        seen += abs(better - base) / error > 1.96
    assert seen / 400 == pytest.approx(0.8, abs=0.07)
    with pytest.raises(NothingRecorded):
        power(np.array([]), 1.0)


def test_difficulty_is_told_from_errors_that_agree() -> None:
    random = np.random.default_rng(0)
    alike = [list(random.random(8) < 0.5) for _ in range(400)]
    assert intraclass(alike) == pytest.approx(0.0, abs=0.03)
    # Beta-distributed difficulty of concentration 2 has an intraclass correlation of 1 / 3.
    hard = [list(random.random(8) < random.beta(1, 1)) for _ in range(800)]
    assert intraclass(hard) == pytest.approx(1 / 3, abs=0.05)
    assert intraclass([[True, True], [False, False]]) == pytest.approx(1.0)
    assert math.isnan(intraclass([[True, True], [True, True]]))
    wrong = [[str(n) for n in random.integers(0, 5, 6)] for _ in range(500)]
    found = error_correlation(alike, wrong, seed=0)
    assert found.collision is not None
    assert found.collision.low < 0.2 < found.collision.high
    assert found.effective == pytest.approx(5, rel=0.15)
    assert error_correlation(alike, [["1"], []], seed=0).collision is None


def test_calibration_of_what_is_calibrated_and_of_what_is_not() -> None:
    random = np.random.default_rng(0)
    claimed = random.random(4_000)
    held = (random.random(4_000) < claimed).astype(float)
    good = calibration(claimed, held)
    assert good.error < 0.04
    assert sum(one.count for one in good.bins) == 4_000
    assert calibration(np.ones(100), np.zeros(100)).error == pytest.approx(1.0)
    assert good.brier == pytest.approx(1 / 6, abs=0.01)
    assert good.auc == pytest.approx(5 / 6, abs=0.02)


def test_a_signal_that_only_knows_problems_is_none_within_them() -> None:
    random = np.random.default_rng(0)
    scores, right = [], []
    for _ in range(200):
        ease = random.random()
        scores.append(ease + 0.01 * random.random(6))
        right.append((random.random(6) < ease).astype(float))
    pooled = auc(np.concatenate(scores), np.concatenate(right))
    within, problems = auc_within(scores, right, seed=0)
    assert pooled > 0.7
    assert within is not None
    assert within.low < 0.5 < within.high
    assert 0 < problems < 200
    assert math.isnan(auc(np.array([1.0]), np.array([1.0])))


def test_two_runs_score_what_the_rates_say() -> None:
    rates = np.array([1.0, 0.5, 0.5, 0.0])
    found = two_runs(rates, seed=0)
    assert found.mean == 2.0
    assert found.deviation == pytest.approx(math.sqrt(2 * 0.25 / 2))
    assert (found.low, found.high) == (1.0, 3.0)
