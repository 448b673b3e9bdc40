"""Agreement: against published values, and by hand."""

from dataclasses import replace

import pytest

from client.schema import LabelTag as Tag
from tests.training.test_annotations import GOOD
from training.annotate.agreement import (
    Unit,
    alpha,
    comparison_alpha,
    kappa,
    shared_spans,
    token_alpha,
)

#: Four observers and twelve units, of Krippendorff's "Computing Krippendorff's Alpha-Reliability";
#: a dot is a value that is missing.
OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def units() -> list[Unit]:
    columns = zip(*OBSERVERS, strict=True)
    return [(1.0, [value for value in unit if value != "."]) for unit in columns]


def test_alpha_is_that_of_the_published_example() -> None:
    assert alpha(units()) == pytest.approx(0.743, abs=5e-4)
    squared = alpha(units(), lambda one, other: (int(one) - int(other)) ** 2)
    assert squared == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_units_that_say_nothing() -> None:
    assert alpha([]) is None
    assert alpha([(5.0, ["a"])]) is None
    assert alpha([(5.0, ["a", "a"])]) == 1
    assert alpha([(1.0, ["a", "b"]), (1.0, ["b", "a"])]) == pytest.approx(-0.5)
    # a unit that counts twice is two units
    twice = alpha([(2.0, ["a", "a"]), (1.0, ["a", "b"])])
    assert twice == pytest.approx(alpha([(1.0, ["a", "a"])] * 2 + [(1.0, ["a", "b"])]))


def test_kappa_is_beyond_chance() -> None:
    tags = [Tag.INSIGHT, Tag.WASTED, Tag.INSIGHT, Tag.WASTED]
    mine = [replace(GOOD, begin=i, tag=tag) for i, tag in enumerate(tags)]
    same = [replace(span, annotator="bob") for span in mine]
    assert kappa([*mine, *same], "ann", "bob") == 1
    half = [replace(span, tag=Tag.INSIGHT) for span in same]
    assert kappa([*mine, *half], "ann", "bob") == 0
    assert kappa(mine, "ann", "bob") is None


def test_spans_are_shared_where_tag_and_most_of_the_place_are() -> None:
    bob = replace(GOOD, annotator="bob")
    assert shared_spans([GOOD, replace(bob, begin=4)], "ann", "bob") == 1
    assert shared_spans([GOOD, replace(bob, begin=7)], "ann", "bob") == 0
    assert shared_spans([GOOD, replace(bob, tag=Tag.WASTED)], "ann", "bob") == 0
    # of two that fit one span, one is left over
    assert shared_spans([GOOD, bob, replace(bob, begin=4)], "ann", "bob") == pytest.approx(2 / 3)
    assert shared_spans([GOOD, replace(bob, solve_id="other")], "ann", "bob") is None


def test_tokens_that_annotators_tag_alike() -> None:
    bob = replace(GOOD, annotator="bob")
    assert token_alpha([GOOD, bob]) == 1
    assert token_alpha([GOOD]) is None
    apart = token_alpha([GOOD, replace(bob, begin=9, end=15)])
    assert apart is not None
    assert apart < 0


def test_comparisons_that_turn_round_disagree_more_than_those_that_are_unsure() -> None:
    def said(one: Tag, other: Tag) -> float | None:
        spans = []
        for begin, first in ((1, Tag.BETTER), (2, Tag.WORSE), (3, Tag.BETTER)):
            second = other if begin == 1 else first
            spans.append(replace(GOOD, begin=begin, tag=one if begin == 1 else first))
            spans.append(replace(GOOD, begin=begin, tag=second, annotator="bob"))
        return comparison_alpha(spans)

    agreed, unsure, turned = (
        said(Tag.BETTER, other) for other in (Tag.BETTER, Tag.NEUTRAL, Tag.WORSE)
    )
    assert agreed == 1
    assert unsure is not None
    assert turned is not None
    assert 1 > unsure > turned


def test_spans_without_a_token_are_no_place() -> None:
    empty = replace(GOOD, end=GOOD.begin)
    assert shared_spans([empty, replace(empty, annotator="bob")], "ann", "bob") == 0
    turned = replace(GOOD, begin=5, end=3)
    assert (
        shared_spans([turned, replace(empty, begin=4, end=4, annotator="bob")], "ann", "bob") == 0
    )
