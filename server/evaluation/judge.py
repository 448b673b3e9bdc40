"""Which answers are right, and which are equal: as the server itself counts votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio

from server.equivalence.pool import PATIENCE_S, EquivalenceOptions, EquivalencePool
from server.evaluation.problem import Kind, Problem, read_answer
from voting.answers import Answer
from voting.equivalence import AnswerClasses, AnswerRules, compare
from voting.exact import Comparison
from voting.requests import Reply, Request, Same, Sameness

#: Seconds that all symbolic comparisons of one scoring may take together. What is not known to be
#: right by then is not right; the report says how many were left open.
DEFAULT_SYMBOLIC_S = 20.0
#: Seconds of one comparison: an ordinary one takes milliseconds.
COMPARISON_S = 2.0
#: A question that had no worker in time is asked so often at most.
MOST_ROUNDS = 4

#: Two answers as a symbolic check is told them.
Pair = tuple[str, str]

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
        #: As many at a time as there are workers, so that what a comparison takes is its own time.
        self._turns = anyio.CapacityLimiter(workers)
        #: Verdicts on pairs of answers as they are asked, and the pairs that took too long.
        self._known: dict[Pair, bool | None] = {}
        self._slow: set[Pair] = set()
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
        """Return a verdict on each answer to a problem, in order.

        An answer is right where it equals the truth itself: one that equals both the truth and
        something else would join them, as mixed forms may be equal to two that differ.
        """
        truth = problem.truth
        read = [read_answer(each, problem.kind) for each in written]
        symbolic = problem.kind is Kind.TEXT
        answers = {answer.key: answer for answer in read if answer is not None}
        right = await self._right(truth, list(answers.values()), symbolic=symbolic)
        classes = AnswerClasses(rules=_RULES)
        for wrong in answers.values():
            if wrong.key not in right:
                classes.add(wrong)
        if symbolic:
            await self._settle(classes, truth)
        verdicts = []
        for text, answer in zip(written, read, strict=True):
            is_right = answer is not None and answer.key in right
            stands = None if answer is None else truth if is_right else classes.of(answer)
            unparsed = text is not None and answer is None
            verdicts.append(Judged(stands, is_right, unparsed=unparsed))
        return verdicts

    async def _right(
        self, truth: Answer, answers: Sequence[Answer], *, symbolic: bool
    ) -> frozenset[str]:
        """Return the keys of the answers that equal the truth."""
        said = {answer.key: compare(truth, answer, _RULES) for answer in answers}
        right = {key for key, verdict in said.items() if verdict is Comparison.SAME}
        if symbolic:
            open_ = [Same(truth, each) for each in answers if said[each.key] is Comparison.UNKNOWN]
            asked = [each for each in open_ if _RULES.can_ask(each)]
            replies = await self._ask(asked)
            right |= {question.other.key for question in asked if _is_yes(replies.get(question))}
            self.left_open += sum(each not in replies for each in asked)
        return frozenset(right)

    async def _settle(self, classes: AnswerClasses, truth: Answer) -> None:
        """Ask what exact comparison left open among answers that are not right.

        One that could not be compared with the truth in time is not compared again.
        """
        slow = {other for one, other in self._slow if one == _RULES.as_written(truth)}
        asked = [each for each in classes.questions() if not slow.intersection(_pair(each))]
        classes.learn(await self._ask(asked))
        # Whatever had no reply stays open, and apart.
        self.left_open += len(classes.questions())

    async def _ask(self, questions: Sequence[Same]) -> Mapping[Request, Reply | None]:
        """Return what is known of questions, with what can be found out in the time that is left.

        What had no worker in time is asked again: workers for which a comparison was too long are
        being replaced for seconds, and whoever comes next must not pay for it.
        """
        pairs = dict.fromkeys(map(_pair, questions))
        for _ in range(MOST_ROUNDS):
            unknown = [pair for pair in pairs if pair not in self._known]
            if not unknown or self._left_s <= 0:
                break
            begun = anyio.current_time()
            with anyio.move_on_after(self._left_s):
                async with anyio.create_task_group() as group:
                    for pair in unknown:
                        group.start_soon(self._compare, pair)
            self._left_s -= anyio.current_time() - begun
        known = {each: self._known[_pair(each)] for each in questions if _pair(each) in self._known}
        return {each: None if is_ is None else Sameness(is_) for each, is_ in known.items()}

    async def _compare(self, pair: Pair) -> None:
        async with self._turns:
            begun = anyio.current_time()
            equal = await self._pool.are_equal(*pair)
            seconds = anyio.current_time() - begun
        # The pool's None may mean three things: nothing was read, no worker came, it took too long.
        if equal is None and PATIENCE_S <= seconds < COMPARISON_S:
            return
        if equal is None and seconds >= COMPARISON_S:
            self._slow.add(pair)
        self._known[pair] = equal
        self.left_open += equal is None


def _pair(question: Same) -> Pair:
    return _RULES.as_written(question.one), _RULES.as_written(question.other)


def _is_yes(reply: Reply | None) -> bool:
    return isinstance(reply, Sameness) and reply.equal
