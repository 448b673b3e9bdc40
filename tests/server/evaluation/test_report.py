"""Reports: what they say of known attempts, and that nothing in them is taken for HTML."""

import csv
import gzip
import io
import lzma
import random
import re
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import scipy.stats
from typer.testing import CliRunner, Result

from server.evaluation import measures
from server.evaluation.arms import read_arm, read_arms
from server.evaluation.commands import app
from server.evaluation.contamination import documents, overlaps
from server.evaluation.errors import MalformedArm, SetUnreadable
from server.evaluation.export import write_report
from server.evaluation.page import markdown, page
from server.evaluation.problem import Problem
from server.evaluation.report import Report, Request, build
from server.evaluation.scored import LiveAnswer, ScoredArm, ScoredAttempt, ScoredProblem
from server.evaluation.section import Section
from voting.answers import AnswerKind, parse_answer
from voting.replay.records import RecordedAttempt
from voting.scores import TokenScores

HOSTILE = "<script>alert('x')</script> | `rm` $\\frac{ =cmd()"


def attempt(right: bool, tokens: int, confidence: float = 10.0) -> ScoredAttempt:
    scores = TokenScores(
        mean_confidence=confidence, lowest_group=confidence, bottom_tenth=confidence,
        tail=confidence, mean_entropy=1 / confidence,
    )  # fmt: skip
    record = RecordedAttempt(
        answer=parse_answer("1" if right else "2", AnswerKind.TEXT), right=right, tokens=tokens,
        tool_calls=2, tool_errors=0 if right else 1, scores=scores,
    )  # fmt: skip
    return ScoredAttempt(record=record, solve_id="solve-1")


@pytest.fixture(scope="module")
def arm() -> ScoredArm:
    """Ten problems of eight attempts: the last of each is wrong and long, and unsure of itself."""
    chance = random.Random(0)
    problems = []
    for number in range(10):
        rights = [chance.random() < 0.8 for _ in range(7)] + [False]
        attempts = tuple(
            attempt(right, 100 if right else 300, 20.0 if right else 5.0) for right in rights
        )
        live = LiveAnswer(HOSTILE, number < 5, 10.0, 1_000)
        problems.append(
            ScoredProblem(id=f"{HOSTILE} {number}", attempts=attempts, level=str(number % 2),
                          live=live)
        )  # fmt: skip
    return ScoredArm(name="one", problems=tuple(problems), model=HOSTILE)


@pytest.fixture(scope="module")
def report(arm: ScoredArm) -> Report:
    other = ScoredArm(name="other", problems=arm.problems[:8])
    request = Request(rounds=2, page="http://127.0.0.1:8642")
    return build(f"Of {HOSTILE}", [arm, other], request, [HOSTILE])


def test_figures_are_those_of_the_attempts(arm: ScoredArm, report: Report) -> None:
    told = report.data()["sections"]
    single = sum(p.right / 8 for p in arm.problems) / 10
    assert told["summary"]["one"]["single"][0] == pytest.approx(single)
    assert told["summary"]["one"]["answer"][0] == 0.5
    assert told["lengths one"]["ratio"][0] == pytest.approx(1 / 3)
    strategies = told["strategies one"]
    assert (
        strategies["DeepConf: mean"]["accuracy"][0]
        >= strategies["majority_vote of 8"]["accuracy"][0]
    )
    assert strategies["oracle"]["accuracy"][0] >= strategies["DeepConf: mean"]["accuracy"][0]
    for mean, low, high in (
        told["calibration one"]["signals"]["mean confidence"], told["errors one"]["collision"],
    ):  # fmt: skip
        assert 0.7 < low < mean == high == 1.0
    assert told["cost one"]["solved"] == 5
    assert told["by level one"]["0"]["problems"] == 5
    mean, low, high = told["compared"]["other, single attempt"]["difference"]
    assert mean == 0
    # Eight problems that came out alike leave open what others would do.
    assert -0.5 < low == -high < -0.1


def test_nothing_in_a_page_acts(report: Report) -> None:
    text = page(report)
    assert "<script" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(
        r"""(?:src|href)=["'](?!#|http://127\.0\.0\.1:8642/solves/solve-1(?:/attempts/0)?")""", text
    )
    plain = markdown(report)
    assert "<script" not in plain
    assert "&lt;script&gt;" in plain


def test_files_are_written_whole_and_formulas_are_none(report: Report, tmp_path: Path) -> None:
    written = write_report(report, tmp_path / "r")
    assert sorted(path.name for path in written) == [
        "problems.csv", "report.html", "report.json", "report.md",
    ]  # fmt: skip
    assert orjson.loads((tmp_path / "r" / "report.json").read_bytes())["title"] == report.title
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r" / "problems.csv").read_text())))
    assert len(rows) == 18
    assert not any(str(value)[:1] in "=+@" and value for row in rows for value in row.values())


def test_attempts_lead_to_the_page(report: Report) -> None:
    address = "http://127.0.0.1:8642/solves/solve-1"
    text = page(report)
    assert text.count(f'<a href="{address}/attempts/0" rel="noreferrer">') == 18 * 8
    assert text.count(f'<a href="{address}" rel="noreferrer">') == 18


def test_a_problem_solved_again_is_no_further_problem() -> None:
    """Intervals are over problems: ten copies of two problems are two, whatever they say."""

    def solved(name: str, copy: int, right: bool, seconds: float) -> ScoredProblem:
        return ScoredProblem(
            id=f"{name}@{copy}", original=name, attempts=(attempt(right, 100), attempt(False, 90)),
            live=LiveAnswer("1", right, seconds, 200),
        )  # fmt: skip

    def arm(name: str, right: int, seconds: float) -> ScoredArm:
        copies = [solved(each, n, n < right, seconds + n) for n in range(10) for each in "ab"]
        return ScoredArm(name=name, problems=tuple(copies))

    told = build("t", [arm("before", 2, 50.0), arm("after", 9, 20.0)], Request()).data()
    sections = told["sections"]
    assert sections["summary"]["before"]["problems"] == 2
    single, low, high = sections["summary"]["before"]["single"]
    assert single == pytest.approx(0.1)
    assert low < single < high
    strategies = sections["strategies after"]
    # Each solve is replayed by itself: nine in ten have a right attempt, which its vote ties.
    assert strategies["oracle"]["accuracy"][0] == pytest.approx(0.9)
    assert 0.2 < strategies["majority_vote of 2"]["accuracy"][0] < 0.7
    assert sections["repeats before"]["a"]["solved"] == 2
    assert sections["repeats before"]["a"]["of"] == 10
    assert sections["compared"]["after, server's answer"]["problems"] == 2
    change = sections["repeats compared"]["after, a"]
    table = [[2, 8], [9, 1]]
    assert change["solved_p"] == pytest.approx(scipy.stats.fisher_exact(table).pvalue)
    assert change["seconds"] == [54.5, 24.5]
    assert change["seconds_p"] < 0.001
    assert len(told["problems"]) == 40


def test_one_attempt_tells_nothing_of_what_runs_differ_by() -> None:
    def told(attempts: int) -> Section:
        problems = [
            ScoredProblem(id=str(n), attempts=(attempt(n % 2 == 0, 10),) * attempts)
            for n in range(6)
        ]
        (section,) = [
            section
            for section in build(
                "t", [ScoredArm(name="one", problems=tuple(problems))], Request()
            ).sections
            if section.name == "runs one"
        ]
        return section

    once = told(1)
    assert {value for _, value in once.tables[0].rows} == {"-"}
    assert "It takes two attempts" in once.text
    assert once.data["deviation"] is once.data["two_runs"] is None
    twice = told(2)
    assert twice.data["deviation"] > 0
    assert twice.data["at_most"]
    assert "at most" in twice.tables[0].rows[0][1]
    assert twice.data["two_runs"][1] < 3 < twice.data["two_runs"][2]


def test_the_lengths_of_one_problem_are_no_estimate() -> None:
    both = ScoredProblem(id="a", attempts=(attempt(True, 10), attempt(False, 20)))
    one = measures.lengths(ScoredArm(name="one", problems=(both,)))
    assert (one.ratio, one.problems) == (None, 1)
    two = measures.lengths(ScoredArm(name="two", problems=(both, replace(both, id="b"))))
    assert two.ratio is not None
    assert two.ratio.mean == pytest.approx(0.5)
    assert two.ratio.low < two.ratio.mean < two.ratio.high


def silent(count: int) -> tuple[ScoredAttempt, ...]:
    record = RecordedAttempt(answer=None, right=False, tokens=50, tool_calls=0, tool_errors=0)
    return tuple(ScoredAttempt(record=record, end="no_answer") for _ in range(count))


@pytest.mark.parametrize(
    "problems",
    [
        [ScoredProblem(id="one", attempts=(attempt(True, 10),))],
        [ScoredProblem(id=str(n), attempts=silent(4)) for n in range(3)],
        [ScoredProblem(id=str(n), attempts=silent(n + 1), live=LiveAnswer(None, False, 0.0, 0))
         for n in range(3)],
        [ScoredProblem(id=str(n), attempts=(attempt(True, 10),) * 3) for n in range(5)],
    ],
    ids=["one attempt", "never an answer", "of different numbers", "all right"],
)  # fmt: skip
def test_a_report_of_little_is_one(problems: list[ScoredProblem], tmp_path: Path) -> None:
    """A model that never answers, a single attempt: no figure fails, and none says right."""
    arm = ScoredArm(name="little", problems=tuple(problems))
    report = build("Little", [arm, arm], Request())
    write_report(report, tmp_path)
    told = orjson.loads((tmp_path / "report.json").read_bytes())["sections"]
    right = any(problem.right for problem in problems)
    strategies = told["strategies little"]
    assert all((one["accuracy"][0] > 0) == right for one in strategies.values())
    assert told["summary"]["little"]["single"][1 if right else 2] not in (0.0, 1.0)


def test_arms_are_read_or_refused() -> None:
    arm = read_arm("name=plain; strategy=majority_vote; temperature=0.5; agree=3")
    assert (arm.name, arm.fields["temperature"], arm.fields["agree"]) == ("plain", 0.5, 3)
    assert read_arm("strategy=greedy").attempts(8) == 1
    assert read_arm("tir").fields == {"strategy": "tir"}
    assert read_arm("name=few; majority_vote; agree=2").fields["strategy"] == "majority_vote"
    spoken = read_arm("name=spoken; strategy=tir; mix=temperature=0 | variant=chinese top_p=0.9")
    assert spoken.fields["mix"] == "temperature=0 ; variant=chinese top_p=0.9"
    assert read_arm("variant=french; recipe=verify").fields == {
        "mix": "variant=french", "recipe": "verify"
    }  # fmt: skip
    for wrong in ("color=red", "temperature=hot", "strategy=none_such", "weight=heavy", "name=; ",
                  "temperature=9", "a b", "variant=klingon", "variant=french; mix=none",
                  "mix=temperature=hot"):  # fmt: skip
        with pytest.raises(MalformedArm):
            read_arm(wrong)
    with pytest.raises(MalformedArm, match="different names"):
        read_arms(["strategy=tir", "strategy=tir"])


def test_overlap_finds_what_a_corpus_holds() -> None:
    words = " ".join(f"word{n}" for n in range(20))
    problems = [
        Problem(id="held", statement=words, answer="1"),
        Problem(id="free", statement=" ".join(f"other{n}" for n in range(20)), answer="1"),
        Problem(id="short", statement="word1 word2", answer="1"),
    ]
    corpus = ["nothing here", f"before {words.upper()} after", words[:40]]
    found = {one.problem: one for one in overlaps(problems, corpus)}
    assert (found["held"].share, found["held"].document) == (1.0, 1)
    assert found["free"].share == 0.0
    assert found["short"].grams == 0


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.txt.gz", "corpus.gz", "corpus.jsonl.gz"])
def test_overlap_is_found_in_zipped_corpora(tmp_path: Path, name: str) -> None:
    statement = " ".join(f"word{n}" for n in range(20))
    problems = [Problem(id="held", statement=statement, answer="1")]
    content = f'{{"text": "{statement}"}}\n' if ".jsonl" in name else f"so\n{statement}\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    (found,) = overlaps(problems, documents(path))
    assert found.share == 1.0


@pytest.mark.parametrize(
    "content",
    ["word " * 40, gzip.compress(b"word " * 4_000), lzma.compress(b"word " * 4_000)],
    ids=["UTF-16", "gzip", "xz"],
)
def test_a_corpus_that_is_no_text_is_refused(tmp_path: Path, content: str | bytes) -> None:
    """Else nothing would be found in it, and the problems taken for clean."""
    path = tmp_path / "corpus.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-16"))
    with pytest.raises(SetUnreadable, match="is no text"):
        list(documents(path))
    zipped = tmp_path / "corpus.txt.gz"
    zipped.write_bytes(b"word " * 40)
    with pytest.raises(SetUnreadable, match="cannot be read"):
        list(documents(zipped))


def call(*given: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in given])


def test_files_of_recorded_attempts_are_scored(tmp_path: Path) -> None:
    rows = [
        {"problem_id": f"p{n}", "correct_answer": 1, "answer": 1 + (n + a) % 3, "tokens": 100 + a}
        for n in range(4) for a in range(6)
    ]  # fmt: skip
    path = tmp_path / "attempts.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    result = call("rescore", path, "--json", "--rounds", 1, "--with", "name=mine; attempts=4")
    assert result.exit_code == 0, result.output
    assert "mine" in orjson.loads(result.stdout)["sections"]["strategies recorded"]


def test_entries_of_a_mix_weigh_in_recorded_attempts_or_are_refused(tmp_path: Path) -> None:
    """The third of four attempts is right, the others wrong, each in its own way."""
    rows = [
        {"problem_id": f"p{n}", "correct_answer": 1, "answer": 1 if a == 2 else 10 + a,
         "tokens": 100, "attempt": a}
        for n in range(8) for a in range(4)
    ]  # fmt: skip
    path = tmp_path / "attempts.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    chosen = "name=mix; attempts=4; selector=weighted; weight=entries(1, 1, 3, 1)"
    result = call("rescore", path, "--json", "--rounds", 4, "--with", chosen)
    told = orjson.loads(result.stdout)["sections"]["strategies recorded"]
    assert told["mix"]["accuracy"][0] == 1.0
    path.write_bytes(b"\n".join(orjson.dumps(row | {"attempt": None}) for row in rows))
    refused = call("rescore", path, "--json", "--rounds", 1, "--with", chosen)
    assert "do not tell their entry" in str(refused.exception)


@pytest.mark.parametrize(
    ("statement", "corpus", "code"),
    [("word1 word2", "words", 0), ("one two three four five six", "words", 1), ("a", "absent", 2)],
)
def test_overlap_tells_what_it_found_from_what_it_cannot_know(
    tmp_path: Path, statement: str, corpus: str, code: int
) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_bytes(orjson.dumps({"id": "a", "problem": statement, "answer": "1"}))
    (tmp_path / "words").write_text("so one two three four five six and more\n")
    result = call("overlap", tmp_path / corpus, "--set", problems)
    assert result.exit_code == code, result.output
    assert ("absent: cannot be read" in result.stderr) == (code == 2)


def test_sets_are_listed() -> None:
    told = orjson.loads(call("sets", "--json").stdout)
    assert told["math500"]["count"] == 500
    assert "aimo3-reference" in call("sets").stdout
