"""Ways to choose an answer, all on the same recorded attempts, by `voting/replay`.

Those that ask a model (`genselect`, `recheck`, `process_reward`) cannot be replayed: they are had
from the server on the recorded attempts, or as arms of their own.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.evaluation.scored import ScoredArm
from voting.machine import Machine
from voting.policies import PolicyNames
from voting.replay.evaluate import Evaluation, Evaluator
from voting.replay.records import RecordedAttempt
from voting.replay.solve import Combination
from voting.strategies import strategy

#: Solves of each problem where the order of attempts matters; without interest where it does not.
DEFAULT_ROUNDS = 8
#: Bound of the work of one report, in counted votes: an attempt's vote has all earlier ones counted
#: again. So many take about five seconds; larger evaluations have fewer orders of attempts.
MOST_COUNTED = 10_000_000
#: The share of equal answers at which stopping strategies stop, of the attempts.
AGREE_SHARE = 0.5
MAJORITY = "majority_vote of {}"


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded of some attempts: with nothing of it a strategy would be another's twin."""

    calls: bool
    entropy: bool
    confidence: bool
    dips: bool
    printed: bool

    @classmethod
    def of(cls, arm: ScoredArm) -> "Known":
        """Look at an arm's attempts."""
        records = [attempt.record for problem in arm.problems for attempt in problem.attempts]

        def any_has(test: Callable[[RecordedAttempt], bool]) -> bool:
            return any(map(test, records))

        return cls(
            calls=any_has(lambda r: r.tool_calls > 0),
            entropy=any_has(lambda r: r.scores is not None and r.scores.mean_entropy is not None),
            confidence=any_has(
                lambda r: r.scores is not None and r.scores.mean_confidence is not None
            ),
            dips=any_has(lambda r: bool(r.dips)),
            printed=any_has(lambda r: r.printed is not None),
        )


def sizes(attempts: int) -> list[int]:
    """Return the powers of two up to a number of attempts, and that number."""
    return sorted({*(2**power for power in range(attempts.bit_length())), attempts})


def combinations(known: Known, attempts: int) -> list[Combination]:
    """Return the strategies that can be told apart on what is known, the plain majority first."""
    agree = max(1, round(attempts * AGREE_SHARE))
    named: list[tuple[str, PolicyNames, int]] = [
        (MAJORITY.format(attempts), PolicyNames(), attempts)
    ]
    named += [(MAJORITY.format(k), PolicyNames(), k) for k in sizes(attempts)[1:-1]]
    named.append(("first_boxed", PolicyNames(selector="first", early_stop="agree(1)"), attempts))
    named += [(name, names, attempts) for name, names in _weighted(known)]
    named += [
        (f"majority, stop at {agree} equal", PolicyNames(early_stop="agree"), attempts),
        ("two ahead", PolicyNames(launch="top_up(2)", early_stop="ahead(2)"), attempts),
    ]
    return [Combination(name, names, count, min(agree, count)) for name, names, count in named]


def _weighted(known: Known) -> list[tuple[str, PolicyNames]]:
    """Return what weighs votes, or filters them, by what is known of attempts."""
    found: list[tuple[str, PolicyNames]] = []
    if known.calls:
        found += [
            ("weighted: tool errors", _weight("tool_errors")),
            ("filtered: programs that ran", _weight("executed")),
        ]
    if known.printed:
        found += [
            ("weighted: code agreement", _weight("code_agreement")),
            ("weighted_vote", strategy("weighted_vote").policies),
            ("tir", strategy("tir").policies),
            ("answers that code prints", PolicyNames(selector="rerun")),
        ]
    if known.entropy:
        found.append(("weighted: entropy", _weight("entropy")))
    if known.confidence:
        found += [
            (f"DeepConf: {name.removesuffix('_confidence').replace('_', ' ')}", _weight(name))
            for name in (
                "mean_confidence", "lowest_group_confidence", "bottom_tenth_confidence",
                "tail_confidence",
            )
        ]  # fmt: skip
    if known.dips:
        online = PolicyNames(
            weight="lowest_group_confidence", selector="weighted", prune="deepconf"
        )
        found.append(("DeepConf online", online))
    return found


def _weight(text: str) -> PolicyNames:
    return PolicyNames(weight=text, selector="weighted")


def evaluate(
    arm: ScoredArm,
    more: Sequence[Combination],
    machine: Machine,
    *,
    attempts: int,
    rounds: int,
    seed: int,
    observe: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Solve every problem under every strategy; `more` are those that were asked for besides.

    A problem that was solved several times is replayed as often, each time on the attempts of one
    solve, and is the mean of these: each attempt counts, and a draw of few of all would be luck.

    Raises:
        ReplayError: two have the same name.
    """
    tried = [*combinations(Known.of(arm), attempts), *more]
    problems = [problem.recorded() for problem in arm.problems]
    counted = sum(min(len(p.attempts), one.attempts) ** 2 for p in problems for one in tried)
    bounded = max(1, min(rounds, MOST_COUNTED // max(1, counted)))
    evaluation = Evaluator(problems, tried, machine, seed).run(bounded, observe)
    return _merged(evaluation, [problem.original or problem.id for problem in arm.problems])


def _merged(evaluation: Evaluation, originals: Sequence[str]) -> Evaluation:
    """Return an evaluation with the copies of each problem as their mean, by first appearance."""
    columns: dict[str, list[int]] = defaultdict(list)
    for column, original in enumerate(originals):
        columns[original].append(column)
    means = [evaluation.values[:, own].mean(axis=1) for own in columns.values()]
    return replace(evaluation, problems=tuple(columns), values=np.stack(means, axis=1))
