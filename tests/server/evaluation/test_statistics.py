"""Statistics against brute force, theory and simulation."""

import math
import tracemalloc
from collections import Counter
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from server.evaluation.errors import NothingRecorded
from server.evaluation.statistics import paired
from server.evaluation.statistics.calibration import auc, auc_within, calibration
from server.evaluation.statistics.chance import run_variance
from server.evaluation.statistics.contest import two_runs
from server.evaluation.statistics.correlation import error_correlation, intraclass
from server.evaluation.statistics.estimators import majority_at_k, pass_at_k
from server.evaluation.statistics.paired import paired_test, permutation_p, power
from server.evaluation.statistics.rates import rate, wilson
from server.evaluation.statistics.repeats import Series, change
from voting.replay.statistics import estimate

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
    assert majority_at_k(votes, {"1"}, len(votes)) == 1.0
    assert majority_at_k([*votes, *["2"] * 5], {"1"}, len(votes) + 5) == 0.5


def test_of_more_attempts_than_can_be_counted_subsets_are_drawn() -> None:
    votes = ["1"] * 55 + ["2"] * 35 + [None] * 10
    exact = majority_at_k(votes * 10, {"1"}, 9)
    drawn = majority_at_k(votes * 11, {"1"}, 9)
    assert drawn == pytest.approx(exact, abs=0.03)
    assert majority_at_k(votes * 11, {"1"}, 1_100) == 1.0


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
    found = power(rates * (1 - rates), points=2.0)
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
    found = two_runs(rates, math.sqrt(2 * 0.25))
    assert found.mean == 2.0
    assert found.deviation == pytest.approx(math.sqrt(2 * 0.25 / 2))
    assert (found.low, found.high) == (1.0, 3.0)


SCORES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12)


@given(SCORES)
def test_auc_is_the_share_of_pairs_in_order(told: list[tuple[int, bool]]) -> None:
    right = [score for score, is_right in told if is_right]
    wrong = [score for score, is_right in told if not is_right]
    found = auc(np.array([s for s, _ in told], float), np.array([float(r) for _, r in told]))
    if not right or not wrong:
        assert math.isnan(found)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a, b in product(right, wrong)]
    assert found == pytest.approx(np.mean(pairs))


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=9))
def test_collisions_are_the_share_of_equal_pairs(keys: list[str]) -> None:
    found = error_correlation([[False] * len(keys)], [keys], seed=0).collision
    assert found is not None
    pairs = [one == other for one, other in combinations(keys, 2)]
    assert found.mean == pytest.approx(np.mean(pairs))


@given(st.permutations(range(40)), st.lists(st.booleans(), min_size=40, max_size=40))
def test_calibration_is_over_bins_of_equal_counts(order: list[int], held: list[bool]) -> None:
    claimed = np.array(order, float) / 40
    found = calibration(claimed, np.array(held, float), bins=4)
    ranked = sorted(zip(claimed, held, strict=True))
    bins = [ranked[first : first + 10] for first in range(0, 40, 10)]
    gaps = [abs(np.mean([c for c, _ in one]) - np.mean([h for _, h in one])) for one in bins]
    expected = sum(len(one) * gap for one, gap in zip(bins, gaps, strict=True)) / 40
    assert found.error == pytest.approx(expected)
    assert [one.count for one in found.bins] == [10, 10, 10, 10]


def test_equal_claims_share_a_bin_and_none_are_no_error() -> None:
    found = calibration(np.array([0.5] * 6 + [0.9, 0.1]), np.ones(8), bins=4)
    assert [(one.confidence, one.count) for one in found.bins] == [(0.1, 1), (0.5, 6), (0.9, 1)]
    nothing = calibration(np.array([]), np.array([]))
    assert nothing.bins == ()
    assert math.isnan(nothing.error)


def test_all_or_nothing_is_not_certain() -> None:
    whole = rate(np.ones(24), seed=0)
    # Wilson's bound for 24 of 24: n / (n + z²).
    assert (whole.mean, whole.high) == (1.0, 1.0)
    assert whole.low == pytest.approx(24 / (24 + 1.959964**2), rel=1e-4)
    nothing = rate(np.zeros(24), seed=0)
    assert nothing.low == 0.0
    assert nothing.high == pytest.approx(1 - whole.low)
    mixed = np.array([0.0, 1.0, 1.0, 1.0, np.nan])
    assert rate(mixed, seed=0) == estimate(mixed, seed=0)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_problems_that_came_out_alike_are_not_certain(share: float) -> None:
    """One problem, or several of the same share: resampled they would be."""
    widths = []
    for problems in (1, 5, 50):
        found = rate(np.full(problems, share), seed=0)
        assert 0 <= found.low <= share == found.mean <= found.high <= 1
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.7
    whole = stats.binomtest(3, 12).proportion_ci(method="wilson")
    assert wilson(3, 12) == pytest.approx((whole.low, whole.high))
    within, _ = auc_within([np.array([1.0, 2.0])], [np.array([0.0, 1.0])], seed=0)
    assert within is not None
    assert within.low < within.mean == 1
    collision = error_correlation([[False] * 3], [["1", "1", "2"]], seed=0).collision
    assert collision is not None
    assert collision.low < collision.mean < collision.high


def test_intervals_hold_what_they_promise() -> None:
    """Of 300 sets from one population about 95 in 100 have its mean in their interval."""
    random = np.random.default_rng(0)
    held = 0
    for number in range(300):
        rates = random.binomial(4, random.beta(2, 1, 60)) / 4
        found = rate(rates, seed=number)
        held += found.low <= 2 / 3 <= found.high
    assert held / 300 == pytest.approx(0.95, abs=0.04)


def test_series_of_one_problem_are_compared() -> None:
    before, after = Series(2, [50.0, 60.0, 70.0, 80.0]), Series(4, [10.0, 20.0, 30.0, 40.0])
    found = change(before, after)
    # Fisher's exact test by hand: tables with these margins are 2, 3 or 4 solved before.
    chances = [math.comb(4, n) * math.comb(4, 6 - n) / math.comb(8, 6) for n in (2, 3, 4)]
    assert found.solved == pytest.approx(sum(p for p in chances if p <= chances[0] + 1e-9))
    # All of one side are above the other: of C(8, 4) ranks two are as extreme.
    assert found.seconds == pytest.approx(2 / math.comb(8, 4))
    assert before.median_s == 65.0
    assert change(before, before).solved == 1.0
    assert change(Series(1, [3.0]), Series(0, [3.0])).seconds == 1.0
    nothing = change(before, Series(0, []))
    assert math.isnan(nothing.solved)
    assert math.isnan(Series(0, []).share.mean)


def test_the_contest_score_has_the_quantiles_of_all_outcomes() -> None:
    rates = np.array([0.9, 0.6, 0.5, 0.2, 0.1])
    found = two_runs(rates, math.sqrt((rates * (1 - rates)).sum()))
    chances: Counter[float] = Counter()
    for runs in product((0, 1), repeat=10):
        told = zip([*rates, *rates], runs, strict=True)
        chance = math.prod(r if won else 1 - r for r, won in told)
        chances[sum(runs) / 2] += chance
    below = {score: sum(chances[s] for s in chances if s <= score) for score in chances}
    low = min(score for score in below if below[score] >= 0.025)
    high = min(score for score in below if below[score] >= 0.975)
    assert abs(found.low - low) <= 0.5
    assert abs(found.high - high) <= 0.5
    assert found.mean == pytest.approx(sum(score * chance for score, chance in chances.items()))


def test_large_sets_are_compared_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(0)
    differences = source.normal(0.002, 0.1, 1_000)
    at_once = 1 << 17
    monkeypatch.setattr(paired, "DRAWN_FLIPS", 3_000)
    monkeypatch.setattr(paired, "MOST_SIGNS", at_once)
    tracemalloc.start()
    p = permutation_p(differences, seed=0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * 8 * at_once < 8 * 3_000 * 1_000 / 4
    normal = stats.norm.sf(abs(differences.sum()) / np.sqrt((differences**2).sum())) * 2
    assert p == pytest.approx(normal, abs=0.04)


@given(VOTES.filter(lambda votes: len(votes) > 1), st.integers(1, 2))
def test_the_variance_of_a_run_is_that_of_draws_without_an_attempt_in_common(
    votes: list[str | None], k: int
) -> None:
    found = run_variance(votes, {"1"}, k)
    if len(votes) < 2 * k:
        assert math.isnan(found)
        return
    told = []
    for places in permutations(range(len(votes)), 2 * k) if len(votes) < 7 else ():
        one, other = (
            majority_at_k([votes[n] for n in part], {"1"}, k) for part in (places[:k], places[k:])
        )
        told.append(one * (1 - other))
    if told:
        assert found == pytest.approx(np.mean(told), abs=1e-9 if k == 1 else 0.1)


@pytest.mark.parametrize("attempts", [2, 4, 8])
def test_what_runs_differ_by_is_told_without_bias(attempts: int) -> None:
    """Of 400 problems that are right with a chance of 0.3: what is told is what majorities do."""
    random = np.random.default_rng(0)
    size = attempts // 2
    told = []
    for _ in range(400):
        drawn = ["1" if won else "2" for won in random.random(attempts) < 0.3]
        told.append(run_variance(drawn, {"1"}, size))
    wins = stats.binom(size, 0.3)
    # Of an even number of votes a half is a tie, which a lot decides.
    chance = wins.sf(size / 2) + wins.pmf(size / 2) / 2
    assert np.mean(told) == pytest.approx(chance * (1 - chance), abs=0.02)


def test_attempts_that_never_differ_bound_what_runs_do() -> None:
    found = power(np.zeros(50), 1.0)
    assert found.at_most
    # No pair of 50 differed: Wilson's bound of their share, of which a half is variance.
    square = 1.959964**2
    assert found.deviation == pytest.approx(math.sqrt(50 * square / (50 + square) / 2), rel=1e-4)
    assert not power(np.array([0.25, np.nan]), 1.0).at_most
