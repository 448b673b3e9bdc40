"""Sections on doing it again: what another run would show, and problems that were solved again."""

from typing import Any

import numpy as np

from server.evaluation import measures
from server.evaluation.comparing import series_of
from server.evaluation.scored import ScoredArm
from server.evaluation.section import Section, interval, number, share
from server.evaluation.statistics.contest import two_runs
from server.evaluation.statistics.paired import power
from server.replay.tables import TextTable


def runs_section(arm: ScoredArm, attempts: int, points: float) -> Section:
    """Return what a run of this set can show, and the contest's score of two.

    Of a majority of k the variance is told by 2 k attempts: a run that has as many attempts as are
    recorded is shown by the half of them, where there are no more.
    """
    size = max(1, min(attempts, arm.typical_attempts // 2))
    variances = measures.run_variances(arm, size)
    to_see = f"runs on each side to see {points:g} problems' difference"
    known = ~np.isnan(variances)
    rows = [("deviation of one run", "-"), (to_see, "-"), ("contest score of two runs", "-")]
    text = "It takes two attempts at a problem to know how much a run varies; there is one."
    data: dict[str, Any] = {
        "size": size, "deviation": None, "points": points, "runs": None, "two_runs": None,
        "at_most": False,
    }  # fmt: skip
    if known.any():
        text = "By chance of sampling alone: other problems would differ more."
        found = power(variances, points)
        contest = two_runs(measures.majority_rates(arm, size)[known], found.deviation)
        score = f"{contest.mean:.2f} ({contest.low:.1f} to {contest.high:.1f})"
        most = "at most " if found.at_most else ""
        rows = [
            (f"deviation of one run, majority of {size}", f"{most}{found.deviation:.2f} problems"),
            (f"{to_see}, {found.power:.0%} sure", f"{most}{found.runs}"),
            ("contest score of two runs, 95 % of pairs", f"{score} of {contest.problems}"),
        ]
        data |= {
            "deviation": found.deviation, "runs": found.runs, "at_most": found.at_most,
            "two_runs": [contest.mean, contest.low, contest.high],
        }  # fmt: skip
    return Section(
        name=f"runs {arm.name}",
        title=f"What a run can show, {arm.name}",
        text=text,
        tables=(TextTable("runs", ("", "value"), tuple(rows)),),
        data=data,
    )


def repeats_section(arm: ScoredArm) -> list[Section]:
    """Return problems that were solved several times: solved of k, and wall time."""
    found = {name: one for name, one in series_of(arm).items() if one.count > 1}
    if not found:
        return []
    rows = [
        (
            name, f"{one.solved} of {one.count}", share(one.share), number(sum(one.seconds), 0),
            number(one.median_s, 1),
        )
        for name, one in found.items()
    ]  # fmt: skip
    columns = ("problem", "solved", "share", "seconds in all", "median")
    return [
        Section(
            name=f"repeats {arm.name}",
            title=f"Problems solved again, {arm.name}",
            text="Intervals of one problem's share are Wilson's.",
            tables=(TextTable("repetitions", columns, tuple(rows)),),
            data={
                name: {
                    "solved": one.solved, "of": one.count, "share": interval(one.share),
                    "seconds": sum(one.seconds), "median": one.median_s,
                }
                for name, one in found.items()
            },
        )
    ]  # fmt: skip
