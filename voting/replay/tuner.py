"""Choosing settings on one half of the problems, and what they are worth on the other."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from voting.errors import ReplayError
from voting.policies import PolicyNames
from voting.replay.evaluate import Evaluation, Measure
from voting.replay.solve import Combination
from voting.replay.statistics import Comparison, Estimate, Floats, compare, estimate

Indices = NDArray[np.int64]

#: What the tuner tries: leads, most attempts, and powers of tokens and of tool calls in a vote's
#: weight, of which none is plain votes. Both signs of effort are there: which one helps differs
#: from model to model.
LEADS = (2.0, 3.0, 4.0)
ATTEMPTS = (8, 16)
POWERS = ((0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (1.0, 1.0), (-1.0, 0.0), (0.0, -1.0))


@dataclass(frozen=True, slots=True)
class Goal:
    """Of the combinations with at most this share of the reference's tokens, the most accurate.

    Equal ones are decided by tokens. Where none is that cheap, the cheapest is taken.
    """

    most_tokens: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning was worth on problems that it had not seen.

    ``accuracy`` and ``tokens`` are of shape (problems,): means over the splits in which a problem
    was not tuned on; NaN where it always was. ``choices`` counts the combinations chosen.
    """

    accuracy: Floats
    tokens: Floats
    reference_accuracy: Floats
    reference_tokens: Floats
    choices: Counter[str]

    @property
    def token_share(self) -> float:
        """Tokens over those of the reference, on the same problems."""
        return float(np.nanmean(self.tokens) / np.nanmean(self.reference_tokens))

    def gain(self, seed: int) -> Comparison:
        """Return accuracy minus the reference's, with the interval by problem."""
        return compare(self.accuracy, self.reference_accuracy, seed=seed)

    def interval(self, seed: int) -> Estimate:
        """Return the accuracy, with the interval by problem."""
        return estimate(self.accuracy, seed=seed)


def search_space() -> list[Combination]:
    """Return the combinations that the tuner tries: stop when ahead, add what could decide."""
    return [
        _ahead(lead, attempts, tokens, calls)
        for lead, attempts, (tokens, calls) in product(LEADS, ATTEMPTS, POWERS)
    ]


def _ahead(lead: float, attempts: int, tokens: float, calls: float) -> Combination:
    plain = tokens == calls == 0
    weight = "plain" if plain else f"effort({tokens:g}, {calls:g})"
    names = PolicyNames(
        weight=weight,
        selector="weighted",
        early_stop=f"ahead({lead:g})",
        launch=f"top_up({lead:g})",
    )
    return Combination(f"{attempts} attempts, ahead({lead:g}), {weight}", names, attempts, 1)


def halves(
    names: Sequence[str], seed: int, number: int, groups: Sequence[str] | None = None
) -> tuple[Indices, Indices]:
    """Split problems in two at random; return the indices to tune on and those to report on.

    With `groups` (a label for each problem), problems of one group stay together, and groups are
    dealt out, the largest first, to the half that has fewer problems.

    Raises:
        ReplayError: there are fewer than two problems or groups.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(names if groups is None else groups):
        members[label].append(index)
    if len(members) < 2:
        raise ReplayError(
            f"halves of {len(members)} groups of problems: must be at least 2; record more problems"
        )
    shuffled = list(members.values())
    random.Random(f"{seed}:{number}").shuffle(shuffled)
    # Sorting is stable: groups of one size stay shuffled.
    shuffled.sort(key=len, reverse=True)
    sides: tuple[list[int], list[int]] = ([], [])
    for group in shuffled:
        sides[len(sides[0]) > len(sides[1])].extend(group)
    first = (seed + number) % 2
    return np.array(sides[first], np.int64), np.array(sides[1 - first], np.int64)


def best(evaluation: Evaluation, problems: Indices, reference: int, goal: Goal) -> int:
    """Return the combination that is best on some problems, the reference itself included."""
    accuracy = evaluation.values[:, problems, Measure.ACCURACY].mean(axis=1)
    tokens = evaluation.values[:, problems, Measure.TOKENS].mean(axis=1)
    cheap = np.flatnonzero(tokens <= goal.most_tokens * tokens[reference])
    if not len(cheap):
        return int(tokens.argmin())
    return int(min(cheap, key=lambda index: (-accuracy[index], tokens[index])))


def tune(
    evaluation: Evaluation,
    reference: int,
    goal: Goal,
    *,
    splits: int,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Tuned:
    """Choose on one half and report on the other, over many splits.

    Raises:
        ReplayError: there are too few problems or groups, or no splits.
    """
    if splits < 1:
        raise ReplayError(f"{splits} splits: must be at least 1; ask for one or more")
    count = len(evaluation.problems)
    sums, seen = np.zeros((count, 2)), np.zeros(count)
    choices: Counter[str] = Counter()
    measures = [Measure.ACCURACY, Measure.TOKENS]
    for number in range(splits):
        tuning, reporting = halves(evaluation.problems, seed, number, groups)
        chosen = best(evaluation, tuning, reference, goal)
        choices[evaluation.combinations[chosen].name] += 1
        sums[reporting] += evaluation.values[chosen, reporting][:, measures]
        seen[reporting] += 1
    means = np.full((count, 2), np.nan)
    np.divide(sums, seen[:, None], out=means, where=seen[:, None] > 0)
    unseen = np.where(seen > 0, 0.0, np.nan)
    return Tuned(
        accuracy=means[:, 0],
        tokens=means[:, 1],
        reference_accuracy=evaluation.by_problem(reference, Measure.ACCURACY) + unseen,
        reference_tokens=evaluation.by_problem(reference, Measure.TOKENS) + unseen,
        choices=choices,
    )
