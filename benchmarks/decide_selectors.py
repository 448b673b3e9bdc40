"""The selectors' part of `benchmarks.decide`: contested ballots, decided without a model."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.report import Result, print_table
from voting.machine import H100
from voting.policies import PolicyNames
from voting.replay.evaluate import launch_order
from voting.replay.records import RecordedProblem
from voting.replay.solve import Combination, replay_solve
from voting.replay.statistics import estimate
from voting.replay.tuner import halves

BALLOT = 8
#: Of the gap from plurality to the best weight in hindsight, to be recovered.
RECOVERED = 1 / 3
RESAMPLES = 2_000
#: Plurality first. None looks at a model; all are by the names of the settings.
WEIGHTS = (
    "plain", "tool_errors", "tool_errors(floor=0.1)", "tokens", "tokens(half=4096)",
    "code_agreement", "code_agreement(otherwise=0.1)", "executed",
    "effort(1, 0)", "effort(2, 0)", "effort(0, 1)", "effort(0, 2)", "effort(1, 1)",
    "effort(-1, 0)", "effort(0, -1)", "effort(0, 1) * tool_errors",
    "effort(0, 1) * code_agreement", "tokens * code_agreement", "tool_errors * code_agreement",
)  # fmt: skip

Floats = NDArray[np.float64]


def measure_selectors(
    problems: list[RecordedProblem], rounds: int, splits: int, seed: int
) -> list[Result]:
    """Print the table of weights, and return how much of the gap tuning recovers."""
    right, any_right, contested = _accuracies(problems, rounds, seed)
    chosen, best, choices = _tuned(right, contested, splits, seed)
    _print(right, any_right, choices, seed)
    gain, gap = chosen - right[0, contested], best - right[0, contested]
    low, high = _ratio_interval(gain, gap, seed)
    recovered = float(np.nansum(gain) / np.nansum(gap)) if np.nansum(gap) > 0 else 1.0
    print(
        f"contested ballots, {contested.sum()} problems: tuned {np.nanmean(gain):+.4f} over "
        f"plurality, best in hindsight {np.nanmean(gap):+.4f}; recovered {recovered:.2f}, 95 % by "
        f"problem {low:.2f} to {high:.2f}"
    )
    return [
        Result("contested_recovered", recovered, "of the gap", least=RECOVERED),
        Result("contested_gain", float(np.nanmean(gain)), "accuracy"),
    ]


def _accuracies(
    problems: list[RecordedProblem], rounds: int, seed: int
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the mean over a problem's contested ballots, of shape (weights, problems).

    And of shape (problems,): with a choice among the weights that is always right; and whether a
    problem has a contested ballot (the others are NaN).
    """
    combinations = [
        Combination(text, PolicyNames(weight=text, selector="weighted"), BALLOT, BALLOT)
        for text in WEIGHTS
    ]
    policies = [combination.make() for combination in combinations]
    sums, any_right = np.zeros((len(WEIGHTS), len(problems))), np.zeros(len(problems))
    counts = np.zeros(len(problems))
    for column, problem in enumerate(track(problems, "selectors")):
        for number in range(rounds):
            attempts = launch_order(problem, seed, number)[:BALLOT]
            if len({attempt.key for attempt in attempts if attempt.key is not None}) < 2:
                continue
            right = np.array(
                [
                    replay_solve(attempts, combination, made, H100).right
                    for combination, made in zip(combinations, policies, strict=True)
                ]
            )
            sums[:, column] += right
            any_right[column] += right.any()
            counts[column] += 1
    with np.errstate(invalid="ignore"):
        return sums / counts, any_right / counts, counts > 0


def _tuned(
    right: Floats, contested: NDArray[np.bool_], splits: int, seed: int
) -> tuple[Floats, Floats, Counter[str]]:
    """Return accuracies by contested problem, where it was not tuned on.

    Of the weight chosen on the other half, and of the weight that is best on its own half.
    """
    values = right[:, contested]
    names = [str(index) for index in range(values.shape[1])]
    chosen, best, seen = (np.zeros(values.shape[1]) for _ in range(3))
    choices: Counter[str] = Counter()
    for number in range(splits):
        tuning, reporting = halves(names, seed, number)
        choice = int(values[:, tuning].mean(axis=1).argmax())
        hindsight = int(values[:, reporting].mean(axis=1).argmax())
        choices[WEIGHTS[choice]] += 1
        chosen[reporting] += values[choice, reporting]
        best[reporting] += values[hindsight, reporting]
        seen[reporting] += 1
    with np.errstate(invalid="ignore"):
        return chosen / seen, best / seen, choices


def _ratio_interval(gain: Floats, gap: Floats, seed: int) -> tuple[float, float]:
    known = ~np.isnan(gain)
    gain, gap = gain[known], gap[known]
    drawn = np.random.default_rng(seed).integers(0, len(gain), (RESAMPLES, len(gain)))
    gaps = gap[drawn].sum(axis=1)
    ratios = gain[drawn].sum(axis=1)[gaps > 0] / gaps[gaps > 0]
    low, high = np.percentile(ratios, (2.5, 97.5)) if len(ratios) else (np.nan, np.nan)
    return float(low), float(high)


def _print(right: Floats, any_right: Floats, choices: Counter[str], seed: int) -> None:
    rows = []
    for text, values in [*zip(WEIGHTS, right, strict=True), ("always the right one", any_right)]:
        mean = estimate(values, seed=seed)
        chosen = choices.get(text, 0)
        rows.append((text, f"{mean.mean:.3f}", f"{mean.low:.3f}-{mean.high:.3f}", chosen or ""))
    print_table(
        f"contested ballots of {BALLOT}: who decides, without a model; the last line is the bound",
        ("weight", "accuracy", "95 % by problem", "chosen on a half"),
        rows,
    )
