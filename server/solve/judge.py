"""The model as a judge of solutions: which of some is right, and is this one right."""

import math
import re
from dataclasses import dataclass, field

import anyio

from client.schema import TokenCounts
from server.dialect.base import Conversation, Dialect, Prompt
from server.engine.base import Engine, Sampling
from server.prompts import text
from server.solve.plan import SolvePlan
from server.solve.record import TokenRecord
from server.solve.repetition import EVERY
from server.solve.solution import Solution
from server.solve.turn import TurnReader
from server.vocabulary import Vocabulary
from voting.answers import AnswerKind, extract
from voting.requests import Compare, Judgment, Recheck, Verdict

#: Tokens that a judge may write before it must decide; its decision has `DECISION_TOKENS`.
JUDGE_TOKENS = 768
DECISION_TOKENS = 16
#: Of the time for a comparison, the share for thinking: the decision costs one short prefill.
THINKING_SHARE = 0.7
#: Tokens kept for the judge's instructions beside problem and solutions.
INSTRUCTION_TOKENS = 256
#: Of a solution, at least this many tokens are shown, even if the prompt is then refused.
LEAST_SOLUTION_TOKENS = 64
#: Temperature of repeated comparisons; the first one is greedy.
REPEAT_TEMPERATURE = 0.7
#: Spreads the seeds of repeats.
REPEAT_STRIDE = 7_919

_PLACE = re.compile(r"\{(problem|solutions|count|answer)\}")


@dataclass(slots=True)
class TokenCounter:
    """Counts the tokens of requests."""

    prompt: int = 0
    sampled: int = 0

    def counts(self) -> TokenCounts:
        """Return them."""
        return TokenCounts(prompt=self.prompt, sampled=self.sampled)


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks the engine about solutions of one solve; `session` names its requests.

    Errors of the engine pass through; the caller bounds the time.
    """

    plan: SolvePlan
    engine: Engine
    dialect: Dialect
    vocabulary: Vocabulary
    session: str
    counter: TokenCounter = field(default_factory=TokenCounter)

    async def compare(
        self, request: Compare, solutions: dict[int, Solution], within_s: float = math.inf
    ) -> Judgment | None:
        """Return which attempt the model takes, None where its decision cannot be read.

        Of `within_s` seconds it thinks for a part at most, so that there is time to decide.
        """
        shown = [solutions[attempt] for attempt in request.attempts]
        conversation = self.dialect.open(self._prompt("judge_compare", shown))
        session = f"{self.session}/compare-{'-'.join(map(str, request.attempts))}-{request.repeat}"
        until = anyio.current_time() + THINKING_SHARE * within_s
        number = await self._decide(conversation, session, request.repeat, until)
        if number is None or not 1 <= number <= len(request.attempts):
            return None
        return Judgment(request.attempts[number - 1])

    async def recheck(self, request: Recheck, solutions: dict[int, Solution]) -> Verdict:
        """Return how much likelier Yes is than No where the model's answer begins."""
        ids = self.dialect.at_once(self._question(solutions[request.attempt]))
        scores = []
        for reply in ("Yes", "No"):
            target = self.vocabulary.encode(reply)
            self.counter.prompt += len(ids) + len(target)
            scores.append(sum(await self.engine.score([*ids, *target], start=len(ids))))
        return Verdict(scores[0] - scores[1])

    async def _decide(
        self, conversation: Conversation, session: str, repeat: int, until: float
    ) -> int | None:
        """Let the model think until then, and have it write a number into a box."""
        record = TokenRecord(conversation.opening)
        reader = TurnReader(
            engine=self.engine,
            session=session,
            record=record,
            conversation=conversation,
            on_text=lambda *_: None,
            on_loss=lambda _: None,
            tools=False,
        )

        def sampling(stream: int) -> Sampling:
            room = self.engine.info.context_tokens - len(record.ids) - 4 * DECISION_TOKENS
            return self._sampling(repeat, stream, min(JUDGE_TOKENS - record.sampled, room))

        def decided() -> bool:
            return extract(conversation.answer_text, AnswerKind.INTEGER) is not None

        try:
            await reader.read(
                sampling, until=lambda: until, to_box=lambda: _due(record) and decided()
            )
            if not decided():
                record.append(conversation.force_answer())
                await reader.read(
                    lambda stream: self._sampling(repeat, stream, DECISION_TOKENS),
                    until=lambda: math.inf,
                    to_box=decided,
                )
        finally:
            self.engine.release(session)
            self.counter.prompt += len(record.ids) - record.sampled
            self.counter.sampled += record.sampled
        answer = extract(conversation.answer_text, AnswerKind.INTEGER)
        return None if answer is None else answer.integer

    def _sampling(self, repeat: int, stream: int, most: int) -> Sampling:
        seed = self.plan.attempt_seed(repeat * REPEAT_STRIDE + stream)
        temperature = REPEAT_TEMPERATURE if repeat else 0.0
        return Sampling(max_tokens=most, temperature=temperature, seed=seed)

    def _prompt(self, name: str, solutions: list[Solution]) -> Prompt:
        """Return what asks a judge to think about solutions and to decide."""
        each = self._room // len(solutions)
        shown = [
            f"Solution {number}:\n{self._tail(_written(solution), each)}"
            for number, solution in enumerate(solutions, start=1)
        ]
        values = {"solutions": "\n\n".join(shown), "count": str(len(solutions))}
        user = self._filled(name, values)
        return Prompt(system=text("system_judge"), user=user, force=text("force_judge"))

    def _question(self, solution: Solution) -> Prompt:
        """Return what asks for a yes or a no to the answer of a solution."""
        answer = extract(solution.text, AnswerKind(self.plan.answer_kind.value))
        shown = self._tail(_written(solution), self._room)
        values = {"solutions": shown, "answer": answer.written if answer else "of this solution"}
        user = self._filled("judge_recheck", values)
        return Prompt(system=text("system_recheck"), user=user, force="")

    @property
    def _room(self) -> int:
        """Tokens that there are for solutions."""
        taken = JUDGE_TOKENS + INSTRUCTION_TOKENS + len(self.vocabulary.encode(self.plan.problem))
        return self.engine.info.context_tokens - taken

    def _filled(self, name: str, values: dict[str, str]) -> str:
        """Fill a text in one pass, so that nothing in a solution is taken for a place-holder."""
        values = {"problem": self.plan.problem, **values}
        return _PLACE.sub(lambda match: values[match[1]], text(name))

    def _tail(self, written: str, tokens: int) -> str:
        """Return the end of a text, where its answer is."""
        tokens = max(tokens, LEAST_SOLUTION_TOKENS)
        ids = self.vocabulary.encode(written)
        return written if len(ids) <= tokens else "… " + self.vocabulary.decode(ids[-tokens:])


def _written(solution: Solution) -> str:
    if not solution.program:
        return solution.text
    program = f"```python\n{solution.program}\n```\n```output\n{solution.output}\n```"
    return f"{program}\n{solution.text}"


def _due(record: TokenRecord) -> bool:
    """Return whether to look for a decision: the whole text is read for it."""
    return record.sampled % EVERY == 0
