"""Which answers are right, and which are equal: as the server itself counts votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio

from server.equivalence.pool import EquivalenceOptions, EquivalencePool
from server.evaluation.problem import Kind, Problem, read_answer
from voting.answers import Answer
from voting.equivalence import AnswerClasses, AnswerRules
from voting.requests import Reply, Request, Same, Sameness

#: Seconds that all symbolic comparisons of one scoring may take together. What is not known to be
#: right by then is not right; the report says how many were left open.
DEFAULT_SYMBOLIC_S = 20.0
#: Seconds of one comparison: an ordinary one takes milliseconds.
COMPARISON_S = 2.0

_RULES = AnswerRules()


@dataclass(frozen=True, slots=True)
class Judged:
    """An attempt's answer as its class of equal ones has it, and whether that is the right one.

    ``answer`` is None where the attempt gave none, or one that does not parse (``unparsed``).
    """

    answer: Answer | None
    right: bool
    unparsed: bool = False


class Judge:
    """Judges answers, symbolically where exact comparison cannot tell. Use as `async with`.

    `left_open` counts comparisons that no time was left for, or that failed.
    """

    def __init__(self, symbolic_s: float = DEFAULT_SYMBOLIC_S, workers: int = 2) -> None:
        self._left_s = symbolic_s
        self._pool = EquivalencePool(EquivalenceOptions(workers=workers, timeout_s=COMPARISON_S))
        self._known: dict[tuple[str, str], bool | None] = {}
        self._stuck: set[str] = set()
        self.left_open = 0

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def judge(self, problem: Problem, written: Sequence[str | None]) -> list[Judged]:
        """Return a verdict on each answer to a problem, in order."""
        truth = problem.truth
        read = [read_answer(each, problem.kind) for each in written]
        classes = AnswerClasses(rules=_RULES)
        classes.add(truth)
        for answer in read:
            if answer is not None:
                classes.add(answer)
        if problem.kind is Kind.TEXT:
            await self._settle(classes, truth)
        right_key = classes.of(truth).key
        verdicts = []
        for text, answer in zip(written, read, strict=True):
            stands = None if answer is None else classes.of(answer)
            right = stands is not None and stands.key == right_key
            verdicts.append(Judged(stands, right, unparsed=text is not None and answer is None))
        return verdicts

    async def _settle(self, classes: AnswerClasses, truth: Answer) -> None:
        """Ask what exact comparison left open: first what decides whether an answer is right.

        An answer that could not be compared with the truth in time is not compared again.
        """
        asked = [q for q in classes.questions() if classes.of(truth) in (q.one, q.other)]
        replies = await self._ask(asked)
        self._stuck |= {
            key
            for question, reply in replies.items()
            if reply is None and isinstance(question, Same)
            for key in (question.one.key, question.other.key)
            if key != classes.of(truth).key
        }
        classes.learn(replies)
        classes.learn(await self._ask(classes.questions()))
        # Whatever had no reply stays open, and apart.
        self.left_open += len(classes.questions())

    async def _ask(self, questions: Sequence[Same]) -> Mapping[Request, Reply | None]:
        replies: dict[Request, Reply | None] = {}
        unknown = [q for q in questions if not self._recall(q, replies)]
        if not unknown or self._left_s <= 0:
            return replies
        begun = anyio.current_time()
        with anyio.move_on_after(self._left_s):
            async with anyio.create_task_group() as group:
                for question in unknown:
                    if not self._stuck & {question.one.key, question.other.key}:
                        group.start_soon(self._compare, question, replies)
        self._left_s -= anyio.current_time() - begun
        return replies

    def _recall(self, question: Same, replies: dict[Request, Reply | None]) -> bool:
        pair = (question.one.key, question.other.key)
        if pair not in self._known:
            return False
        equal = self._known[pair]
        replies[question] = None if equal is None else Sameness(equal)
        return True

    async def _compare(self, question: Same, replies: dict[Request, Reply | None]) -> None:
        written = (_RULES.as_written(question.one), _RULES.as_written(question.other))
        equal = await self._pool.are_equal(*written)
        self._known[question.one.key, question.other.key] = equal
        replies[question] = None if equal is None else Sameness(equal)
        self.left_open += equal is None
