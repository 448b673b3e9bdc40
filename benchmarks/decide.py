"""What deciding is worth: policies tuned on half of the problems, measured on the other half.

    python -m benchmarks.decide --data attempts.jsonl --cells cells.jsonl

On recorded attempts of the problems that have at least eight, drawn without replacement; all
policies see the same attempts in the same order. Without `--data` the attempts are synthetic, by
seed, and the table says so with their parameters: figures of those say nothing about a model.

Votes: settings are chosen on one half and reported on the other, over many splits, against "eight
attempts, stop at four equal" and simple staging, 4 (stop 3), 8 (stop 4), 16 (stop 6). Two goals:
its accuracy for fewer tokens, and more accuracy for its tokens. The same with problems of one
family (ids that begin alike) kept in one half, so that nothing is tuned on a sibling.

Contested ballots of eight: weights that need no model, chosen on one half, against plurality, the
best of them in hindsight, and what a choice among them that is always right would get.

What the halves do not guard against: the search space, the selectors' criterion and the budgets'
floor and smoothing were settled while results on these recorded problems were in view. Another
recording is the test of them. On the synthetic population of seed 0 budgets are under greedy at
every clock, on those of seeds 1 and 2 above it. A possible reason: the other half is few problems
to learn from, where some of the run's own tell how long the rest takes.

Budgets: pairs of 50-problem runs of the reporting half on the described H100, against the published
greedy policy. Ours learns from paths of the other half, smoothed by a synthetic population, which
is no recorded one. Intervals are by problem for votes and selectors; for budgets by pair of runs,
and by problem beside it.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from benchmarks.decide_budgets import measure_budgets
from benchmarks.decide_selectors import measure_selectors
from benchmarks.report import Result, finish, print_table
from server.replay.load import load_records
from voting.machine import H100
from voting.policies import PolicyNames
from voting.replay.evaluate import Evaluation, Evaluator, Measure
from voting.replay.records import RecordedProblem, with_attempts
from voting.replay.solve import Combination
from voting.replay.synthetic import Population, draw_population
from voting.replay.tuner import Goal, Tuned, search_space, tune

LEAST_ATTEMPTS = 8
#: Of the reference's tokens: what is asked, and what tuning aims at, for the other half may differ.
FEWER_TOKENS, FEWER_AIMED = 0.60, 0.55
SAME_TOKENS, SAME_AIMED = 1.0, 0.95
#: How much accuracy fewer tokens may cost: one point.
SLACK = 0.01
#: How many parts of an id, between hyphens, tell its family.
FAMILY_PARTS = 2

PEER = Combination(
    "8 attempts, stop at 4 equal", PolicyNames(early_stop="agree"), attempts=8, agree=4
)
STAGES = "staged(4:3, 8:4, 16:6)"
STAGING = Combination(
    "staged 4 (3), 8 (4), 16 (6)", PolicyNames(early_stop=STAGES, launch=STAGES), 16, 6
)
SIXTEEN = Combination("majority of 16", PolicyNames(), attempts=16, agree=16)


class Part(StrEnum):
    """What is measured."""

    VOTES = "votes"
    SELECTORS = "selectors"
    BUDGETS = "budgets"
    ALL = "all"


def main(
    data: Annotated[Path | None, typer.Option(help="recorded attempts, JSON lines")] = None,
    cells: Annotated[Path | None, typer.Option(help="their cells, for code agreement")] = None,
    rounds: Annotated[int, typer.Option(help="solves of each problem and combination")] = 60,
    splits: Annotated[int, typer.Option(help="halves to tune and report on")] = 100,
    pairs: Annotated[int, typer.Option(help="pairs of runs for each split and clock")] = 6,
    run_splits: Annotated[int, typer.Option(help="splits for the runs")] = 12,
    seed: int = 0,
    part: Annotated[Part, typer.Option(help="one part, or all")] = Part.ALL,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    problems = _problems(data, cells, seed)
    results: list[Result] = []
    if part in (Part.VOTES, Part.ALL):
        results += _votes(problems, rounds, splits, seed)
    if part in (Part.SELECTORS, Part.ALL):
        results += measure_selectors(problems, rounds, splits, seed)
    if part in (Part.BUDGETS, Part.ALL):
        results += measure_budgets(problems, PEER, run_splits, pairs, seed)
    finish(results)


def _problems(data: Path | None, cells: Path | None, seed: int) -> list[RecordedProblem]:
    if data is None:
        population = Population()
        print(f"NOT RECORDED, {population.stated()}; seed {seed}. --data names recorded ones.")
        return draw_population(population, seed)
    records = load_records([data], cells=cells)
    problems = with_attempts(records.problems, LEAST_ATTEMPTS)
    attempts = sum(len(problem.attempts) for problem in problems)
    print(
        f"{data.name}: {len(problems)} of {len(records.problems)} problems with at least "
        f"{LEAST_ATTEMPTS} attempts, {attempts} attempts"
    )
    return problems


def _votes(problems: list[RecordedProblem], rounds: int, splits: int, seed: int) -> list[Result]:
    combinations = [PEER, STAGING, SIXTEEN, *search_space()]
    evaluator = Evaluator(problems, combinations, H100, seed)
    for _ in track(range(rounds), "policies"):
        evaluator.step()
    evaluation = evaluator.evaluation()
    # Majority of 16 is no choice of the tuner: it needs more attempts than most problems have.
    choices = Evaluation(
        (PEER, STAGING, *evaluation.combinations[3:]), evaluation.problems, evaluation.rounds,
        np.delete(evaluation.values, 2, axis=0),
    )  # fmt: skip
    _print_peers(evaluation, seed)
    families = ["-".join(name.split("-")[:FAMILY_PARTS]) for name in evaluation.problems]
    fewer = tune(choices, 0, Goal(FEWER_AIMED), splits=splits, seed=seed)
    same = tune(choices, 0, Goal(SAME_AIMED), splits=splits, seed=seed)
    apart = [
        tune(choices, 0, Goal(aimed), splits=splits, seed=seed, groups=families)
        for aimed in (FEWER_AIMED, SAME_AIMED)
    ]
    _print_tuned(
        {
            "fewer tokens": fewer, "same tokens": same, "fewer, families apart": apart[0],
            "same, families apart": apart[1],
        },
        seed,
    )  # fmt: skip
    return _vote_results(evaluation, problems, fewer, same, seed)


def _vote_results(
    evaluation: Evaluation,
    problems: list[RecordedProblem],
    fewer: Tuned,
    same: Tuned,
    seed: int,
) -> list[Result]:
    accuracy, tokens = Measure.ACCURACY, Measure.TOKENS
    whole = np.array([len(problem.attempts) >= SIXTEEN.attempts for problem in problems])
    gap = evaluation.by_problem(2, accuracy) - evaluation.by_problem(0, accuracy)
    wanted = max(0.0, float(gap.mean())) / 3
    measured = float(gap[whole].mean()) if whole.any() else 0.0
    print(
        f"gap from the peer to majority of 16: {gap.mean():+.4f} (fewer where fewer are recorded); "
        f"{measured:+.4f} on the {whole.sum()} problems with 16. A third of a gap below 0 asks "
        "for no loss."
    )
    staging_share = (
        evaluation.by_problem(1, tokens).mean() / evaluation.by_problem(0, tokens).mean()
    )
    staging_gain = evaluation.compare(1, 0, accuracy, seed).difference.mean
    return [
        Result("fewer_tokens_share", fewer.token_share, "of the peer's", most=FEWER_TOKENS),
        Result("fewer_tokens_gain", fewer.gain(seed).difference.mean, "accuracy", least=-SLACK),
        Result("same_tokens_share", same.token_share, "of the peer's", most=SAME_TOKENS),
        Result("same_tokens_gain", same.gain(seed).difference.mean, "accuracy", least=wanted),
        Result("staging_tokens_share", float(staging_share), "of the peer's"),
        Result("staging_gain", staging_gain, "accuracy"),
        Result(
            "fewer_tokens_over_staging", fewer.token_share / float(staging_share),
            "tokens of staging's", most=1.0,
        ),
    ]  # fmt: skip


def _print_peers(evaluation: Evaluation, seed: int) -> None:
    rows = []
    for index, combination in enumerate(evaluation.combinations[:3]):
        accuracy = evaluation.estimate(index, Measure.ACCURACY, seed)
        loss = evaluation.selection_loss(index).mean()
        rows.append(
            (
                combination.name, f"{accuracy.mean:.3f}", f"{accuracy.low:.3f}-{accuracy.high:.3f}",
                f"{loss:.3f}", f"{evaluation.by_problem(index, Measure.TOKENS).mean() / 1e3:.0f}",
                f"{evaluation.by_problem(index, Measure.SECONDS).mean():.0f}",
            )
        )  # fmt: skip
    print_table(
        f"peers, {len(evaluation.problems)} problems, {evaluation.rounds} solves each",
        ("policy", "accuracy", "95 %", "selection loss", "thousand tokens", "s on the H100"),
        rows,
    )


def _print_tuned(tuned: dict[str, Tuned], seed: int) -> None:
    rows = []
    for name, each in tuned.items():
        gain = each.gain(seed)
        (choice, times), *_ = each.choices.most_common(1)
        rows.append(
            (
                name, f"{each.interval(seed).mean:.3f}", f"{gain.difference.mean:+.3f}",
                f"{gain.difference.low:+.3f} to {gain.difference.high:+.3f}",
                f"{each.token_share:.2f}", f"{choice} ({times})",
            )
        )  # fmt: skip
    print_table(
        "tuned on one half, measured on the other, against 8 attempts that stop at 4 equal",
        ("goal", "accuracy", "gain", "95 % by problem", "tokens", "most often chosen"),
        rows,
    )


if __name__ == "__main__":
    typer.run(main)
