"""A scripted planner of another family for the tests of recipes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from client.schema import AttemptReport, AttemptStarted, SolveResult
from server.dialect.catalogue import open_dialect
from server.dialect.harmony_tokens import HarmonyTokens
from server.engine.errors import EngineError
from server.engine.named import NamedEngine
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.solve.recipe import read_recipe
from server.vocabulary import Vocabulary
from tests.server.solve.rehearsal import Part, Rehearsal, Stage, boxed, lines, python

PLAN = "Multiply: print(6 * 7) is all.\nCheck by adding <|im_end|>six seven times."
#: What the planner writes in a stream of a session; True ends its message.
Plays = Callable[[str, int], Iterable[str | bool | anyio.Event | EngineError]]


@dataclass
class Planner:
    """A scripted engine of another family, and what was asked of it."""

    named: NamedEngine
    engine: ScriptedEngine

    def prompts(self) -> list[str]:
        """Return what it was asked, as text, controls and all."""
        decode = self.named.vocabulary.decode
        return [decode(list(request.prompt)) for request in self.engine.requests]


def planner(harmony: Vocabulary, plays: Plays, *, context_tokens: int = 8192) -> Planner:
    dialect = open_dialect("harmony", harmony)
    tokens = HarmonyTokens(harmony)
    streams: dict[str, int] = {}

    def script(request: StreamRequest) -> Iterable[Step]:
        number = streams.get(request.session, 0)
        streams[request.session] = number + 1
        if number == 0:
            yield tokens.on_channel("final")
        for part in plays(request.session, number):
            if isinstance(part, bool):
                yield [tokens.stop]
            else:
                yield harmony.encode(part) if isinstance(part, str) else part

    engine = ScriptedEngine(
        script, harmony.size, end_ids=dialect.end_ids, context_tokens=context_tokens
    )
    return Planner(NamedEngine("planner", engine, dialect, harmony, Path("harmony")), engine)


def whole(_session: str, _stream: int) -> list[str | bool]:
    return [PLAN, True]


def prepare(
    stage: Stage,
    by: Planner,
    recipe: str = "plan_then_code",
    play: Callable[[int, int], Iterable[Part]] | None = None,
    **request: Any,  # noqa: ANN401 - of `Stage.rehearse`
) -> Rehearsal:
    """Prepare a solve whose attempts compute 6 * 7, after what the planner plays."""
    coder = play or lines([python("print(6 * 7)")], boxed("42"))
    wanted: dict[str, Any] = {"attempts": 3, "agree": 3, "tokens": True, **request}
    solve = stage.rehearse(coder, **wanted)
    solve.parts = replace(solve.parts, others={"planner": by.named})
    solve.plan = replace(solve.plan, recipe=read_recipe(recipe, ["planner"]))
    return solve


def report_of(result: SolveResult) -> AttemptReport:
    (report,) = result.plans
    return report


def given(solve: Rehearsal) -> list[int | None]:
    """Return the plan of each attempt that began, in their order."""
    started = sorted(solve.events(AttemptStarted), key=lambda event: event.attempt)
    return [event.plan for event in started if not event.is_plan]
