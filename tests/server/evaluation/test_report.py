"""Reports: what they say of known attempts, and that nothing in them is taken for HTML."""

import csv
import io
import random
import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from server.evaluation.arms import read_arm, read_arms
from server.evaluation.commands import app
from server.evaluation.contamination import overlaps
from server.evaluation.errors import MalformedArm, TrackerUnavailable
from server.evaluation.export import write_report
from server.evaluation.page import markdown, page
from server.evaluation.problem import Problem
from server.evaluation.report import Report, Request, build
from server.evaluation.scored import LiveAnswer, ScoredArm, ScoredAttempt, ScoredProblem
from server.evaluation.trackers import figures, track
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
    assert strategies["DeepConf: mean"]["accuracy"][0] >= strategies["majority of 8"]["accuracy"][0]
    assert strategies["oracle"]["accuracy"][0] >= strategies["DeepConf: mean"]["accuracy"][0]
    assert told["calibration one"]["signals"]["mean confidence"] == [1.0, 1.0, 1.0]
    assert told["errors one"]["collision"] == [1.0, 1.0, 1.0]
    assert told["cost one"]["solved"] == 5
    assert told["by level one"]["0"]["problems"] == 5
    assert told["compared"]["other, single attempt"]["difference"] == [0, 0, 0]


def test_nothing_in_a_page_acts(report: Report) -> None:
    text = page(report)
    assert "<script" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(
        r"""(?:src|href)=["'](?!#|http://127\.0\.0\.1:8642/solves/solve-1")""", text
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


def test_arms_are_read_or_refused() -> None:
    arm = read_arm("name=plain; strategy=majority_vote; temperature=0.5; agree=3")
    assert (arm.name, arm.fields["temperature"], arm.fields["agree"]) == ("plain", 0.5, 3)
    assert read_arm("strategy=greedy").attempts(8) == 1
    for wrong in ("color=red", "temperature=hot", "strategy=none_such", "weight=heavy", "name=; ",
                  "temperature=9", "a b"):  # fmt: skip
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


def test_trackers_that_there_are_not_say_so(report: Report, tmp_path: Path) -> None:
    assert dict(figures(report))["summary/one/answer/mean"] == 0.5
    with pytest.raises(TrackerUnavailable, match="must be one of"):
        track(report, ["paper"], tmp_path)
    for name in ("trackio", "wandb"):
        with pytest.raises(TrackerUnavailable, match=f"pip install {name}"):
            track(report, [name], tmp_path)


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


def test_sets_are_listed() -> None:
    told = orjson.loads(call("sets", "--json").stdout)
    assert told["math500"]["count"] == 500
    assert "aimo3-reference" in call("sets").stdout
