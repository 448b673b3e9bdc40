"""A record to look at: the events of solves as a journal holds them.

Statements, texts and votes are made up but consistent; the tokens are those of the texts.
"""

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from client.schema import (
    AnswerKind,
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    AttemptResult,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    BallotLine,
    Channel,
    Event,
    SegmentKind,
    SolveEnd,
    SolveFinished,
    SolveQueued,
    SolveRequested,
    SolveResult,
    SolveStarted,
    SolveVersions,
    TokenCounts,
)
from server.vocabulary import Vocabulary

MODEL = "scripted"
#: Name, statement, answer.
PROBLEMS = tuple(
    (name, " ".join(statement.split()), answer)
    for name, statement, answer in [
        (
            "digits",
            "How many positive integers less than $10000$ have digits that add up to $17$?",
            "660",
        ),
        ("power", "What is the remainder when $7^{2024}$ is divided by $1000$?", "401"),
        (
            "triangle",
            r"""In triangle $ABC$ with $AB = 13$, $BC = 14$ and $CA = 15$, let $I$ be the incentre.
            Find $AI^2 + BI^2 + CI^2$.""",
            "197",
        ),
        (
            "sequence",
            r"""A sequence is given by $a_1 = 1$ and $a_{n+1} = a_n + \left\lfloor \sqrt{a_n}
            \right\rfloor$. Find the largest $n$ with $a_n \le 2500$.""",
            "104",
        ),
        (
            "grid",
            r"""Each cell of a $4 \times 4$ board is coloured black or white such that every
            $2 \times 2$ square has exactly two black cells. In how many ways can this be done?""",
            "30",
        ),
    ]
)
_PARAGRAPHS = r"""
We count the solutions of $a + b + c + d = {n}$ with digits from $0$ to $9$. Without the upper
bound there are $\binom{{{m}}}{{3}}$ of them.
==
Hmm, let me be careful here. If one digit is at least $10$, put $a' = a - 10$; then the sum is
$a' + b + c + d = {k}$, and two such digits cannot be, for $2 \cdot 10 > {n}$.
==
So by inclusion and exclusion
$$N = \binom{{{m}}}{{3}} - 4\binom{{{n}}}{{3}} + \cdots$$
and I should check the small case by hand before I trust this.
==
Wait, is zero counted? The integers are positive, but the digit sum of $0$ is $0 \ne {n}$, so
that it makes no difference. Let me verify it with a program.
==
Modulo $8$ and $125$: since $\varphi(125) = 100$ we have $7^{{100}} \equiv 1 \pmod{{125}}$,
and $7^2 \equiv 1 \pmod 8$. **Both** exponents are even.
"""
THOUGHTS = [f"{paragraph.strip()}\n\n" for paragraph in _PARAGRAPHS.split("==")]
#: Of the first problem, which all attempts speak of.
DIGIT_SUM = 17
CODE = """from itertools import product

count = sum(1 for d in product(range(10), repeat=4) if sum(d) == {n})
print(count)"""
LONG_TOKENS = 100_000


@dataclass(slots=True)
class Teller:
    """Makes the events of solves; `next_id` is the journal's."""

    next_id: Callable[[], int]
    vocabulary: Vocabulary
    source: random.Random = field(default_factory=lambda: random.Random(4))
    run: str | None = None
    """The run that its solves belong to."""

    def solve(
        self,
        name: str,
        problem: str,
        answer: str,
        wrong: Sequence[str | None],
        limit_s: float = 300.0,
    ) -> Iterator[Event]:
        """Yield a whole solve: an attempt for each of `wrong`, None being one that is right."""
        solve_id = f"solve-{self.source.getrandbits(48):012x}"
        yield from self.opening(solve_id, name, problem, len(wrong), limit_s)
        reports: list[AttemptReport] = []
        for attempt, other in enumerate(wrong):
            report = yield from self.attempt(solve_id, attempt, problem, other or answer)
            reports.append(report)
            yield AttemptFinished(
                id=self.next_id(), solve_id=solve_id, at=report.seconds, attempt=attempt,
                report=report,
            )  # fmt: skip
            yield self.ballot(solve_id, reports, len(wrong) - attempt - 1)
        lines = ballot_lines(reports)
        yield SolveFinished(
            id=self.next_id(), solve_id=solve_id, at=max(r.seconds for r in reports) + 1,
            result=SolveResult(
                solve_id=solve_id, problem_id=name, answer=lines[0].answer, end=SolveEnd.AGREEMENT,
                detail=f"{lines[0].votes} of {len(reports)} attempts agree on {lines[0].answer}",
                strategy="tir", ballot=lines, attempts=reports, model=MODEL,
                seconds=max(r.seconds for r in reports) + 0.4,
                tokens=TokenCounts(
                    prompt=sum(r.tokens.prompt for r in reports),
                    sampled=sum(r.tokens.sampled for r in reports),
                    appended=sum(r.tokens.appended for r in reports),
                ),
            ),
        )  # fmt: skip

    def opening(
        self, solve_id: str, name: str, problem: str, attempts: int, limit_s: float
    ) -> Iterator[Event]:
        """Yield the events before the attempts."""
        whose = {"solve_id": solve_id}
        versions = SolveVersions(
            quorum="0.1.0", model_file="scripted.gguf", model_bytes=1, prompts="5f" * 32,
            settings={},
        )  # fmt: skip
        yield SolveQueued(id=self.next_id(), **whose, at=0.0, position=0)
        yield SolveRequested(
            id=self.next_id(), **whose, at=0.0, versions=versions,
            request={"problem": problem, "problem_id": name, "run": self.run},
        )  # fmt: skip
        yield SolveStarted(
            id=self.next_id(), **whose, at=0.1, problem=problem, problem_id=name,
            answer_kind=AnswerKind.INTEGER, strategy="tir", attempts=attempts,
            agree=max(attempts // 2, 1), max_turns=16, max_tokens=200_000, time_limit_s=limit_s,
            seed=7, model=MODEL, dialect="qwen",
        )  # fmt: skip

    def attempt(
        self, solve_id: str, attempt: int, problem: str, answer: str, turns: int = 2
    ) -> Generator[Event, None, AttemptReport]:
        """Yield an attempt but for its end; returns its report."""
        yield AttemptStarted(
            id=self.next_id(), solve_id=solve_id, at=0.1, attempt=attempt, seed=7 + attempt,
            temperature=0.8, top_p=0.95, min_p=0.02,
        )  # fmt: skip
        writer = Writer(self, solve_id, attempt)
        yield writer.append(f"Solve this problem.\n\n{problem}\n")
        for turn in range(1, turns + 1):
            writer.turn = turn
            for _ in range(self.source.randint(3, 6)):
                yield from writer.write(Channel.THINKING, self.thought())
            code = CODE.format(n=DIGIT_SUM)
            yield from writer.write(Channel.CODE, code)
            yield from writer.run(code, f"{answer}\n")
        writer.turn = turns + 1
        yield from writer.write(
            Channel.FINAL, f"Both ways agree, so the answer is $\\boxed{{{answer}}}$."
        )
        return AttemptReport(
            attempt=attempt, seed=7 + attempt, end=AttemptEnd.ANSWERED, answer=answer,
            detail="the message ended with an answer", weight=round(self.source.uniform(0.6, 1), 3),
            turns=turns + 1, tool_calls=turns, seconds=writer.at,
            tokens=TokenCounts(
                prompt=writer.prompt, sampled=writer.sampled, appended=writer.appended
            ),
        )  # fmt: skip

    def thought(self) -> str:
        """Return a paragraph."""
        n = DIGIT_SUM
        return self.source.choice(THOUGHTS).format(n=n, m=n + 3, k=n - 10)

    def ballot(self, solve_id: str, reports: list[AttemptReport], running: int) -> Event:
        """Return the ballot so far."""
        lines = ballot_lines(reports)
        return BallotChanged(
            id=self.next_id(), solve_id=solve_id, at=reports[-1].seconds, lines=lines,
            running=running, stop=running == 0, reason=f"{lines[0].votes} equal answers so far",
        )  # fmt: skip

    def long(self, tokens: int = LONG_TOKENS) -> Iterator[Event]:
        """Yield a solve of one attempt that is so many tokens long."""
        solve_id, name, problem, answer = "solve-long", "long", PROBLEMS[3][1], PROBLEMS[3][2]
        yield from self.opening(solve_id, name, problem, 1, 3600.0)
        yield AttemptStarted(
            id=self.next_id(), solve_id=solve_id, at=0.1, attempt=0, seed=7, temperature=0.8,
            top_p=0.95, min_p=0.02,
        )  # fmt: skip
        writer = Writer(self, solve_id, 0)
        yield writer.append(f"Solve this problem.\n\n{problem}\n")
        while writer.sampled < tokens:
            writer.turn += 1
            for _ in range(80):
                yield from writer.write(Channel.THINKING, self.thought())
            yield from writer.run(CODE.format(n=DIGIT_SUM), "660\n")
        yield from writer.write(Channel.FINAL, f"The answer is $\\boxed{{{answer}}}$.")
        report = AttemptReport(
            attempt=0, seed=7, end=AttemptEnd.ANSWERED, answer=answer, weight=1.0,
            turns=writer.turn, tool_calls=writer.turn, seconds=writer.at,
            tokens=TokenCounts(
                prompt=writer.prompt, sampled=writer.sampled, appended=writer.appended
            ),
        )  # fmt: skip
        yield AttemptFinished(
            id=self.next_id(), solve_id=solve_id, at=writer.at, attempt=0, report=report
        )
        result = SolveResult(
            solve_id=solve_id, problem_id=name, answer=answer, end=SolveEnd.ALL_FINISHED,
            detail="the attempt ended", strategy="tir", attempts=[report], model=MODEL,
            ballot=ballot_lines([report]), seconds=writer.at, tokens=report.tokens,
        )  # fmt: skip
        yield SolveFinished(id=self.next_id(), solve_id=solve_id, at=writer.at, result=result)


@dataclass(slots=True)
class Writer:
    """Tells texts and tokens of one attempt, as the narrator does."""

    teller: Teller
    solve_id: str
    attempt: int
    turn: int = 1
    call: int = 0
    at: float = 0.2
    position: int = 0
    prompt: int = 0
    sampled: int = 0
    appended: int = 0
    sure: float = 9.0

    def append(self, text: str) -> Event:
        """Return the segment of text that is not sampled."""
        ids = self.teller.vocabulary.encode(text)
        if self.position:
            self.appended += len(ids)
        else:
            self.prompt = len(ids)
        return self._segment(SegmentKind.APPENDED, ids)

    def write(self, channel: Channel, text: str) -> Iterator[Event]:
        """Yield sampled text and its tokens."""
        ids = self.teller.vocabulary.encode(text)
        self.sampled += len(ids)
        self.at = round(self.at + len(ids) / 60, 3)
        yield AttemptText(
            id=self.teller.next_id(), solve_id=self.solve_id, at=self.at, attempt=self.attempt,
            turn=self.turn, channel=channel, text=text, sampled=self.sampled,
        )  # fmt: skip
        yield self._segment(SegmentKind.SAMPLED, ids)

    def run(self, code: str, output: str) -> Iterator[Event]:
        """Yield a call with its result."""
        whose = {"solve_id": self.solve_id, "attempt": self.attempt, "turn": self.turn}
        yield AttemptCall(id=self.teller.next_id(), **whose, at=self.at, call=self.call, code=code)
        self.at += 0.3
        yield AttemptResult(
            id=self.teller.next_id(), **whose, at=self.at, call=self.call, status="ok",
            output=output, seconds=0.21, state_lost=False,
        )  # fmt: skip
        self.call += 1
        yield self.append(output)

    def _segment(self, kind: SegmentKind, ids: list[int]) -> Event:
        sampled = kind is SegmentKind.SAMPLED
        start, self.position = self.position, self.position + len(ids)
        source = self.teller.source
        return AttemptSegment(
            id=self.teller.next_id(), solve_id=self.solve_id, at=self.at, attempt=self.attempt,
            turn=self.turn, kind=kind, start=start, token_ids=ids,
            logprobs=[-(source.expovariate(1) ** 3) / 8 for _ in ids] if sampled else None,
            confidence=self._confidence(len(ids)) if sampled else None,
        )  # fmt: skip

    def _confidence(self, count: int) -> list[float]:
        """Return confidences that wander, as a model is sure of some steps and not of others."""
        source, told = self.teller.source, []
        for _ in range(count):
            self.sure = min(max(self.sure + source.gauss(0, 0.4), 2.0), 14.0)
            told.append(round(max(self.sure + source.gauss(0, 2), 0.1), 3))
        return told


def ballot_lines(reports: Sequence[AttemptReport]) -> list[BallotLine]:
    """Return the ballot of ended attempts, the heaviest answer first."""
    by_answer: dict[str, list[AttemptReport]] = {}
    for report in reports:
        by_answer.setdefault(report.answer or "", []).append(report)
    lines = [
        BallotLine(
            answer=answer, votes=len(group), weight=round(sum(r.weight for r in group), 3),
            attempts=[r.attempt for r in group],
        )
        for answer, group in by_answer.items()
    ]  # fmt: skip
    return sorted(lines, key=lambda line: -line.weight)


def record(teller: Teller) -> Iterator[Event]:
    """Yield a small record: each problem once, most attempts right."""
    votes: list[list[str | None]] = [
        [None, None, "615", None], [None] * 4, [None, "199", None, "195"],
        ["103", None, None, None, "103", None, None, None], [None, "28", "28", None, None, None],
    ]  # fmt: skip
    for (name, problem, answer), wrong in zip(PROBLEMS, votes, strict=True):
        yield from teller.solve(name, problem, answer, wrong)
