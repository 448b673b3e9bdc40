"""What a replay found, whole: what it read, its combinations, what tuning and budgets brought."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.evaluation.statistics.rates import rate, widened
from voting.replay.budgets import BudgetResult, compare_runs
from voting.replay.evaluate import Evaluation, Measure
from voting.replay.statistics import Comparison, Estimate
from voting.replay.tuner import Tuned


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One replay. The first combination and the first budget are what the others are held against.

    ``source`` says in a sentence what was replayed; ``notes`` what a reader must know of it.
    ``tuned`` is there where it was asked for; ``budgets`` has the results by hours of the clock.
    """

    source: str
    machine: str
    seed: int
    evaluation: Evaluation
    notes: tuple[str, ...] = ()
    tuned: Tuned | None = None
    budgets: Mapping[float, list[BudgetResult]] = field(default_factory=dict)

    def accuracy(self, combination: int) -> Estimate:
        """Return a combination's accuracy with its interval by problem."""
        found = self.evaluation.estimate(combination, Measure.ACCURACY, self.seed)
        return widened(found, len(self.evaluation.problems))

    def tuned_accuracy(self, tuned: Tuned) -> Estimate:
        """Return the accuracy of what tuning chose, with its interval by problem."""
        return rate(tuned.accuracy, seed=self.seed)

    def gain(self, combination: int) -> Comparison:
        """Return a combination's accuracy minus the first one's, paired by problem."""
        return self.evaluation.compare(combination, 0, Measure.ACCURACY, self.seed)

    def mean(self, combination: int, measure: Measure) -> float:
        """Return a mean over problems."""
        return float(self.evaluation.by_problem(combination, measure).mean())

    def budget_gain(self, hours: float, place: int) -> Comparison:
        """Return a budget's score minus the first one's, paired by pair of runs."""
        results = self.budgets[hours]
        return compare_runs(results[place], results[0], self.seed)


def as_json(study: Study) -> dict[str, Any]:
    """Return the study as JSON values; intervals are (mean, low, high)."""
    evaluation = study.evaluation
    return {
        "source": study.source,
        "notes": list(study.notes),
        "machine": study.machine,
        "seed": study.seed,
        "rounds": evaluation.rounds,
        "problems": list(evaluation.problems),
        "combinations": [_combination(study, place) for place in range(len(evaluation.values))],
        "tuned": None if study.tuned is None else _tuned(study, study.tuned),
        "budgets": [
            _budget(study, hours, place)
            for hours, results in study.budgets.items()
            for place in range(len(results))
        ],
    }


def _combination(study: Study, place: int) -> dict[str, Any]:
    combination = study.evaluation.combinations[place]
    names = combination.names
    return {
        "name": combination.name,
        "attempts": combination.attempts,
        "agree": combination.agree,
        "policies": {key: getattr(names, key) for key in names.__dataclass_fields__},
        "accuracy": _interval(study.accuracy(place)),
        "gain": _interval(study.gain(place).difference),
        "selection_loss": float(study.evaluation.selection_loss(place).mean()),
        **{
            measure.name.lower(): study.mean(place, measure)
            for measure in Measure
            if measure is not Measure.ACCURACY
        },
    }


def _tuned(study: Study, tuned: Tuned) -> dict[str, Any]:
    return {
        "accuracy": _interval(study.tuned_accuracy(tuned)),
        "gain": _interval(tuned.gain(study.seed).difference),
        "token_share": tuned.token_share,
        "choices": dict(tuned.choices.most_common()),
    }


def _budget(study: Study, hours: float, place: int) -> dict[str, Any]:
    result = study.budgets[hours][place]
    return {
        "hours": hours,
        "budget": result.name,
        "score": _interval(result.estimate(study.seed)),
        "gain": _interval(study.budget_gain(hours, place).difference),
        "late": result.late,
        "without_share": result.without_share,
        "least_seconds": result.least_s,
        "seconds": float(result.seconds.mean()),
    }


def _interval(estimate: Estimate) -> list[float]:
    return [estimate.mean, estimate.low, estimate.high]
