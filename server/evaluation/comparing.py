"""Arms compared, paired by problem."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from server.evaluation import measures
from server.evaluation.scored import Floats, LiveAnswer, ScoredArm
from server.evaluation.section import Section, difference, finite, interval, number
from server.evaluation.statistics.paired import PairedTest, paired_test
from server.evaluation.statistics.repeats import Series, change
from server.replay.tables import TextTable


def live_rates(arm: ScoredArm) -> Floats:
    """Return the share of its solves in which the server's answer was right; NaN for none."""
    return arm.by_problem(lambda problem: problem.live_rate)


def arms_compared(arms: Sequence[ScoredArm], seed: int) -> Section:
    """Return each arm against the first, on the problems that both have."""
    rows, data = [], {}
    first = arms[0]
    for arm in arms[1:]:
        for what, test in compared(first, arm, seed).items():
            rows.append((f"{arm.name} - {first.name}, {what}", *test_cells(test)))
            data[f"{arm.name}, {what}"] = test_data(test)
    return Section(
        name="compared",
        title="Arms against the first",
        text="Paired by problem, in percentage points.",
        tables=(TextTable("differences", ("arms", *TEST_COLUMNS), tuple(rows)),),
        data=data,
    )


TEST_COLUMNS = ("points", "p, sign flips", "p, McNemar", "better at", "worse at", "problems")


def compared(one: ScoredArm, other: ScoredArm, seed: int) -> dict[str, PairedTest]:
    """Compare the second arm with the first, on common problems: by attempt, and by answer."""
    theirs = {problem.id for problem in other.problems}
    ids = [problem.id for problem in one.problems if problem.id in theirs]
    a, b = one.common(ids), other.common(ids)
    tests = {
        "single attempt": paired_test(
            measures.single_rates(b), measures.single_rates(a), seed=seed
        ),
    }
    mine, yours = live_rates(a), live_rates(b)
    known = ~np.isnan(mine) & ~np.isnan(yours)
    if known.any():
        tests["server's answer"] = paired_test(yours[known], mine[known], seed=seed)
    return tests


def repeats_compared(arms: Sequence[ScoredArm]) -> list[Section]:
    """Return how often and how fast each arm solved what was solved several times, if anything."""
    rows: list[tuple[str, ...]] = []
    data: dict[str, Any] = {}
    before = {name: one for name, one in series_of(arms[0]).items() if one.count > 1}
    for arm in arms[1:]:
        for name, after in series_of(arm).items():
            if name not in before or after.count < 2:
                continue
            found = change(before[name], after)
            rows.append(
                (
                    f"{arm.name} - {arms[0].name}, {name}",
                    *(f"{one.solved} of {one.count}" for one in (before[name], after)),
                    number(found.solved, 3),
                    *(number(one.median_s, 1) for one in (before[name], after)),
                    number(found.seconds, 3),
                )
            )  # fmt: skip
            data[f"{arm.name}, {name}"] = {
                "before": before[name].solved, "of_before": before[name].count,
                "after": after.solved, "of_after": after.count, "solved_p": finite(found.solved),
                "seconds": [before[name].median_s, after.median_s],
                "seconds_p": finite(found.seconds),
            }  # fmt: skip
    if not rows:
        return []
    columns = ("problem", "before", "after", "p, Fisher", "median s", "after", "p, ranks")
    return [
        Section(
            name="repeats compared",
            title="Problems solved again, before and after",
            text="Of solves of one problem: how many were right, and their wall time.",
            tables=(TextTable("before and after", columns, tuple(rows)),),
            data=data,
        )
    ]


def series_of(arm: ScoredArm) -> dict[str, Series]:
    """Return the solves of each problem that have ended, by its id without the copy's number."""
    lives: dict[str, list[LiveAnswer]] = {}
    for problem in arm.problems:
        own = lives.setdefault(problem.original or problem.id, [])
        own += [] if problem.live is None else [problem.live]
    return {
        name: Series(sum(one.right for one in own), [one.seconds for one in own])
        for name, own in lives.items()
    }


def test_cells(test: PairedTest) -> tuple[str, ...]:
    """Return a test's cells, for `TEST_COLUMNS`."""
    mcnemar = "-" if math.isnan(test.mcnemar) else f"{test.mcnemar:.3f}"
    return (
        difference(test.comparison.difference), f"{test.permutation:.3f}", mcnemar,
        str(test.gained), str(test.lost), str(test.problems),
    )  # fmt: skip


def test_data(test: PairedTest) -> dict[str, Any]:
    """Return a test as JSON values."""
    return {
        "difference": interval(test.comparison.difference), "permutation_p": test.permutation,
        "mcnemar_p": None if math.isnan(test.mcnemar) else test.mcnemar,
        "gained": test.gained, "lost": test.lost, "problems": test.problems,
    }  # fmt: skip
