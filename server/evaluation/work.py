"""The work of the commands: evaluate, score what is recorded, compare."""

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import structlog

from client.schema import without_user
from server.evaluation.api import Api
from server.evaluation.arms import Arm
from server.evaluation.errors import NothingRecorded, ServerProblem
from server.evaluation.evidence import Evidence, read_evidence
from server.evaluation.folder import EvaluationFolder
from server.evaluation.judge import Judge
from server.evaluation.problem import ProblemSet
from server.evaluation.recorded import (
    Plan,
    Recorded,
    SelectionRow,
    read_plan,
    read_problems,
    read_recorded,
)
from server.evaluation.run import EvaluationRun, Observer, Standing
from server.evaluation.scored import ScoredArm, score_arm
from server.journal.errors import JournalUnreadable
from server.settings import Settings

log = structlog.get_logger(__name__)

#: Where evaluations lie that name no folder.
FOLDER = Path("evaluations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to evaluate, and where. `model` is what the server must have, where it is given."""

    problems: ProblemSet
    arms: tuple[Arm, ...]
    attempts: int
    seed: int
    time_limit_s: float | None
    out: Path
    url: str
    key: str | None = None
    model: str | None = None
    parallel: int = 1
    patience_s: float = 600.0


async def evaluate(wish: Wish, observer: Observer) -> Standing:
    """Have every attempt that the folder lacks.

    Raises:
        EvaluationError: see `server.evaluation.errors`.
    """
    async with Api(wish.url, key=wish.key, patience_s=wish.patience_s) as api:
        model = (await api.ready()).model
        if wish.model is not None and wish.model not in (model, Path(model).name):
            raise ServerProblem(
                f"model {wish.model!r}: the server at {api.url} has {model or 'none'!r}; start "
                "one that has it, as in `quorum serve --engine-model …`, or leave --model out"
            )
        with EvaluationFolder(wish.out, make_plan(wish, model), wish.problems) as folder:
            async with Judge() as judge:
                run = EvaluationRun(folder, wish.arms, api, judge, observer)
                return await run.complete(wish.parallel)


async def select(
    path: Path, selector: str, api: Api, time_limit_s: float, observe: Callable[[int, int], None]
) -> tuple[int, int]:
    """Have the server choose again among every problem's attempts; return how many, and left out.

    Left out are problems whose attempts are of several solves, and solves that it has no more.

    Raises:
        ServerProblem: it refuses, or cannot be reached.
        EvaluationUnusable: the folder is none, is in use, or cannot be written.
    """
    plan = read_plan(path)
    problems = read_problems(path)
    made = ProblemSet(name=plan.set, problems=tuple(problems))
    chosen = left_out = 0
    with EvaluationFolder(path, plan, made) as folder:
        wanted = [(arm["name"], problem.id) for arm in plan.arms for problem in problems]
        for done, (arm, problem) in enumerate(wanted):
            observe(done, len(wanted))
            if selector in folder.recorded.selections.get((arm, problem), {}):
                chosen += 1
                continue
            solves = sorted({row.solve_id for row in folder.recorded.of(arm, problem)})
            report = None
            if len(solves) == 1:
                report = await api.select(solves[0], selector, time_limit_s)
            if report is None:
                left_out += 1
                continue
            folder.add_selection(
                SelectionRow(
                    arm=arm, problem=problem, solve_id=solves[0], selector=selector,
                    answer=report.get("answer"), seconds=float(report.get("seconds", 0.0)),
                )
            )  # fmt: skip
            chosen += 1
        observe(len(wanted), len(wanted))
    return chosen, left_out


def make_plan(wish: Wish, model: str) -> Plan:
    """Return the plan of a new evaluation."""
    return Plan(
        id=f"eval-{uuid.uuid4().hex[:12]}",
        set=wish.problems.name,
        digest=wish.problems.digest,
        origin=wish.problems.origin,
        licence=wish.problems.licence,
        notes=wish.problems.notes(),
        arms=[{"name": arm.name, "fields": dict(arm.fields)} for arm in wish.arms],
        attempts=wish.attempts,
        seed=wish.seed,
        time_limit_s=wish.time_limit_s,
        model=model,
        created=time.time(),
        url=without_user(wish.url),
    )


def folder_of(wish: Wish) -> Path:
    """Return the folder of an evaluation that names none: the same for the same wish."""
    asked = {**make_plan(wish, "").fixed(), "model": wish.model}
    told = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", wish.problems.name).strip("-.")[:60] or "set"
    return FOLDER / f"{name}-{told[:8]}"


def local_url(settings: Settings) -> str:
    """Return where this machine's settings say that a server listens."""
    host = settings.gateway.host
    reached = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared only
    return (
        f"http://[{reached}]:" + str(settings.gateway.port)
        if ":" in reached
        else (f"http://{reached}:{settings.gateway.port}")
    )


async def score_folder(
    path: Path, journal: Path | None, otherwise: Path
) -> tuple[Plan, list[ScoredArm]]:
    """Return an evaluation's arms, judged, with what a journal knows of their attempts.

    Without a `journal` that is named, the one `otherwise` is read where that can be.

    Raises:
        EvaluationUnusable: it is no evaluation.
        NothingRecorded: no attempt has ended.
        JournalUnreadable: the journal that is named cannot be read.
    """
    plan, problems, recorded = read_plan(path), read_problems(path), read_recorded(path)
    evidence = _evidence(recorded, journal, otherwise)
    arms = []
    async with Judge() as judge:
        for arm in plan.arms:
            try:
                arms.append(await score_arm(arm["name"], problems, recorded, plan, judge, evidence))
            except NothingRecorded:
                continue
    if not arms:
        raise NothingRecorded(
            f"{path}: 0 attempts have ended: must be at least 1; run the evaluation first"
        )
    return plan, arms


def _evidence(
    recorded: Recorded, journal: Path | None, otherwise: Path
) -> Mapping[tuple[str, int], Evidence]:
    solves = {row.solve_id for rows in recorded.attempts.values() for row in rows.values()}
    if journal is not None:
        return read_evidence(journal, solves)
    try:
        return read_evidence(otherwise, solves)
    except JournalUnreadable as error:
        log.info("evaluation.no_journal", reason=str(error))
        return {}


def side_by_side(sides: Sequence[tuple[str, Sequence[ScoredArm]]]) -> list[ScoredArm]:
    """Return the arms of several evaluations under names that tell them apart."""
    return [
        replace(arm, name=_name(name, arm, own)) if name else arm
        for name, own in sides
        for arm in own
    ]


def _name(side: str, arm: ScoredArm, own: Sequence[ScoredArm]) -> str:
    return side if len(own) == 1 else f"{side}: {arm.name}"
