"""Reflections: CSV in and out, rules, agreement."""

from dataclasses import replace
from pathlib import Path

import pytest
import typer

from tests.training.test_corpus import row, write
from training import errors
from training.annotate.commands import check_command
from training.annotate.reflections import Span, Tag, agreement, faults, read_spans, write_spans

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
    "2 final answers": [replace(GOOD, tag=Tag.FINAL), replace(GOOD, tag=Tag.FINAL, end=10)],
    "better and worse": [replace(GOOD, tag=Tag.BETTER), replace(GOOD, tag=Tag.NEUTRAL)],
}


@pytest.mark.parametrize("fault", BAD)
def test_each_rule(fault: str) -> None:
    (told,) = faults(BAD[fault], LENGTHS)
    assert fault in told


def test_better_and_worse_of_two_continuations_go_together() -> None:
    pair = [replace(GOOD, tag=Tag.BETTER), replace(GOOD, tag=Tag.WORSE, attempt=2)]
    assert faults(pair, {**LENGTHS, ("s", 2): 20}) == []


def test_agreement_is_beyond_chance() -> None:
    tags = [Tag.INSIGHT, Tag.WASTED, Tag.INSIGHT, Tag.WASTED]
    mine = [replace(GOOD, begin=i, tag=tag) for i, tag in enumerate(tags)]
    same = [replace(span, annotator="bob") for span in mine]
    assert agreement([*mine, *same], "ann", "bob") == 1
    half = [replace(span, tag=Tag.INSIGHT) for span in same]
    assert agreement([*mine, *half], "ann", "bob") == 0
    assert agreement(mine, "ann", "bob") is None


def test_faults_are_printed_and_exit_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traces = write(tmp_path / "t.jsonl", [row("p", [1] * 17, solve_id="s", attempt=1)])
    write_spans(tmp_path / "r.csv", [GOOD, replace(GOOD, annotator="bob")])
    check_command(tmp_path / "r.csv", [traces])
    assert "ann, bob: kappa 1.00" in capsys.readouterr().out
    write_spans(tmp_path / "r.csv", [replace(GOOD, end=99)])
    with pytest.raises(typer.Exit):
        check_command(tmp_path / "r.csv", [traces])
