"""Reflections: CSV in and out, rules, agreement."""

from dataclasses import replace
from pathlib import Path

import pytest
import typer

from client.schema import LabelTag as Tag
from tests.training.test_corpus import row, write
from training import errors
from training.alternates.record import Alternate, AlternateEnd, Position
from training.annotate.commands import check_command, join_command
from training.annotate.reflections import (
    COLUMNS,
    Span,
    faults,
    named_places,
    read_spans,
    write_spans,
)

GOOD = Span("p", "s", 1, "ann", Tag.INSIGHT, 3, 9, None, "uses symmetry,\nwell")
LENGTHS = {("s", 1): 20}


def test_spans_come_back_from_csv(tmp_path: Path) -> None:
    spans = [GOOD, replace(GOOD, tag=Tag.MISTAKE, source=2, reason='says "prime"')]
    write_spans(tmp_path / "reflections.csv", spans)
    assert read_spans(tmp_path / "reflections.csv") == spans
    assert faults(spans, LENGTHS) == []
    text = (tmp_path / "reflections.csv").read_text()
    (tmp_path / "bad.csv").write_text(text.replace("insight", "insightful"))
    with pytest.raises(errors.BadTraces, match="line 2: 'insightful'"):
        read_spans(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_text("problem_id,tag\n")
    with pytest.raises(errors.BadTraces, match="lacks the columns solve_id"):
        read_spans(tmp_path / "bad.csv")


BAD: dict[str, list[Span]] = {
    "not inside": [replace(GOOD, end=21)],
    "is not inside": [replace(GOOD, begin=9)],
    "no reason": [replace(GOOD, reason=" ")],
    "without its source": [replace(GOOD, tag=Tag.MISTAKE)],
    "at or before": [replace(GOOD, tag=Tag.MISTAKE, source=4)],
    "no trace": [replace(GOOD, attempt=2)],
    "2 final answers": [
        replace(GOOD, tag=Tag.FINAL),
        replace(GOOD, tag=Tag.FINAL, end=10),
    ],
    "better and worse": [replace(GOOD, tag=Tag.BETTER)],
    "2 verdicts": [replace(GOOD, tag=Tag.NEUTRAL), replace(GOOD, tag=Tag.NEUTRAL, end=10)],
}


@pytest.mark.parametrize("fault", BAD)
def test_each_rule(fault: str) -> None:
    (told,) = faults(BAD[fault], LENGTHS)
    assert fault in told


def test_better_and_worse_of_two_continuations_go_together() -> None:
    pair = [replace(GOOD, tag=Tag.BETTER), replace(GOOD, tag=Tag.WORSE, attempt=2)]
    assert faults(pair, {**LENGTHS, ("s", 2): 20}) == []


POSITION = Position(
    problem_id="p", solve_id="s", attempt=1, begin=3, end=9, before="", own="Own.", priority=0.5,
    named=False, temperature=0.8,
    alternates=[
        Alternate(alternate=0, ids=[1, 2], text="Other.", end=AlternateEnd.BOUNDARY, seed=0)
    ],
)  # fmt: skip
BETTER = replace(GOOD, tag=Tag.BETTER)
OTHER = replace(GOOD, tag=Tag.WORSE, alternate=0, end=5)


@pytest.mark.parametrize(
    ("span", "fault"),
    [
        (OTHER, ""),
        (replace(OTHER, end=6), "not inside the 2 tokens"),
        (replace(OTHER, alternate=1), "no alternate 1"),
        (replace(OTHER, begin=4), "no alternate 0 at s/1, 4"),
        (replace(OTHER, tag=Tag.INSIGHT), "better, neutral or worse, not insight"),
        (replace(OTHER, reason=""), "no reason"),
    ],
)
def test_rules_of_alternates(span: Span, fault: str) -> None:
    found = faults([BETTER, span], LENGTHS, {POSITION.key: POSITION})
    assert (fault in found[0]) if fault else found == []


def test_a_position_is_judged_by_itself_and_a_continuation_once() -> None:
    """Positions of other attempts at the problem begin where this one does: after the prompt."""
    other = POSITION.model_copy(update={"attempt": 2})
    positions = {POSITION.key: POSITION, other.key: other}
    alone = [BETTER, replace(OTHER, attempt=2)]
    told = faults(alone, LENGTHS, positions)
    assert [each.partition(",")[0] for each in told] == ["s/1", "s/2"]
    assert all("better and worse go together" in each for each in told)
    (twice,) = faults([BETTER, OTHER, replace(OTHER, reason="again")], LENGTHS, positions)
    assert twice == "s/1, position 3: 2 verdicts by ann on alternate 0; must be one"
    (both,) = faults([BETTER, OTHER, replace(BETTER, tag=Tag.WORSE)], LENGTHS, positions)
    assert "2 verdicts by ann on its own" in both
    assert faults([BETTER, OTHER, replace(OTHER, annotator="bob", tag=Tag.NEUTRAL)], LENGTHS,
                  positions) == []  # fmt: skip


def test_alternates_come_back_from_csv_and_older_files_have_none(tmp_path: Path) -> None:
    write_spans(tmp_path / "r.csv", [OTHER, BETTER])
    assert read_spans(tmp_path / "r.csv") == [OTHER, BETTER]
    lines = (tmp_path / "r.csv").read_text().splitlines()
    older = [lines[0].removesuffix(",alternate"), "p,s,1,ann,insight,3,9,,why"]
    (tmp_path / "older.csv").write_text("\n".join(older))
    assert read_spans(tmp_path / "older.csv") == [replace(GOOD, reason="why")]


def test_reflections_name_where_mistakes_come_from() -> None:
    mistake = replace(GOOD, tag=Tag.MISTAKE, source=1)
    spans = [mistake, replace(GOOD, tag=Tag.FINAL, begin=7), BETTER]
    assert named_places(spans) == {("s", 1, 3), ("s", 1, 1)}


def test_files_are_joined_and_rows_that_are_twice_stay_once(tmp_path: Path) -> None:
    write_spans(tmp_path / "a.csv", [GOOD])
    write_spans(tmp_path / "b.csv", [GOOD, replace(GOOD, annotator="bob")])
    join_command([tmp_path / "a.csv", tmp_path / "b.csv"], target=tmp_path / "all.csv")
    assert read_spans(tmp_path / "all.csv") == [GOOD, replace(GOOD, annotator="bob")]


def test_faults_are_printed_and_exit_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traces = write(tmp_path / "t.jsonl", [row("p", [1] * 17, solve_id="s", attempt=1)])
    write_spans(tmp_path / "r.csv", [GOOD, replace(GOOD, annotator="bob")])
    check_command(tmp_path / "r.csv", [traces])
    assert "ann, bob: kappa 1.00; 100 % of their spans shared" in capsys.readouterr().out
    write_spans(tmp_path / "r.csv", [replace(GOOD, end=99)])
    with pytest.raises(typer.Exit):
        check_command(tmp_path / "r.csv", [traces])


def test_reasons_come_back_whatever_is_in_them(tmp_path: Path) -> None:
    odd = ["a\u2028b", "a\x0cb", "a\x85b", "a\rb", "a\nb", 'a"b', "=1+1", "a\x00b", "x" * 200_000]
    spans = [replace(GOOD, reason=reason) for reason in odd]
    write_spans(tmp_path / "r.csv", spans)
    assert read_spans(tmp_path / "r.csv") == spans


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "not CSV in UTF-8"),
        (b"", "lacks the columns problem_id"),
        (b"HEAD\np,s,0,me,final,1,2,\n", "line 2: has no reason"),
        (b"HEAD\np,s,x,me,final,1,2,,r,\n", "line 2: invalid literal"),
        (b"HEAD\np,s,0,me,nonsense,1,2,,r,\n", "line 2: 'nonsense'"),
    ],
)
def test_files_that_are_no_reflections_are_named(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(content.replace(b"HEAD", ",".join(COLUMNS).encode()))
    with pytest.raises(errors.BadTraces, match=told):
        read_spans(path)
