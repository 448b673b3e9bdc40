"""Alternates: where paragraphs begin, which are chosen, and continuations over a real gateway."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from client.http import AsyncQuorumClient
from client.schema import AnswerKind
from tests.docs.gateway import running_gateway
from tests.training.test_annotations import POSITION
from tests.training.test_corpus import row, write
from tests.training.writer import OPENING
from tests.training.writer import write as play
from training import errors
from training.alternates.boundaries import Paragraph, paragraphs
from training.alternates.choose import Caps, choose, read_trace
from training.alternates.divergence import Sibling, mixedness, priorities, terms
from training.alternates.generate import ALTERNATES, Plan, generate
from training.alternates.record import AlternateEnd, read_positions
from training.commands import app
from training.genselect.generate import Plan as Choices
from training.genselect.generate import generate as choose_among
from training.problems.read import Problem
from training.served import ServedModel
from training.traces.generate import Plan as TracePlan
from training.traces.generate import generate as generate_traces
from training.traces.read import read_traces, to_trace
from training.traces.trace import Trace


def told(texts: list[str], mask: list[int] | None = None) -> list[tuple[int, int, str]]:
    own = [1] * len(texts) if mask is None else mask
    return [
        (each.begin, each.end, each.text) for each in paragraphs(texts, np.array(own, np.uint8))
    ]


def test_paragraphs_begin_with_a_turn_and_after_a_blank_line() -> None:
    texts = ["prompt\n\n", "We", " see.\n\n", "Next", ".\n", "\n", "End", "."]
    assert told(texts, [0] + [1] * 7) == [
        (1, 3, "We see.\n\n"), (3, 6, "Next.\n\n"), (6, 8, "End."),
    ]  # fmt: skip
    # a blank line that another token goes on with belongs to what came before
    assert told(["x", "a\n\n", "\n", "b"], [0, 1, 1, 1]) == [(1, 2, "a\n\n"), (3, 4, "b")]
    # no paragraph begins inside a character
    assert told(["x", "a\n\n", "", "é"], [0, 1, 1, 1]) == [(1, 2, "a\n\n"), (2, 4, "é")]
    # what was appended ends a paragraph, and belongs to none
    assert told(["x", "a", "out\n\n", "b"], [0, 1, 0, 1]) == [(1, 2, "a"), (3, 4, "b")]
    assert told([]) == []


@pytest.mark.parametrize(
    "code",
    [
        "```python\nx = 1\n\ny = 2\n```",
        '<tool_call>\n{"code": "x\n\ny"}</tool_call>',
        "<|channel|>analysis to=python code<|message|>x = 1\n\ny = 2<|call|>",
        "<|channel|>commentary to=functions.python <|constrain|>json<|message|>x\n\ny<|call|>",
        " to=python<|channel|>analysis code<|message|>x = 1\n\ny = 2<|call|>",
        " to=functions.f<|channel|>commentary <|constrain|>json<|message|>x\n\ny<|call|>",
        "```python\nnever ended\n\ny",
    ],
)
def test_blank_lines_of_code_begin_no_paragraph(code: str) -> None:
    before, after = code.split("\n\n")
    found = told(["p", "First.\n\n", f"{before}\n\n", after, "\n\n", "Then."], [0, 1, 1, 1, 1, 1])
    begins = [begin for begin, _, _ in found]
    assert 3 not in begins
    assert begins[:2] == [1, 2]


def test_a_fence_that_others_leave_open_makes_no_code_of_what_the_model_writes() -> None:
    said = ["First.\n\n", "Second.\n\n", "Third."]
    asked = told(["Use ```python blocks. How many?", *said], [0, 1, 1, 1])
    assert [text for _, _, text in asked] == said
    printed = told(["x", "```python\nf()\n```", "\n```\n", *said], [0, 1, 0, 1, 1, 1])
    assert [text for _, _, text in printed] == ["```python\nf()\n```", *said]


def test_paragraphs_on_which_only_one_kind_goes_come_first() -> None:
    right, wrong = terms("primes 25 sieve"), terms("primes 24 guess")
    siblings = [Sibling(True, right), Sibling(False, wrong)]
    own = [Paragraph(0, 1, text, 0) for text in ("the primes", "a sieve 25", "the primes 25")]
    found = priorities(own, siblings)
    assert found[0] == found[2] == 0
    assert found[1] == pytest.approx(2 / 5)
    assert mixedness(siblings) == 1
    assert mixedness([siblings[0]] * 3) == 0
    assert priorities(own, [siblings[0]] * 2) == [0, 0, 0]


def attempt(name: str, number: int, right: bool, *parts: str) -> tuple[Trace, list[str]]:
    texts = ["a", "b", "c", *parts]
    made = row(
        name, list(range(10, 10 + len(parts))), answer="7" if right else "8", solve_id=name,
        attempt=number,
    )  # fmt: skip
    return to_trace(made), texts


def test_positions_are_capped_and_named_ones_come_first() -> None:
    attempts = [
        attempt("p", 0, True, "Common.\n\n", "sieve 25.\n\n", "done."),
        attempt("p", 1, False, "Common.\n\n", "guess 24.\n\n", "done."),
        attempt("q", 0, True, "All.\n\n", "right."),
    ]
    reads = [read_trace(*each) for each in attempts]
    everything = choose(reads, Caps())
    assert [(each.trace, each.paragraph.begin) for each in everything[:2]] == [
        (("p", 0), 4), (("p", 1), 4),
    ]  # fmt: skip
    assert everything[0].before == "abcCommon.\n\n"
    assert len(everything) == 8
    assert len(choose(reads, Caps(per_trace=1))) == 3
    assert len(choose(reads, Caps(per_problem=1))) == 2
    assert len(choose(reads, Caps(in_all=5))) == 5
    assert len(choose(reads, Caps(least_priority=0.1))) == 2
    named = choose(reads, Caps(least_priority=0.1), {("q", 0, 4), ("p", 0, 0), ("none", 0, 1)})
    assert [(each.trace, each.paragraph.begin, each.named) for each in named] == [
        (("q", 0), 4, True), (("p", 0), 4, False), (("p", 1), 4, False),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def writer_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("writer"), play) as served:
        yield served


@pytest.fixture
async def sources(writer_url: str, tmp_path: Path) -> Path:
    problem = Problem("primes", "How many primes are below 100?", "25", "own", "CC0-1.0", {})
    plan = TracePlan(stages=(4,), answer_kind=AnswerKind.INTEGER, temperature=1.0)
    await generate_traces(writer_url, [problem], tmp_path / "traces", plan)
    return tmp_path / "traces" / "traces.jsonl"


class Stopped(Exception):
    """The job is ended from outside."""


async def test_continuations_go_on_from_the_traces_own_ids(
    writer_url: str, sources: Path, tmp_path: Path
) -> None:
    # other seeds than the attempts had
    plan = Plan(3, Caps(per_trace=2, in_all=6), parallel=2, max_tokens=60, seed=1_000)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        await generate(writer_url, [sources], tmp_path / "out", plan, observe=stop)
    assert not (tmp_path / "out").exists()
    seen: list[tuple[int, int]] = []
    figures = await generate(
        writer_url, [sources], tmp_path / "out", plan, observe=lambda *done: seen.append(done)
    )
    assert seen[-1] == (6, 6)
    assert len(seen) <= 4  # what was done is not made again
    traces = {
        (str(trace.values["solve_id"]), int(trace.values["attempt"])): trace
        for trace in read_traces(sources)
    }
    positions = list(read_positions(tmp_path / "out" / ALTERNATES))
    assert figures == {
        "positions": 6, "alternates": sum(len(each.alternates) for each in positions),
    }  # fmt: skip
    async with AsyncQuorumClient(writer_url) as client:
        model = ServedModel(client)
        for each in positions:
            ids = traces[each.trace].ids.tolist()
            texts = await model.texts(ids)
            assert "".join(texts[each.begin : each.end]) == each.own
            assert "".join(texts[: each.begin]).endswith(each.before)
            assert each.truth == "25"
            for alternate in each.alternates:
                assert "".join(await model.texts(alternate.ids)).startswith(alternate.text.rstrip())
                assert alternate.ids != ids[each.begin : each.end]
                assert len(alternate.logprobs or ()) == len(alternate.ids)
    sieves = [each for each in positions if each.own.startswith("By sieve")]
    assert sieves
    for each in sieves:
        assert each.priority > 0
        assert each.before.endswith(OPENING)
        assert {a.end for a in each.alternates} == {AlternateEnd.BOUNDARY}
        assert len(each.alternates) == 3
    told = json.loads((tmp_path / "out" / "alternates.json").read_text())
    assert told["figures"] == figures
    assert told["inputs"][0]["name"] == "traces.jsonl"


async def test_nothing_to_go_on_from_is_told(writer_url: str, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(errors.EmptyCorpus, match="no trace has a paragraph"):
        await generate(writer_url, [empty], tmp_path / "out", Plan())
    bad = write(tmp_path / "bad.jsonl", [{"solve_id": "s"}])
    with pytest.raises(errors.BadTraces, match=r"bad.jsonl, line 1: no alternates"):
        list(read_positions(bad))


@pytest.mark.parametrize("token", [-1, 2**24])
def test_ids_that_no_vocabulary_has_are_no_alternates(token: int, tmp_path: Path) -> None:
    line = POSITION.row()
    line["alternates"][0]["ids"] = [1, token]
    with pytest.raises(errors.BadTraces, match=r"line 1: no alternates"):
        list(read_positions(write(tmp_path / "bad.jsonl", [line])))


async def test_a_trace_that_is_there_twice_is_refused(writer_url: str, tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", [row("p", [1, 2], solve_id="s", attempt=1)])
    with pytest.raises(errors.BadTraces, match="trace s/1: is there twice"):
        await generate(writer_url, [source, source], tmp_path / "out", Plan())
    # rows of other tools are named by their files
    other = tmp_path / "other"
    other.mkdir()
    rows = [write(folder / "u.jsonl", [row("p", [1, 2])]) for folder in (tmp_path, other)]
    with pytest.raises(errors.BadTraces, match="trace u/0: is there twice"):
        await choose_among(writer_url, rows, tmp_path / "choices", Choices())


@pytest.mark.parametrize("command", ["alternates", "genselect"])
@pytest.mark.parametrize("option", ["--max-tokens=1000001", f"--seed={2**31}"])
def test_what_no_server_takes_is_refused_at_once(command: str, option: str, tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", [row("p", [1, 2], solve_id="s", attempt=1)])
    asked = [command, str(source), "--to", str(tmp_path / "out"), option]
    told = CliRunner().invoke(app, [*asked, "--url", "http://127.0.0.1:9"])
    assert told.exit_code == 2
    assert "Invalid value" in told.output
