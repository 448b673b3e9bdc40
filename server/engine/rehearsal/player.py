"""Says what a rehearsed model goes on with after any prompt.

Nothing is remembered from request to request but for speed: the attempt's script is known by the
name that it wrote at its beginning, and the place in it is where the prompt ends.
"""

import random
import re
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from server.dialect.base import FORCED_LEAD, Dialect
from server.engine.rehearsal.likely import NEUTRAL, Mood, mood_of
from server.engine.rehearsal.machine import Habits
from server.engine.rehearsal.problems import problem_of
from server.engine.rehearsal.prose import Prose
from server.engine.rehearsal.script import NAMED, Script
from server.engine.rehearsal.statements import Statements
from server.engine.rehearsal.writer import writer_for
from server.vocabulary import Vocabulary

#: A box that is open at the prompt's end, and what is in it.
_FORCED = re.compile(re.escape(FORCED_LEAD) + r"([^{}]*)\Z")
#: What selectors ask for: a number up to so many, or a yes or no.
_CHOICE = re.compile(r"an integer from 1 to (\d+), in \\boxed\{\}")
_VERDICT = re.compile(r"Yes or No in \\boxed\{\}")
#: What prompts name where there is a tool.
_TOOL = re.compile(r"python|programs", re.IGNORECASE)
#: Of judgements, the share that says yes, and the tokens that one takes.
YES = 0.7
JUDGEMENT_TOKENS = 200
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
    mood: Mood


class Player:
    """Plays one model; `known` maps keys of problems to answers, `seed` is the rehearsal's."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        dialect: Dialect,
        habits: Habits,
        *,
        seed: int = 0,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._habits = habits
        self._seed = seed
        self._known = known or {}
        self._writer = writer_for(dialect, vocabulary)
        self._prose = Prose(vocabulary.encode)
        self._statements = Statements(vocabulary, dialect)
        self._scripts: OrderedDict[tuple[str, str], Script] = OrderedDict()

    def reply(self, prompt: Sequence[int], seed: int) -> Reply:
        """Return what follows the prompt; `seed` chooses among attempts that have not begun."""
        text = self._vocabulary.decode(prompt)
        statement = self._statements.find(prompt)
        named = NAMED.search(text)
        judged = [] if named else self._judgement(text, seed)
        if judged:
            return Reply(judged, NEUTRAL)
        name = named[1] if named else f"{random.Random(f'{self._seed} {seed}').getrandbits(32):08x}"
        script = self._script(statement, name, tools=_has_tool(text, named))
        ids, results, over = self._place(script, prompt)
        tail = self._vocabulary.decode(prompt[-FORCED_TOKENS:])
        forced = _FORCED.search(tail)
        if forced:
            answer = script.answer(results)
            rest = answer.removeprefix(forced[1])
            ids = [*self._writer.encode(f"{rest}}}."), self._writer.end()]
        elif over:
            again = f"The check confirms it: \\boxed{{{script.answer(results)}}}."
            ids = self._writer.final(self._writer.encode("Again."), again)
        return Reply(ids, self.mood([*prompt, *ids[:NAME_TOKENS]]))

    def mood(self, ids: Sequence[int]) -> Mood:
        """Return how sure the attempt is whose tokens these are."""
        text = self._vocabulary.decode(ids)
        named = NAMED.search(text)
        if named is None:
            return NEUTRAL
        script = self._script(self._statements.find(ids), named[1], tools=_has_tool(text, named))
        end = len(text[: named.end()].encode())
        begins = 0
        while end > 0:
            end -= len(self._vocabulary.token_bytes(ids[begins]))
            begins += 1
        return mood_of(named[1], begins, right=script.right)

    def _script(self, statement: str, name: str, *, tools: bool) -> Script:
        problem = problem_of(statement, self._known)
        key = (problem.key, name)
        script = self._scripts.pop(key, None)
        if script is None:
            habits = self._habits if tools else replace(self._habits, calls_median=0)
            script = Script(name, problem, habits, self._writer, self._prose)
        self._scripts[key] = script
        if len(self._scripts) > MOST_SCRIPTS:
            self._scripts.popitem(last=False)
        return script

    def _place(self, script: Script, prompt: Sequence[int]) -> tuple[list[int], list[str], bool]:
        """Return what is left of the turn that the prompt ends in, the results before it, and
        whether the script is over.
        """
        results: list[str] = []
        place = 0
        while True:
            turn = script.turn(len(results), results)
            found = find(prompt, turn.ids, place)
            if found < 0:
                rest = turn.ids[overlap(prompt[place:], turn.ids) :]
                return (rest if turn.last else [*rest, *self._writer.after_call()]), results, False
            place = found + len(turn.ids)
            if turn.last:
                return [], results, True
            results.append(
                self._vocabulary.decode(prompt[place : self._next(script, results, prompt, place)])
            )

    def _next(self, script: Script, results: list[str], prompt: Sequence[int], place: int) -> int:
        """Return where the turn after this place begins, or the prompt's end."""
        turn = script.turn(len(results) + 1, [*results, ""])
        found = find(prompt, turn.ids[: turn.head], place)
        return found if found >= 0 else len(prompt)

    def _judgement(self, text: str, seed: int) -> list[int]:
        """Return a selector's answer, where the prompt is a selector's."""
        choice, verdict = _CHOICE.search(text), _VERDICT.search(text)
        if not choice and not verdict:
            return []
        chance = random.Random(f"judge {self._seed} {seed} {text[-500:]}")
        said = str(chance.randint(1, int(choice[1]))) if choice else "Yes"
        if verdict and chance.random() > YES:
            said = "No"
        thought = self._prose.tokens(chance, JUDGEMENT_TOKENS)
        return self._writer.final(thought, f"\\boxed{{{said}}}")


def _has_tool(text: str, named: re.Match[str] | None) -> bool:
    """Tell whether what stands before an attempt's name speaks of the tool."""
    return _TOOL.search(text[: named.start()] if named else text) is not None


def find(ids: Sequence[int], part: Sequence[int], start: int = 0) -> int:
    """Return where a part begins in ids, from a place on; -1 where it is not."""
    whole, wanted = array("I", ids[start:]), array("I", part)
    size = whole.itemsize
    data, pattern = whole.tobytes(), wanted.tobytes()
    at = data.find(pattern)
    while at >= 0 and at % size:
        at = data.find(pattern, at + 1)
    return at // size + start if at >= 0 else -1


def overlap(ids: Sequence[int], part: Sequence[int]) -> int:
    """Return how many ids of the part's beginning are the end of `ids`."""
    tail = list(ids[-len(part) :]) if part else []
    table = [0] * len(part)
    matched = 0
    for place in range(1, len(part)):
        while matched and part[place] != part[matched]:
            matched = table[matched - 1]
        matched += part[place] == part[matched]
        table[place] = matched
    matched = 0
    for token_id in tail:
        while matched and (matched == len(part) or token_id != part[matched]):
            matched = table[matched - 1]
        matched += token_id == part[matched]
    return matched
