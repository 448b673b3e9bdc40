"""Do equal answers share a line, does none hang or fool the comparison, and at what cost?

    make bench NAME=answers
    python -m benchmarks.answers --sdist math_verify-0.9.0.tar.gz

Three sets of pairs go through the server's way (extraction, integers, exact arithmetic, workers)
and through plain Math-Verify in a process of its own, pair by pair, the order alternating:
Math-Verify's own gold and answer pairs from the tests of its source distribution (`--sdist`, else
fetched with pip; without either they are left out and said to be), pairs of ours that are equal,
and pairs of ours that are not. Integers are timed alone.

Math-Verify's pairs are reported and have no target: many hold rounded decimals for equal, or one
answer of several, which a ballot must not.
"""

import ast
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.progress import track

from benchmarks.answer_cases import DIFFERENT, EQUAL
from benchmarks.answer_misreadings import DIFFERENT as MISREAD
from benchmarks.answer_misreadings import EQUAL as REWRITTEN
from benchmarks.answer_peer import Peer
from benchmarks.report import Result, finish, print_table
from server.equivalence.pool import EquivalencePool
from voting.answers import Answer, AnswerKind, extract, parse_answer
from voting.equivalence import AnswerClasses, compare
from voting.exact import Comparison
from voting.requests import Reply, Request, Sameness

#: The slowest a pair may be, in seconds: the target of the project.
HANG_S = 5.0
#: The slowest an integer may be, in milliseconds.
INTEGER_MS = 0.1
INTEGER_ROUNDS = 2_000
LEAST_DIFFERENT = 150
REQUIREMENT = "math-verify==0.9.0"


@dataclass(frozen=True, slots=True)
class Case:
    """Two texts and whether they are equal; ``suite`` says where they are from."""

    suite: str
    one: str
    other: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each side said of a case (None: nothing), and the seconds that it took."""

    case: Case
    ours: bool | None
    ours_s: float
    theirs: bool | None
    theirs_s: float


def main(
    sdist: Annotated[Path | None, typer.Option(help="source distribution of Math-Verify")] = None,
    peer: Annotated[bool, typer.Option(help="compare with plain Math-Verify")] = True,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    own = [Case("equal", *pair, equal=True) for pair in (*EQUAL, *REWRITTEN)]
    own += [Case("different", *pair, equal=False) for pair in (*DIFFERENT, *MISREAD)]
    finish(anyio.run(_measure, [*_theirs(sdist), *own], peer))


async def _measure(cases: list[Case], with_peer: bool) -> list[Result]:
    outcomes: list[Outcome] = []
    async with EquivalencePool() as pool, Peer(HANG_S * 4) as peer:
        await pool.are_equal("x+1", "1+x")
        for number, case in enumerate(track(cases, description="pairs")):
            theirs: tuple[bool | None, float] = (None, 0.0)
            if with_peer and number % 2:
                theirs = await peer.ask(case.one, case.other)
            started = time.perf_counter()
            ours = await same(pool, case.one, case.other)
            ours_s = time.perf_counter() - started
            if with_peer and not number % 2:
                theirs = await peer.ask(case.one, case.other)
            outcomes.append(Outcome(case, ours, ours_s, *theirs))
        crashes = pool.crashed
    return _report(outcomes, crashes, with_peer)


async def same(pool: EquivalencePool, one: str, other: str) -> bool | None:
    """Return whether two texts would share a ballot line; None where one of them has no answer."""
    answers = [committed(each) for each in (one, other)]
    if answers[0] is None or answers[1] is None:
        return None
    classes = AnswerClasses()
    for answer in answers:
        if answer is not None:
            classes.add(answer)
    replies: dict[Request, Reply | None] = {}
    for question in classes.questions():
        equal = await pool.are_equal(question.one.key, question.other.key)
        replies[question] = None if equal is None else Sameness(equal)
    classes.learn(replies)
    return classes.of(answers[0]) == classes.of(answers[1])


def committed(text: str) -> Answer | None:
    """Return the answer of a text: of its last box, of its last formula, or as it stands."""
    boxed = extract(text, AnswerKind.TEXT)
    if boxed is not None or "boxed" in text or len(text.split()) > 12:
        return boxed
    return parse_answer(text.strip().strip("$"), AnswerKind.TEXT)


def integer_ms() -> float:
    """Return the milliseconds in which two integers are read and compared, the median."""
    spelled = [rf"\boxed{{{number:,}}}" for number in range(1000, 1000 + INTEGER_ROUNDS)]
    took = []
    for text, number in zip(spelled, range(1000, 1000 + INTEGER_ROUNDS), strict=True):
        started = time.perf_counter()
        one, other = extract(text, AnswerKind.INTEGER), parse_answer(str(number), AnswerKind.TEXT)
        if one is None or other is None or compare(one, other) is not Comparison.SAME:
            raise RuntimeError(f"{text} is not {number}")
        took.append(time.perf_counter() - started)
    return 1000 * statistics.median(took)


def _theirs(sdist: Path | None) -> list[Case]:
    """Return Math-Verify's own pairs, none where its source distribution cannot be had."""
    if sdist is not None:
        return list(_pairs_in(sdist))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--no-build-isolation", "--dest", folder, REQUIREMENT]
        subprocess.run(command, check=False, capture_output=True)
        # pip may fail to build what it has fetched: the file is what counts.
        found = next(iter(Path(folder).glob("*.tar.gz")), None)
        if found is not None:
            return list(_pairs_in(found))
    print(f"no source distribution of {REQUIREMENT}: its pairs are left out; give --sdist")
    return []


def _pairs_in(sdist: Path) -> Iterator[Case]:
    """Yield the literal gold and answer pairs of the tests in a source distribution."""
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None and "/tests/" in member.name and member.name.endswith(".py"):
                yield from _pairs_of(ast.parse(file.read()))


def _pairs_of(module: ast.Module) -> Iterator[Case]:
    for call in ast.walk(module):
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith("parametrize"):
            continue
        names = [name.strip() for name in str(ast.literal_eval(call.args[0])).split(",")]
        if not {"gold", "pred", "expected"} <= set(names) or not isinstance(call.args[1], ast.List):
            continue
        for row in call.args[1].elts:
            try:
                values = dict(zip(names, ast.literal_eval(row), strict=True))
            except ValueError:
                continue  # a row that is computed
            yield Case("math-verify", values["gold"], values["pred"], bool(values["expected"]))


def _report(outcomes: list[Outcome], deaths: int, with_peer: bool) -> list[Result]:
    rows = []
    for suite in dict.fromkeys(outcome.case.suite for outcome in outcomes):
        of_suite = [outcome for outcome in outcomes if outcome.case.suite == suite]
        rows.append((suite, len(of_suite), *_figures(of_suite, ours=True)))
        if with_peer:
            rows.append((f"{suite}, plain", len(of_suite), *_figures(of_suite, ours=False)))
    columns = [
        "pairs",
        "number",
        "as expected",
        "false equal",
        "missed equal",
        "median ms",
        "most s",
    ]
    print_table("pairs of answers", columns, rows)
    for outcome in outcomes:
        if outcome.case.suite != "math-verify" and bool(outcome.ours) is not outcome.case.equal:
            print(f"not as expected: {outcome.case.one!r} and {outcome.case.other!r}")
    different = [outcome for outcome in outcomes if outcome.case.suite == "different"]
    equal = [outcome for outcome in outcomes if outcome.case.suite == "equal"]
    theirs = [outcome for outcome in outcomes if outcome.case.suite == "math-verify"]
    found = sum(outcome.ours is True for outcome in equal) / len(equal)
    agreed = [bool(outcome.ours) is outcome.case.equal for outcome in theirs]
    results = [
        Result("different_pairs", len(different), "pairs", least=LEAST_DIFFERENT),
        Result("false_equals", sum(each.ours is True for each in different), "pairs", most=0),
        Result("slowest_pair", max(each.ours_s for each in outcomes), "s", most=HANG_S),
        Result("integer", integer_ms(), "ms", most=INTEGER_MS),
        Result("equal_found", found, "share"),
        Result("workers_dead", deaths, "workers"),
        Result("math_verify_pairs", len(theirs), "pairs"),
    ]
    if agreed:
        results.append(Result("math_verify_as_expected", sum(agreed) / len(agreed), "share"))
    if with_peer:
        fooled = sum(each.theirs is True for each in different)
        results.append(Result("plain_false_equals", fooled, "pairs"))
        results.append(Result("plain_slowest_pair", max(o.theirs_s for o in outcomes), "s"))
    return results


def _figures(outcomes: list[Outcome], *, ours: bool) -> tuple[str, ...]:
    said = [(outcome.case.equal, outcome.ours if ours else outcome.theirs) for outcome in outcomes]
    seconds = [outcome.ours_s if ours else outcome.theirs_s for outcome in outcomes]
    right = sum(bool(verdict) is expected for expected, verdict in said)
    return (
        f"{right / len(said):.1%}",
        str(sum(verdict is True and not expected for expected, verdict in said)),
        str(sum(verdict is not True and expected for expected, verdict in said)),
        f"{1000 * statistics.median(seconds):.2f}",
        f"{max(seconds):.2f}",
    )


if __name__ == "__main__":
    typer.run(main)
