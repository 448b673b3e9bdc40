"""Problem sets of the hub: fetched once, whole, and as they were."""

from collections.abc import Iterator

import pytest

from server.evaluation import catalogue
from server.evaluation.catalogue import SetSource
from server.evaluation.errors import SetChanged, SetGone, UnknownSet
from server.evaluation.load import load_set, sets_folder
from server.evaluation.problem import Kind
from tests.server.evaluation.hub_double import Hub, hub
from tests.server.evaluation.rows import ROWS, json_lines

pytestmark = pytest.mark.usefixtures("own_cache")


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


def test_any_dataset_of_the_hub_can_be_named(published: Hub) -> None:
    published.files["data/test-0.jsonl"] = json_lines([ROWS[0]])
    found = load_set("hf:someone/some_set")
    assert ([p.id for p in found.problems], found.origin) == (["a"], "someone/some_set")
    every = load_set("hf:someone/some_set/data/train-*.jsonl", where={"url": "x/2024_A"})
    assert [problem.id for problem in every.problems] == ["a", "b", "c"]
    published.asked.clear()
    strict = load_set("some", kind=Kind.INTEGER)
    assert [problem.id for problem in strict.problems] == ["a"]
    assert len(load_set("some").problems) == 3
    for wrong in ("hf:", "hf:one", "hf:../x"):
        with pytest.raises(UnknownSet, match="OWNER/NAME"):
            load_set(wrong)


def test_a_hub_that_cannot_be_reached_says_so(
    published: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    del published
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SetGone, match=r"can be reached, set HF_ENDPOINT to a mirror"):
        load_set("some")
