"""A study as tables of text: for the terminal and for the page."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from server.replay.study import Study
from voting.replay.evaluate import Measure
from voting.replay.statistics import Estimate


@dataclass(frozen=True, slots=True)
class TextTable:
    """A title, column names and rows, all plain text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def rich(self) -> Table:
        """Return the table for a terminal; the first column is left-aligned, the others right."""
        table = Table(title=Text(self.title), title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(Text(column), justify="left" if number == 0 else "right")
        for row in self.rows:
            # Names come from files and from the command line: no markup.
            table.add_row(*(Text(cell) for cell in row))
        return table


def tables(study: Study) -> Iterator[TextTable]:
    """Yield a study's tables: combinations, tuning, budgets."""
    yield _combinations(study)
    if study.tuned is not None:
        yield _tuned(study)
    if study.budgets:
        yield _budgets(study)


def _combinations(study: Study) -> TextTable:
    evaluation = study.evaluation
    rows = []
    for place, combination in enumerate(evaluation.combinations):
        comparison = study.gain(place)
        rows.append(
            (
                combination.name,
                _share(study.accuracy(place)),
                "" if place == 0 else _difference(comparison.difference, 3),
                f"{evaluation.selection_loss(place).mean():.3f}",
                f"{study.mean(place, Measure.TOKENS) / 1e3:.1f}",
                f"{study.mean(place, Measure.CUT_TOKENS) / 1e3:.1f}",
                f"{study.mean(place, Measure.LAUNCHED):.1f}",
                f"{study.mean(place, Measure.SECONDS):.0f}",
            )
        )
    return TextTable(
        f"{len(evaluation.problems)} problems, {evaluation.rounds} solves each, "
        f"on {study.machine}; 95 % intervals by problem",
        ("policies", "accuracy", "against the first", "selection loss", "thousand tokens",
         "of these cut", "attempts", "seconds"),
        tuple(rows),
    )  # fmt: skip


def _tuned(study: Study) -> TextTable:
    tuned = study.tuned
    assert tuned is not None  # noqa: S101 - the caller has looked
    splits = sum(tuned.choices.values())
    found = (
        "tuned", _share(study.tuned_accuracy(tuned)),
        _difference(tuned.gain(study.seed).difference, 3), f"{tuned.token_share:.2f}",
    )  # fmt: skip
    choices = [(name, "", "", f"{times} x") for name, times in tuned.choices.most_common(5)]
    return TextTable(
        f"tuned on one half of the problems, measured on the other, {splits} splits",
        ("settings", "accuracy", "against the first", "share of its tokens, or times chosen"),
        (found, *choices),
    )


def _budgets(study: Study) -> TextTable:
    rows = []
    for hours, results in study.budgets.items():
        for place, result in enumerate(results):
            gain = study.budget_gain(hours, place).difference
            rows.append(
                (
                    f"{hours:g} h, {result.name}",
                    _difference(result.estimate(study.seed), 2, sign=""),
                    "" if place == 0 else _difference(gain, 2),
                    str(result.late), str(result.without_share),
                    f"{result.seconds.mean() / 3600:.2f}",
                )
            )  # fmt: skip
    pairs = len(next(iter(study.budgets.values()))[0].score)
    return TextTable(
        f"runs under one clock, {pairs} pairs; a problem right in both runs is 1 point, in one 0.5",
        ("clock, budget", "points", "against the first", "late runs", "problems without time",
         "hours used"),
        tuple(rows),
    )  # fmt: skip


def _share(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _difference(estimate: Estimate, digits: int, sign: str = "+") -> str:
    mean, low, high = (
        f"{value:{sign}.{digits}f}" for value in (estimate.mean, estimate.low, estimate.high)
    )
    return f"{mean} ({low} to {high})"
