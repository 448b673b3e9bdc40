"""Says what a rehearsed model goes on with after any prompt.

Nothing is remembered from request to request but for speed: the attempt's script is known by the
name that it wrote at its beginning, and the place in it is where the prompt ends.
"""

import random
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from server.dialect.base import FORCED_LEAD, Dialect
from server.engine.rehearsal.likely import NEUTRAL, Mood, mood_of
from server.engine.rehearsal.machine import Habits
from server.engine.rehearsal.problems import problem_of
from server.engine.rehearsal.prose import Prose
from server.engine.rehearsal.recordings import Recalled, Recording, read_recordings
from server.engine.rehearsal.script import NAMED, Script
from server.engine.rehearsal.search import find, overlap
from server.engine.rehearsal.statements import Statements
from server.engine.rehearsal.writer import writer_for
from server.prompts import guided_role
from server.vocabulary import Vocabulary

#: A box that is open at the prompt's end, and what is in it.
_FORCED = re.compile(re.escape(FORCED_LEAD) + r"([^{}]*)\Z")
#: What selectors ask a judge to write: a number up to so many.
_CHOICE = re.compile(r"an integer from 1 to (\d+), in \\boxed\{\}")
#: What prompts name where there is a tool.
_TOOL = re.compile(r"python|programs", re.IGNORECASE)
#: What stands before an attempt's name, or where it comes, where a fence was opened for it.
_FENCED = re.compile(r"```python\n(# )?\Z")
#: The tokens of a judgement.
JUDGEMENT_TOKENS = 200
#: The tokens of a plan, and of the thinking before it.
PLAN_TOKENS = 80
#: Within so many tokens of its own an attempt has written its name.
NAME_TOKENS = 64
#: Scripts that are kept: more than attempts run at once.
MOST_SCRIPTS = 1024
#: Tokens at a prompt's end among which an open box is looked for.
FORCED_TOKENS = 96


@dataclass(frozen=True, slots=True)
class Reply:
    """The ids that come, up to the one that ends the stream by itself, and how likely they are."""

    ids: list[int]
    mood: Mood | Recalled


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt ends in a script: the ids that come, after `begun` of the turn's, and the
    results of the turns before it; `over` where there is no turn left.
    """

    ids: list[int]
    results: list[str]
    begun: int = 0
    over: bool = False


class Player:
    """Plays one model; `known` maps keys of problems to answers, `seed` is the rehearsal's.

    `traces` is a file of recorded attempts: problems that have some get them and no others.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        dialect: Dialect,
        habits: Habits,
        *,
        seed: int = 0,
        known: Mapping[str, str] | None = None,
        traces: Path | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._habits = habits
        self._seed = seed
        self._known = known or {}
        self._writer = writer_for(dialect, vocabulary)
        self._prose = Prose(vocabulary.encode)
        self._statements = Statements(vocabulary, dialect)
        self._recordings = (
            read_recordings(traces, vocabulary, dialect, self._writer) if traces else None
        )
        self._scripts: OrderedDict[tuple[str, str, bool, bool], Script] = OrderedDict()

    def reply(self, prompt: Sequence[int], seed: int) -> Reply:
        """Return what follows the prompt; `seed` chooses among attempts that have not begun."""
        text = self._vocabulary.decode(prompt)
        statement = self._statements.find(prompt)
        named = NAMED.search(text)
        judged = [] if named else self._judgement(text, seed) or self._plan(text, seed)
        if judged:
            return Reply(judged, NEUTRAL)
        if self._recordings is not None:
            recording = self._recordings.find(statement, prompt, begins=named is None)
            if recording is not None:
                return self._recorded(recording, prompt)
        name = named[1] if named else f"{random.Random(f'{self._seed} {seed}').getrandbits(32):08x}"
        script = self._script(statement, name, _before(text, named))
        ids = self._after(script, prompt, self._place(script, prompt))
        return Reply(ids, self.mood([*prompt, *ids[:NAME_TOKENS]]))

    def _recorded(self, recording: Recording, prompt: Sequence[int]) -> Reply:
        place = self._place(recording, prompt)
        ids = self._after(recording, prompt, place)
        if ids is not place.ids or not recording.logprobs:
            return Reply(ids, NEUTRAL)
        return Reply(ids, recording.mood(len(prompt), len(place.results), place.begun))

    def _after(self, script: Script | Recording, prompt: Sequence[int], place: Place) -> list[int]:
        """Return what comes: the rest of the turn, or an answer that was asked for."""
        forced = _FORCED.search(self._vocabulary.decode(prompt[-FORCED_TOKENS:]))
        if forced:
            rest = script.answer(place.results).removeprefix(forced[1])
            return [*self._writer.encode(f"{rest}}}."), self._writer.end()]
        if place.over:
            again = f"The check confirms it: \\boxed{{{script.answer(place.results)}}}."
            return self._writer.final(self._writer.encode("Again."), again)
        return place.ids

    def mood(self, ids: Sequence[int]) -> Mood:
        """Return how sure the attempt is whose tokens these are."""
        text = self._vocabulary.decode(ids)
        named = NAMED.search(text)
        if named is None:
            return NEUTRAL
        script = self._script(self._statements.find(ids), named[1], _before(text, named))
        end = len(text[: named.end()].encode())
        begins = 0
        while end > 0:
            end -= len(self._vocabulary.token_bytes(ids[begins]))
            begins += 1
        return mood_of(named[1], begins, right=script.right)

    def _script(self, statement: str, name: str, before: str) -> Script:
        """Return the script of a name; `before` is the text that stands before that."""
        problem = problem_of(statement, self._known)
        tools, fenced = _TOOL.search(before) is not None, _FENCED.search(before) is not None
        key = (problem.key, name, tools, fenced)
        script = self._scripts.pop(key, None)
        if script is None:
            habits = self._habits if tools else replace(self._habits, calls_median=0)
            script = Script(name, problem, habits, self._writer, self._prose, fenced=fenced)
        self._scripts[key] = script
        if len(self._scripts) > MOST_SCRIPTS:
            self._scripts.popitem(last=False)
        return script

    def _place(self, script: Script | Recording, prompt: Sequence[int]) -> Place:
        """Return where the prompt ends."""
        results: list[str] = []
        place = 0
        while True:
            turn = script.turn(len(results), results)
            found = find(prompt, turn.ids, place)
            if found < 0:
                begun = overlap(prompt[place:], turn.ids)
                rest = turn.ids[begun:]
                more = [] if turn.last else self._writer.after_call()
                return Place([*rest, *more], results, begun)
            place = found + len(turn.ids)
            if turn.last:
                return Place([], results, over=True)
            results.append(
                self._vocabulary.decode(prompt[place : self._next(script, results, prompt, place)])
            )

    def _next(
        self,
        script: Script | Recording,
        results: list[str],
        prompt: Sequence[int],
        place: int,
    ) -> int:
        """Return where the turn after this place begins, or the prompt's end."""
        turn = script.turn(len(results) + 1, [*results, ""])
        found = find(prompt, turn.ids[: turn.head], place)
        return found if found >= 0 else len(prompt)

    def _judgement(self, text: str, seed: int) -> list[int]:
        """Return a selector's answer, where the prompt is a selector's."""
        choice = _CHOICE.search(text)
        if not choice:
            return []
        chance = random.Random(f"judge {self._seed} {seed} {text[-500:]}")
        said = str(chance.randint(1, int(choice[1])))
        thought = self._prose.tokens(chance, JUDGEMENT_TOKENS)
        return self._writer.final(thought, f"\\boxed{{{said}}}")

    def _plan(self, text: str, seed: int) -> list[int]:
        """Return a plan for attempts, where the prompt asks for one; it has no attempt's name."""
        if not guided_role(text):
            return []
        chance = random.Random(f"plan {self._seed} {seed} {text[-500:]}")
        thought, rest = (self._prose.tokens(chance, PLAN_TOKENS) for _ in range(2))
        plan = f"1. Read the recurrence.\n2. Run it.\n3. {self._vocabulary.decode(rest)}"
        return self._writer.final(thought, plan)


def _before(text: str, named: re.Match[str] | None) -> str:
    """Return what stands before an attempt's name."""
    return text[: named.start()] if named else text
