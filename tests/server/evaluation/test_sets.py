"""Problem sets: files of every kind, the hub, and rows that are no problems."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from server.evaluation import catalogue
from server.evaluation.catalogue import SetSource, known_sets
from server.evaluation.errors import SetChanged, SetGone, SetUnreadable, UnknownSet
from server.evaluation.load import load_set, sets_folder
from server.evaluation.problem import Fault, Kind, choice_letter, read_answer
from tests.server.evaluation.hub_double import Hub, hub

ROWS = [
    {"id": "a", "problem": "What is 1 + 1?", "answer": "2", "level": 1, "subject": "Sums"},
    {"id": "b", "problem": "Half of 1?", "answer": "\\frac{1}{2}", "level": 2},
    {"id": "c", "problem": "Name a pair.", "answer": "(1, 2)", "level": 2},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "cache"


def json_lines(rows: list[dict[str, object]]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows) + b"\n"


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_a_file_of_every_kind_gives_the_same_problems(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mine.{ending}"
    rows = [{"subject": None, **row} for row in ROWS]
    if ending == "jsonl":
        path.write_bytes(json_lines(rows))
    elif ending == "json":
        path.write_text(json.dumps(rows))
    elif ending == "csv":
        cells = [[row[name] or "" for name in ("id", "problem", "answer", "level", "subject")]
                 for row in rows]  # fmt: skip
        text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in cells)
        path.write_text(f"\ufeffid,problem,answer,level,subject\n{text}\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    found = load_set(str(path))
    assert found.name == "mine"
    assert [(p.id, p.answer, p.level, p.subject) for p in found.problems] == [
        ("a", "2", "1", "Sums"), ("b", "\\frac{1}{2}", "2", None), ("c", "(1, 2)", "2", None),
    ]  # fmt: skip
    assert not found.faults


def test_columns_are_mapped_and_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(json_lines([{"q": "2 + 2?", "target": 4.0}, {"q": "A list?", "target": [7]}]))
    found = load_set(str(path), columns={"statement": "q", "answer": "target"})
    assert [(p.id, p.statement, p.answer) for p in found.problems] == [
        ("other-0", "2 + 2?", "4"), ("other-1", "A list?", "7"),
    ]  # fmt: skip
    with pytest.raises(SetUnreadable, match="must be for one of"):
        load_set(str(path), columns={"colour": "q"})


def test_rows_that_are_no_problems_are_named_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "faulty.jsonl"
    rows: list[dict[str, object]] = [
        {"id": "good", "problem": "1?", "answer": "1"},
        {"id": "twice", "problem": "2?", "answer": "2"},
        {"id": "twice", "problem": "3?", "answer": "3"},
        {"id": "open", "problem": "4?", "answer": None},
        {"id": "blank", "problem": "5?", "answer": "  "},
        {"id": "mute", "problem": "", "answer": "6"},
        {"id": "big", "problem": "7?", "answer": "123456"},
        {"id": "word", "problem": "8?", "answer": "seven"},
        {"id": "long", "problem": "x" * 20_000, "answer": "9"},
    ]
    path.write_bytes(json_lines(rows))
    found = load_set(str(path), kind=Kind.INTEGER)
    assert [problem.id for problem in found.problems] == ["good"]
    assert {fault: list(ids) for fault, ids in found.faults.items()} == {
        Fault.DUPLICATE: ["twice", "twice"],
        Fault.NO_ANSWER: ["open", "blank"],
        Fault.NO_STATEMENT: ["mute"],
        Fault.UNPARSED: ["big", "word"],
        Fault.TOO_LONG: ["long"],
    }
    assert any("'big', 'word'" in note for note in found.notes())


@pytest.mark.parametrize(
    ("name", "content"),
    [("broken.jsonl", b'{"id": 1,\n'), ("list.jsonl", b"[1]\n"), ("half.parquet", b"PAR1half"),
     ("binary.csv", b"\xff\xfe\x00"), ("empty.jsonl", b""), ("table.xml", b"<a/>")],
)  # fmt: skip
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SetUnreadable, match=name):
        load_set(str(path))


def test_names_that_there_are_not() -> None:
    with pytest.raises(UnknownSet, match="must be one of math500"):
        load_set("math5000")
    with pytest.raises(SetGone, match=r"kaggle competitions download .* --data"):
        load_set("aimo3-reference")


def test_the_first_by_hash_do_not_depend_on_the_order(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": n, "problem": f"{n}?", "answer": n} for n in range(20)]
    chosen = []
    for order in (rows, rows[::-1]):
        path = tmp_path / "order.jsonl"
        path.write_bytes(json_lines(order))
        chosen.append([problem.id for problem in load_set(str(path)).first(5).problems])
    assert chosen[0] == chosen[1]
    repeated = load_set(str(path)).first(2).repeated(3).problems
    assert [problem.copy for problem in repeated] == [0, 0, 1, 1, 2, 2]
    assert {problem.original for problem in repeated} == set(chosen[0][:2])
    assert len({problem.id for problem in repeated}) == 6


def test_every_known_set_is_described_whole() -> None:
    for name, source in known_sets().items():
        assert source.licence, name
        assert source.title, name
        assert source.count is not None or not source.checked, name


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A set on a hub of this machine: two Parquet-less files, one filtered away."""
    rows = [{**row, "url": "x/2024_A"} for row in ROWS] + [{**ROWS[0], "url": "x/2023_A"}]
    files = {"data/train-0.jsonl": json_lines(rows), "README.md": b"# card"}
    source = SetSource(
        title="t", source="hub", repo="someone/some_set", files=("data/train-*.jsonl",),
        licence="MIT", count=3, contains={"url": "2024_"},
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "known_sets", lambda: {"some": source})
    monkeypatch.setattr("server.evaluation.load.known_sets", lambda: {"some": source})
    with hub("someone/some_set", files) as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        yield double


def test_a_set_of_the_hub_is_fetched_once(published: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_set("some")
    assert [problem.id for problem in first.problems] == ["a", "b", "c"]
    assert (first.licence, first.origin) == ("MIT", "someone/some_set")
    assert not any("README" in asked for asked in published.asked)
    count = len(published.asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = load_set("some")
    assert again.digest == first.digest
    assert len(published.asked) == count


def test_a_kept_set_that_is_damaged_is_fetched_again(published: Hub) -> None:
    first = load_set("some")
    kept = sets_folder() / "some.json"
    kept.write_bytes(kept.read_bytes()[:-20])
    assert load_set("some").digest == first.digest
    published.asked.clear()
    assert load_set("some").digest == first.digest
    assert not published.asked


def test_an_interrupted_download_is_never_a_set(
    published: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    published.cut = 40
    with pytest.raises(SetGone, match=r"can neither be fetched .* --data"):
        load_set("some")
    assert not (sets_folder() / "some.json").exists()
    published.cut = None
    assert len(load_set("some").problems) == 3


def test_a_set_that_is_gone_or_has_changed_says_so(published: Hub) -> None:
    published.files = {"data/train-0.jsonl": json_lines([{**ROWS[0], "url": "2024_"}])}
    with pytest.raises(SetChanged, match="1 rows where someone/some_set had 3"):
        load_set("some")
    published.files = {"data/test.jsonl": b""}
    with pytest.raises(SetGone, match="layout has changed"):
        load_set("some", refresh=True)


def test_a_hub_that_cannot_be_reached_says_so(
    published: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    del published
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SetGone, match=r"can be reached, set HF_ENDPOINT to a mirror"):
        load_set("some")


@pytest.mark.parametrize(
    ("written", "letter"),
    [("B", "B"), ("(B)", "B"), ("b.", "B"), (r"\text{(C)}", "C"), (r"\textbf{(D) }12", "D"),
     ("A) 12", "A"), ("A number", None), ("12", None), ("", None), ("Z", None)],
)  # fmt: skip
def test_choices_are_letters(written: str, letter: str | None) -> None:
    assert choice_letter(written) == letter


def test_strict_integers_are_the_contests() -> None:
    read = read_answer("042", Kind.INTEGER)
    assert read is not None
    assert read.key == "42"
    for wrong in ("-1", "100000", "1/2", "x"):
        assert read_answer(wrong, Kind.INTEGER) is None
