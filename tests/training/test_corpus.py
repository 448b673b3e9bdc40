"""From traces to a corpus: masks, rules, limits, and that every id comes back."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from training import errors
from training.corpus.build import build
from training.corpus.commands import corpus_command
from training.corpus.exclusion import Excluded, read_excluded
from training.corpus.rules import Kind, Order, Rules, reward_of
from training.corpus.sketches import overlap, sketch
from training.corpus.store import from_runs, read_entries, read_examples, to_runs
from training.text import Decoder, load_decoder
from training.traces.answers import Answers, read_answers
from training.traces.read import harmony_mask, read_traces, to_trace

PROMPT = [5, 6, 7]


def row(
    problem: str, ids: list[int], mask: list[int] | None = None, /, **more: object
) -> dict[str, Any]:
    own = [1] * len(ids) if mask is None else mask
    values = {"answer": "7", "truth": "7", "model": "m", "source": "S", "licence": "MIT", **more}
    return {"problem_id": problem, "ids": PROMPT + ids, "mask": [0] * 3 + own, **values}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in rows))
    return path


def read_json(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


ROWS = [
    row("a", [10, 11, 12, 13], [1, 1, 0, 0], tool_calls=1),
    row("a", [10, 11], answer="8"),
    row("a", [20, 21, 22]),
    row("a", [20, 21, 22]),
    row("b", [30] * 9, truth=7, answer="007"),
    row("b", [31], complete=False),
    row("b", [], []),
    row("c", [40, 41], truth=None),
]


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return write(tmp_path / "traces.jsonl", ROWS)


def test_entries_keep_every_id_and_mask_and_prompts_are_stored_once(
    traces: Path, tmp_path: Path
) -> None:
    figures = build([traces], tmp_path / "corpus", Rules(), lines=True, pairs_per_problem=2)
    entries = {entry.number: entry for entry in read_entries(tmp_path / "corpus")}
    assert set(entries) == {0, 1, 2, 4}
    assert [number for number, entry in entries.items() if entry.trained] == [0, 2, 4]
    for number, entry in entries.items():
        assert [*entry.prompt, *entry.ids] == ROWS[number]["ids"]
        assert [0, 0, 0, *entry.mask] == ROWS[number]["mask"]
    assert [entries[number].kind for number in (0, 2)] == ["tir", "cot"]
    assert figures["entries"] == 3
    assert figures["trained_tokens"] == 2 + 3 + 9
    assert figures["reason"] == {
        "right answer": 3, "wrong answer": 1, "duplicate": 1,
        "incomplete: tokens are missing": 1, "nothing sampled: its mask is all zero": 1,
        "no reward: its right answer is not known": 1,
    }  # fmt: skip
    lines = read_json(tmp_path / "corpus" / "tokens.jsonl")
    assert [line["ids"] for line in lines] == [ROWS[n]["ids"][3:] for n in (0, 1, 2, 4)]
    assert {line["prompt"] for line in lines} == {0}
    (pair,) = read_json(tmp_path / "corpus" / "pairs.jsonl")
    assert pair == {"problem_id": "a", "chosen": 0, "rejected": 1}
    told = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert told["figures"] == figures
    assert told["inputs"][0]["name"] == "traces.jsonl"
    text = (tmp_path / "corpus" / "README.md").read_text()
    assert "| MIT | 3 |" in text
    examples = read_examples(tmp_path / "corpus", longest=6)
    assert examples[0].weights.tolist() == [0, 0, 0, 1, 1, 0]


def included(
    traces: Path,
    folder: Path,
    rules: Rules,
    *,
    excluded: Excluded | None = None,
    answers: dict[str, str] | None = None,
    decoder: Decoder | None = None,
) -> list[int]:
    known = Answers(answers or {})
    build([traces], folder, rules, excluded=excluded, answers=known, decoder=decoder)
    return [entry.number for entry in read_entries(folder) if entry.trained]


def test_rules(traces: Path, tmp_path: Path) -> None:
    right = Rules()
    cases: list[tuple[Rules, list[int]]] = [
        (replace(right, least_reward=0.0), [0, 1, 2, 4, 7]),
        (replace(right, per_problem=1), [0, 4]),
        (replace(right, per_problem=1, order=Order.LONGEST), [2, 4]),
        (replace(right, longest=7), [0, 2]),
        (replace(right, shortest=8), [4]),
    ]
    for number, (rules, wanted) in enumerate(cases):
        assert included(traces, tmp_path / f"{number}", rules) == wanted
    assert included(traces, tmp_path / "out", right, excluded=Excluded(frozenset({"a"}))) == [4]
    assert included(traces, tmp_path / "told", right, answers={"c": "7", "b": "1"}) == [0, 2, 7]


def test_excluded_problems_are_known_by_their_statements_too(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row("a", [10, 11]), row("x", [20, 21]), row("b", [30])]
    rows[1]["problem"] = "How many,  primes?"
    rows += [row("", [40]), row("", [50])]
    rows[-1]["ids"][0] = 8
    for each in rows[-2:]:
        del each["problem_id"]
    path = write(tmp_path / "t.jsonl", rows)
    kept_out = [{"problem_id": "a"}, {"id": "p", "problem": "how many $primes$?"}, {"id": "B"},
                {"question": "w6 w7"}]  # fmt: skip
    source = write(tmp_path / "excluded.jsonl", kept_out)
    corpus_command([path], target=tmp_path / "blind", exclude=source)
    told = capsys.readouterr().out
    assert "2 problems of --exclude are of no trace: B, row 4" in told
    assert "2 traces name no problem and were not compared" in told
    # with a tokenizer the prompts are read: 5, 6, 7 holds the statement, and 8, 6, 7 does
    excluded, decoder = read_excluded(source), load_decoder(tokenizer)
    with pytest.raises(errors.EmptyCorpus, match="5 times its problem is excluded"):
        build([path], tmp_path / "read", Rules(), excluded=excluded, decoder=decoder)
    assert [entry.number for entry in read_entries(tmp_path / "blind")] == [2, 3, 4]
    with pytest.raises(errors.BadTraces, match="row 1: names no problem"):
        read_excluded(write(tmp_path / "none.jsonl", [{"id": "", "answer": 7}]))


def test_answers_that_are_not_known_are_no_answers(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "answer": None}, {"unique_id": "b", "answer": ""}, {"problem_id": "c"},
        {"id": "d", "expected_answer": 0},
    ]  # fmt: skip
    assert read_answers(write(tmp_path / "a.jsonl", rows)).by_id == {"d": "0"}
    with pytest.raises(errors.BadTraces, match="no row has an answer"):
        read_answers(write(tmp_path / "none.jsonl", rows[:3]))
    with pytest.raises(errors.BadTraces, match="row 1: must have an id"):
        read_answers(write(tmp_path / "nameless.jsonl", [{"answer": 7}]))


def test_what_is_too_alike_is_left_out(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    first = source.integers(0, 5000, 3000)
    near = first.copy()
    near[1500] = 1
    other = source.integers(0, 5000, 3000)
    path = write(tmp_path / "t.jsonl", [row("a", ids.tolist()) for ids in (first, near, other)])
    rules = Rules(most_overlap=0.5, order=Order.FIRST)
    assert included(path, tmp_path / "out", rules) == [0, 2]
    sketches = [sketch(ids.astype(np.uint32)) for ids in (first, near, other)]
    assert overlap(sketches[0], sketches[1]) > 0.9
    assert overlap(sketches[0], sketches[2]) == 0
    half = np.concatenate([first[:1500], other[1500:]]).astype(np.uint32)
    assert overlap(sketches[0], sketch(half)) == pytest.approx(1 / 3, abs=0.12)


def test_nothing_to_train_on_is_told_with_the_reasons(tmp_path: Path) -> None:
    zero = write(tmp_path / "zero.jsonl", [row("a", [1, 2], [0, 0])])
    with pytest.raises(errors.EmptyCorpus, match="1 times nothing sampled"):
        build([zero], tmp_path / "out", Rules())
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(errors.EmptyCorpus, match="the files are empty"):
        build([empty], tmp_path / "out", Rules())
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    words = {f"w{number}": number for number in range(64)}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_table_of_all_traces_and_the_limit_on_characters(
    traces: Path, tokenizer: Path, tmp_path: Path
) -> None:
    target = tmp_path / "corpus"
    corpus_command([traces], target=target, tokenizer=tokenizer)
    with (target / "corpus.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ROWS)
    assert rows[0] == {
        "problem_id": "a", "problem_source": "S", "prompt": "w5 w6 w7",
        "completion": "w10 w11 w12 w13", "character_count": "23", "token_count": "7",
        "annotation_reason": "right answer", "included": "True",
    }  # fmt: skip
    short = Rules(most_characters=25)
    assert included(traces, tmp_path / "s", short, decoder=load_decoder(tokenizer)) == [0, 2]


def test_another_build_in_the_same_place_is_refused(traces: Path, tmp_path: Path) -> None:
    build([traces], tmp_path / "corpus", Rules())
    with pytest.raises(errors.OutputExists, match="there already"):
        build([traces], tmp_path / "corpus", Rules())


def test_parquet_exports_are_read_as_json_lines_are(tmp_path: Path) -> None:
    import pyarrow as arrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    rows = [{"complete": True, **each, "truth": str(each["truth"])} for each in ROWS]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "traces.parquet")
    plain = list(read_traces(write(tmp_path / "traces.jsonl", rows)))
    for one, other in zip(read_traces(tmp_path / "traces.parquet"), plain, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.mask.tolist() == other.mask.tolist()
        assert one.values == other.values


def test_views_of_lists_in_parquet_are_read_in_any_order(tmp_path: Path) -> None:
    import pyarrow as arrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    lists = [[1, 2], [3, 4, 5], [6]]
    table = {name: arrow.array(lists, arrow.list_view(arrow.int32())) for name in ("ids", "mask")}
    table["mask"] = arrow.array([[1] * len(each) for each in lists])
    parquet.write_table(arrow.table(table), tmp_path / "views.parquet")
    assert [each.ids.tolist() for each in read_traces(tmp_path / "views.parquet")] == lists


def test_an_empty_answer_is_none_and_an_empty_truth_is_not_known(tmp_path: Path) -> None:
    # two of them are equal as texts, and an attempt without an answer was right
    given = [("", ""), (" ", "7"), ("0", ""), ("7", "7")]
    rows = [row(str(i), [9], answer=answer, truth=truth) for i, (answer, truth) in enumerate(given)]
    path = write(tmp_path / "t.jsonl", rows)
    assert [reward_of(trace) for trace in read_traces(path)] == [None, 0.0, None, 1.0]
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(list(read_traces(marked))) == len(rows)


def test_harmony_of_other_tools_is_masked_by_its_messages() -> None:
    start, assistant, end, call, message = 200006, 173781, 200007, 200012, 200008
    own = [200005, 1, message, 2, call]
    tool = [start, 9, message, 3, 4, end, start, assistant]
    more = [200005, 1, message, 5, end, start, assistant, message, 6, 200002]
    completion = np.array([*own, *tool, *more], np.uint32)
    wanted = [1] * len(own) + [0] * len(tool) + [1] * len(more)
    assert harmony_mask(completion).tolist() == wanted
    cut = np.array([*own, *tool[:5]], np.uint32)
    assert harmony_mask(cut).tolist() == [1] * 5 + [0] * 5
    trace = to_trace(
        {"prompt_tokens": [start, assistant], "completion_tokens": completion,
         "problem_id": "p", "statement": "s", "correct_answer": 4, "attempt_answer": 4}
    )  # fmt: skip
    assert trace.values == {"problem_id": "p", "problem": "s", "truth": 4, "answer": 4}
    assert trace.prompt_tokens == 2


def test_what_was_cut_off_is_neither_right_nor_wrong_and_plans_are_no_traces(
    tmp_path: Path,
) -> None:
    rows = [
        row("a", [10, 11], end="answered", role="attempt"),
        row("a", [12, 13], end="early_stop", role="attempt", answer=None),
        row("a", [14, 15], end="deadline", answer=None),
        row("a", [16, 17], end=None, role="attempt", answer=None),
        row("a", [500_001], end="planned", role="plan", answer=None),
        row("a", [18, 19], end="no_answer", role="attempt", answer=None),
    ]
    path = write(tmp_path / "t.jsonl", rows)
    rewards = [reward_of(trace) for trace in read_traces(path)]
    assert rewards == [1, None, None, None, 0]
    figures = build([path], tmp_path / "corpus", Rules(), pairs_per_problem=4)
    assert figures["reason"]["not ended by the model: early_stop"] == 1
    assert [each["rejected"] for each in read_json(tmp_path / "corpus" / "pairs.jsonl")] == [4]
    assert included(path, tmp_path / "wrong", Rules(least_reward=0.0)) == [0, 4]


def test_rejected_sides_of_pairs_keep_the_rules_too(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"answer": "8", "end": "answered"}
    rows = [
        row("a", [10, 11], tool_calls=0),
        row("a", [12, 13], tool_calls=1, **wrong),
        row("a", [14] * 100, tool_calls=0, **wrong),
        row("a", [15, 16], tool_calls=0, **wrong),
    ]
    path = write(tmp_path / "t.jsonl", rows)
    build([path], tmp_path / "out", Rules(longest=50, kinds=(Kind.COT,)), pairs_per_problem=4)
    assert [each["rejected"] for each in read_json(tmp_path / "out" / "pairs.jsonl")] == [3]


def test_a_forced_answer_makes_no_program_of_an_attempt(tmp_path: Path) -> None:
    forced = row("a", [10, 11, 12, 13], [1, 1, 0, 1], tool_calls=0, end="forced")
    unknown = row("b", [20, 21, 22, 23], [1, 1, 0, 1])
    build([write(tmp_path / "t.jsonl", [forced, unknown])], tmp_path / "corpus", Rules())
    assert [entry.kind for entry in read_entries(tmp_path / "corpus")] == ["cot", "tir"]


def test_rows_are_read_as_other_tools_write_their_numbers(tmp_path: Path) -> None:
    more = {"problem_id": 7, "answer": 401.0, "truth": 0.5, "completion_tokens": 5}
    path = write(tmp_path / "t.jsonl", [{"ids": [1, 2], "mask": [0, 1], **more}])
    (trace,) = read_traces(path)
    told = {name: trace.values[name] for name in ("problem_id", "answer", "truth")}
    assert told == {"problem_id": "7", "answer": 401, "truth": "0.5"}
    assert trace.ids.tolist() == [1, 2]


BAD_ROWS = {
    "not json": b"{",
    "list": b"[1]",
    "no ids": b'{"problem_id": "a"}',
    "no prompt": b'{"completion_tokens": [1]}',
    "counts": b'{"prompt_tokens": 3, "completion_tokens": 5}',
    "text in numbers": b'{"ids": [1], "mask": [1], "tool_calls": 1.5}',
    "mask": b'{"ids": [1, 2], "mask": [1]}',
    "mask value": b'{"ids": [1, 2], "mask": [1, 2]}',
    "text": b'{"ids": ["x"], "mask": [1]}',
    "fraction": b'{"ids": [1.5], "mask": [1]}',
    "negative": b'{"ids": [-1], "mask": [1]}',
    "huge": b'{"ids": [99999999999], "mask": [1]}',
    "nested": b'{"ids": [[1]], "mask": [[1]]}',
    "column": b'{"ids": [1], "mask": [1], "complete": "yes"}',
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_that_are_no_traces_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(orjson.dumps(ROWS[0]) + b"\n" + BAD_ROWS[name] + b"\n")
    with pytest.raises(errors.BadTraces, match=r"bad\.jsonl, row 2"):
        list(read_traces(path))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    for name in ("nowhere.jsonl", "cut.parquet"):
        with pytest.raises(errors.BadTraces, match=name):
            list(read_traces(tmp_path / name))
    with pytest.raises(errors.BadTraces, match=r"not a whole corpus|cannot be read"):
        list(read_entries(tmp_path))


@given(st.lists(st.integers(0, 1)))
def test_runs_are_the_mask(mask: list[int]) -> None:
    runs = to_runs(np.array(mask, np.uint8))
    assert from_runs(runs).tolist() == mask
    assert (runs[1:] > 0).all()


def test_a_completion_that_nothing_predicts_is_no_example(tmp_path: Path) -> None:
    alone, good = row("a", [10]), row("b", [10, 11])
    alone["ids"], alone["mask"] = [10], [1]
    build([write(tmp_path / "t.jsonl", [alone, good])], tmp_path / "corpus", Rules())
    (example,) = read_examples(tmp_path / "corpus")
    assert example.problem_id == "b"
    build([write(tmp_path / "one.jsonl", [alone])], tmp_path / "one", Rules())
    with pytest.raises(errors.EmptyCorpus, match="no entry has an id to train on"):
        read_examples(tmp_path / "one")


def test_traces_that_name_no_problem_belong_to_their_prompt(tmp_path: Path) -> None:
    rows = [row("", [10, 11]), row("", [20, 21, 22]), row("", [30, 31, 32, 33])]
    rows[2]["ids"][0] += 1
    for each in rows:
        del each["problem_id"]
    build([write(tmp_path / "t.jsonl", rows)], tmp_path / "corpus", Rules(per_problem=1))
    entries = list(read_entries(tmp_path / "corpus"))
    assert [entry.number for entry in entries] == [0, 2]
    assert len({entry.problem_id for entry in entries}) == 2
    assert all(entry.problem_id.startswith("prompt-") for entry in entries)
