"""The work of one replay, which an interrupt ends early with what there is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.replay.observe import Progress
from server.replay.study import Study
from voting.allocation import AdaptiveBudget
from voting.budget import Budget, GreedyBudget
from voting.errors import ReplayError
from voting.library import RecordedPaths
from voting.machine import Machine
from voting.replay.budgets import BudgetResult, RunSetting, replay_budgets
from voting.replay.evaluate import Evaluation, Evaluator
from voting.replay.records import RecordedProblem
from voting.replay.run import path_library, rated_paths
from voting.replay.solve import Combination
from voting.replay.tuner import Goal, Tuned, halves, search_space, tune

HOUR_S = 3_600.0
#: Solves of each problem in a library that is written.
LIBRARY_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to replay: see the options of `quorum replay`."""

    source: str
    notes: tuple[str, ...]
    problems: tuple[RecordedProblem, ...]
    combinations: tuple[Combination, ...]
    machine: Machine
    rounds: int
    seed: int
    tune_share: float | None = None
    splits: int = 100
    hours: tuple[float, ...] = ()
    run_problems: int = 50
    pairs: int = 10


def carry_out(request: Request, progress: Progress) -> Study:
    """Evaluate, tune and compare budgets, as far as asked for.

    Control-C ends the work after the round that it is in, and the study says so; before the first
    round has ended it is raised.

    Raises:
        ReplayError: the problems are too few for what is asked.
        KeyboardInterrupt: there is nothing to show yet.
    """
    evaluation, whole = _evaluate(request, request.combinations, progress, "policies")
    study = Study(
        source=request.source,
        notes=request.notes,
        machine=request.machine.name,
        seed=request.seed,
        evaluation=evaluation,
    )
    if whole:
        try:
            if request.tune_share is not None:
                study = replace(study, tuned=_tune(request, request.tune_share, progress))
            for hours in request.hours:
                results = _budgets(request, hours, progress)
                study = replace(study, budgets={**study.budgets, hours: results})
        except KeyboardInterrupt:
            whole = False
    if whole:
        return study
    note = "Interrupted: what follows is less than was asked for."
    return replace(study, notes=(*study.notes, note))


def _evaluate(
    request: Request, combinations: Sequence[Combination], progress: Progress, name: str
) -> tuple[Evaluation, bool]:
    """Return the evaluation, and whether it has all its rounds."""
    evaluator = Evaluator(request.problems, combinations, request.machine, request.seed)
    try:
        return evaluator.run(request.rounds, progress.stage(name)), True
    except KeyboardInterrupt:
        if not evaluator.rounds:
            raise
        return evaluator.evaluation(), False


def _tune(request: Request, share: float, progress: Progress) -> Tuned:
    names = {combination.name for combination in request.combinations}
    space = [each for each in search_space() if each.name not in names]
    combinations = (*request.combinations, *space)
    evaluation, whole = _evaluate(request, combinations, progress, "tuning")
    if not whole:
        # Of a search that was broken off, nothing is shown: its rounds are too few to choose by.
        raise KeyboardInterrupt
    return tune(evaluation, 0, Goal(share), splits=request.splits, seed=request.seed)


def _budgets(request: Request, hours: float, progress: Progress) -> list[BudgetResult]:
    """Compare budgets on runs of one half of the problems, with a library from the other."""
    if len(request.problems) < 2:
        raise ReplayError(
            "budgets of 1 problem: must be at least 2, one half to learn from; record more"
        )
    names = [problem.id for problem in request.problems]
    learning, reporting = halves(names, request.seed, 0)
    combination = request.combinations[0]
    known = [request.problems[index] for index in learning]
    library = path_library(known, combination, request.machine, request.seed)
    budgets: dict[str, Budget] = {
        "greedy": GreedyBudget(),
        "adaptive": AdaptiveBudget(library),
    }
    setting = RunSetting(hours * HOUR_S, request.run_problems, request.pairs, request.seed)
    problems = [request.problems[index] for index in reporting]
    observe = progress.stage(f"{hours:g} hours")
    return replay_budgets(problems, combination, request.machine, budgets, setting, observe)


def learn(request: Request) -> RecordedPaths:
    """Return what a budget can begin a run with: paths of the problems under the first combination.

    Raises:
        ReplayError: no solve of them came to a vote.
    """
    combination = request.combinations[0]
    paths = rated_paths(
        request.problems, combination, request.machine, request.seed, LIBRARY_ROUNDS
    )
    if not any(rated.path.marks for rated in paths):
        raise ReplayError(
            f"library of {len(paths)} solves: must have a vote at least; record solves that come "
            "to an answer"
        )
    source = f"{request.source}; {combination.name}; on {request.machine.name}"
    return RecordedPaths(source, combination.attempts, combination.agree, tuple(paths))
