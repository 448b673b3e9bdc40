"""The selectors' part of `benchmarks.decide`: contested ballots, decided without a model."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.report import Result, print_table
from voting.ballot import Ballot
from voting.catalogue import Context
from voting.policies import WEIGHTS as WEIGHT_CATALOGUE
from voting.replay.evaluate import launch_order
from voting.replay.records import RecordedProblem
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
    contested = _contested(problems, rounds, seed)
    chosen, best, choices = _tuned(contested, splits, seed)
    _print(contested, choices, seed)
    plurality = contested.right[0]
    gain, gap = chosen - plurality, best - plurality
    low, high = _ratio_interval(gain, gap, seed)
    recovered = float(np.nansum(gain) / np.nansum(gap)) if np.nansum(gap) > 0 else 1.0
    print(
        f"contested ballots, {len(gain)} problems: tuned {np.nanmean(gain):+.4f} over "
        f"plurality, best in hindsight {np.nanmean(gap):+.4f}; recovered {recovered:.2f}, 95 % by "
        f"problem {low:.2f} to {high:.2f}"
    )
    return [
        Result("contested_recovered", recovered, "of the gap", least=RECOVERED),
        Result("contested_gain", float(np.nanmean(gain)), "accuracy"),
    ]


@dataclass(frozen=True, slots=True)
class Contested:
    """Means over each problem's contested ballots; problems without one are left out.

    ``right`` and ``share`` are of shape (weights, problems): whether the heaviest answer is right,
    and the share of the weight that is on the right one. ``any_right``, of shape (problems,), is
    whether any of the weights puts the right answer first.
    """

    right: Floats
    share: Floats
    any_right: Floats


def _contested(problems: list[RecordedProblem], rounds: int, seed: int) -> Contested:
    context = Context(attempts=BALLOT, agree=BALLOT)
    weights = [WEIGHT_CATALOGUE.make(text, context) for text in WEIGHTS]
    columns = []
    for problem in track(problems, "selectors"):
        rights = {attempt.key for attempt in problem.attempts if attempt.right}
        found = []
        for number in range(rounds):
            outcomes = [
                attempt.outcome(attempt=index, started_s=0.0, seconds=0.0)
                for index, attempt in enumerate(launch_order(problem, seed, number)[:BALLOT])
            ]
            if len({each.answer.key for each in outcomes if each.answer is not None}) > 1:
                found.append([_judged(Ballot.cast(outcomes, each), rights) for each in weights])
        if found:
            columns.append(np.array(found))
    right, share = (
        np.stack([column[:, :, place].mean(axis=0) for column in columns], axis=1)
        for place in range(2)
    )
    any_right = np.array([column[:, :, 0].any(axis=1).mean() for column in columns])
    return Contested(right, share, any_right)


def _judged(ballot: Ballot, rights: set[str | None]) -> tuple[float, float]:
    right = sum(line.weight for line in ballot.lines if line.answer.key in rights)
    share = right / ballot.weight if ballot.weight > 0 else 0.0
    return float(ballot.lines[0].answer.key in rights), share


def _tuned(contested: Contested, splits: int, seed: int) -> tuple[Floats, Floats, Counter[str]]:
    """Return accuracies by problem, where it was not tuned on.

    Of the weight chosen on the other half, and of the weight that is best on its own half. What is
    chosen by is accuracy plus the share of the weight on the right answer: the share tells weights
    apart that decide the same ballots, which halves of ten problems are many of. It was taken after
    a comparison of four criteria, on the recorded problems (0.26 of the gap by accuracy alone, 0.76
    with the share) and on three synthetic populations (1.4 to 1.9 times what accuracy recovers).
    """
    values = contested.right
    criterion = values + contested.share
    names = [str(index) for index in range(values.shape[1])]
    chosen, best, seen = (np.zeros(values.shape[1]) for _ in range(3))
    choices: Counter[str] = Counter()
    for number in range(splits):
        tuning, reporting = halves(names, seed, number)
        choice = int(criterion[:, tuning].mean(axis=1).argmax())
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


def _print(contested: Contested, choices: Counter[str], seed: int) -> None:
    rows = []
    bound = ("always the right one", contested.any_right)
    for text, values in [*zip(WEIGHTS, contested.right, strict=True), bound]:
        mean = estimate(values, seed=seed)
        chosen = choices.get(text, 0)
        rows.append((text, f"{mean.mean:.3f}", f"{mean.low:.3f}-{mean.high:.3f}", chosen or ""))
    print_table(
        f"contested ballots of {BALLOT}: who decides, without a model; the last line is the bound",
        ("weight", "accuracy", "95 % by problem", "chosen on a half"),
        rows,
    )
