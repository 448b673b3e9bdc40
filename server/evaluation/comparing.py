"""Arms compared, paired by problem."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from server.evaluation import measures
from server.evaluation.scored import Floats, ScoredArm
from server.evaluation.section import Section, difference, interval
from server.evaluation.statistics.paired import PairedTest, paired_test
from server.replay.tables import TextTable


def live_rates(arm: ScoredArm) -> Floats:
    """Return 1 where the server's answer was right, 0 where not; NaN where it gave none yet."""
    return arm.by_problem(lambda p: math.nan if p.live is None else float(p.live.right))


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
