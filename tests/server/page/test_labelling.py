"""Labels: stored over the API by their rules, shown in the page, handed out as reflections.csv."""

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.schema import LabelBody, LabelTag
from server.labels.store import LabelStore, LabelsUnwritable, UnknownLabel
from server.page.passages import parts, passages
from server.page.tokens import Token
from tests.server.page.markup import dangers, parse
from tests.server.page.stories import PARAGRAPH, long_solve
from tests.server.page.world import World
from training.annotate.reflections import read_spans

SOLVE = "solve-label"
TOKENS = 400
INSIGHT = {
    "solve_id": SOLVE, "attempt": 0, "tag": "insight", "begin": 3, "end": 9, "reason": "it helps",
    "problem_id": "p", "annotator": "ann",
}  # fmt: skip


@pytest.fixture(scope="module")
def labelled(running_world: World) -> World:
    story = partial(long_solve, vocabulary=running_world.vocabulary, tokens=TOKENS, name=SOLVE)
    running_world.tell(story)
    return running_world


@pytest.fixture
def client(labelled: World, http: httpx.Client) -> Iterator[httpx.Client]:
    assert labelled.url
    yield http
    for label in http.get("/v1/labels").json()["labels"]:
        http.delete(f"/v1/labels/{label['id']}")


def give(client: httpx.Client, *labels: dict[str, Any]) -> httpx.Response:
    return client.post("/v1/labels", json={"labels": list(labels)})


def test_labels_are_stored_listed_and_taken_back(client: httpx.Client, labelled: World) -> None:
    made = give(client, INSIGHT, {**INSIGHT, "tag": "mistake", "source": 1, "annotator": ""})
    assert made.status_code == 201, made.text
    one, other = made.json()["labels"]
    assert (one["tag"], one["annotator"], other["annotator"]) == ("insight", "ann", "local")
    found = client.get("/v1/labels", params={"solve_id": SOLVE, "annotator": "ann"}).json()
    assert found["labels"] == [one]
    assert client.get("/v1/labels", params={"solve_id": "none"}).json() == {"labels": []}
    # another process sees the same, and what was taken back is gone for it too
    assert client.delete(f"/v1/labels/{other['id']}").status_code == 204
    assert client.delete(f"/v1/labels/{other['id']}").status_code == 404
    again = LabelStore(labelled.settings.labels_path)
    assert [label.model_dump(mode="json") for label in again.find()] == [one]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"end": 3}, "end 3 must be above begin 3"),
        ({"end": TOKENS + 1}, f"inside the attempt's {TOKENS} tokens"),
        ({"reason": " "}, "reason must not be blank"),
        ({"tag": "mistake"}, "a mistake must have its source"),
        ({"tag": "mistake", "source": 4}, "source 4 must be at or before begin 3"),
        ({"tag": "better"}, "better and worse must go together"),
        ({"alternate": 0}, "an alternate is better, neutral or worse"),
        ({"tag": "good"}, "tag"),
    ],
)
def test_labels_that_break_the_rules_are_refused(
    client: httpx.Client, change: dict[str, Any], said: str
) -> None:
    refused = give(client, INSIGHT, {**INSIGHT, **change})
    assert refused.status_code == 422
    assert said in refused.text
    assert client.get("/v1/labels").json() == {"labels": []}


def test_another_site_cannot_label(client: httpx.Client) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    refused = client.post("/v1/labels", json={"labels": [INSIGHT]}, headers=origin)
    assert refused.status_code == 403


def test_labels_are_handed_out_as_training_reads_them(client: httpx.Client, tmp_path: Path) -> None:
    hostile = '=1+1,"quoted"\nand more'
    pair = [
        {**INSIGHT, "tag": "better", "begin": 5, "end": 8, "reason": hostile},
        {**INSIGHT, "tag": "worse", "begin": 5, "end": 7, "alternate": 0},
    ]
    assert give(client, *pair).status_code == 201
    answer = client.get("/v1/labels?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    (tmp_path / "reflections.csv").write_text(answer.text, newline="")
    spans = read_spans(tmp_path / "reflections.csv")
    assert [(span.tag, span.alternate, span.reason) for span in spans] == [
        (LabelTag.BETTER, None, hostile), (LabelTag.WORSE, 0, "it helps"),
    ]  # fmt: skip
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 3


def test_tags_are_those_of_training() -> None:
    assert [tag.value for tag in LabelTag] == [tag.value for tag in LabelTag]


def test_attempt_is_shown_in_passages_of_its_tokens(client: httpx.Client) -> None:
    view = client.get(f"/solves/{SOLVE}/attempts/0/label")
    assert view.status_code == 200
    assert dangers(view.text) == []
    shown = [a for _, a in parse(view.text).elements if "data-begin" in a]
    assert shown[0]["data-begin"] == "0"
    assert shown[-1]["data-end"] == str(TOKENS)
    lengths = [len(str(each["data-lengths"]).split(",")) for each in shown]
    assert sum(lengths) == TOKENS
    assert PARAGRAPH.strip()[:20] in parse(view.text).text
    assert client.get(f"/solves/{SOLVE}/attempts/0/label?part=9").status_code == 404
    assert client.get(f"/solves/{SOLVE}/attempts/7/label").status_code == 404
    # another model's tokens have no text here, and so no passages
    other = parse(client.get("/solves/solve-a/attempts/0/label").text)
    assert "needs the vocabulary" in other.text
    link = [a["href"] for _, a in parse(client.get(f"/solves/{SOLVE}/attempts/0").text).elements
            if str(a.get("href", "")).endswith("/label")]  # fmt: skip
    assert f"/solves/{SOLVE}/attempts/0/label" in link


def order(client: httpx.Client) -> list[str]:
    text = parse(client.get("/label").text).text
    return sorted(("p-first", "p-late"), key=text.index)


def test_positions_that_a_label_names_are_offered_first(client: httpx.Client) -> None:
    assert order(client) == ["p-first", "p-late"]
    named = {**INSIGHT, "solve_id": "solve-alternates", "begin": 6, "end": 7}
    assert give(client, named).status_code == 201
    assert order(client) == ["p-late", "p-first"]
    verdicts = [
        {**named, "tag": tag, "begin": 5, "end": 6, "alternate": alternate}
        for tag, alternate in (("better", None), ("worse", 0), ("neutral", 1))
    ]
    assert give(client, *verdicts).status_code == 201
    # what somebody has compared comes last
    assert order(client) == ["p-first", "p-late"]


def test_continuations_are_shown_in_an_order_that_says_nothing(client: httpx.Client) -> None:
    view = client.get("/label/alternates.jsonl?at=0")
    assert view.status_code == 200
    assert dangers(view.text) == []
    markup = parse(view.text)
    lanes = [a for _, a in markup.elements if "data-alternate" in a]
    assert {(a["data-alternate"], a["data-end"]) for a in lanes} == {
        ("", "8"), ("0", "7"), ("1", "6"),
    }  # fmt: skip
    assert view.text == client.get("/label/alternates.jsonl?at=0").text
    (following,) = [a["href"] for _, a in markup.elements if a.get("rel") == "next"]
    assert client.get(str(following)).status_code == 200
    for path in ("/label/alternates.jsonl?at=3", "/label/none.jsonl", "/label/problems.csv?at=0",
                 "/label/..%2Fsecret.csv?at=0"):  # fmt: skip
        assert client.get(path).status_code == 404


def test_runs_of_a_mask_are_shaded(client: httpx.Client) -> None:
    view = parse(client.get("/data/tokens.jsonl").text)
    classes = [a["class"] for _, a in view.elements if "weight" in str(a.get("title"))]
    assert classes == ["masked", "learned", "learned", "masked"]


def test_long_entries_are_shown_a_stretch_at_a_time(client: httpx.Client) -> None:
    def shown(path: str) -> tuple[list[str], list[str]]:
        elements = parse(client.get(f"/data/long.jsonl{path}").text).elements
        links = [str(a["href"]) for _, a in elements if "token=" in str(a.get("href"))]
        return [str(a["id"]) for _, a in elements if "weight" in str(a.get("title"))], links

    tokens, (later,) = shown("")
    assert (tokens[0], tokens[-1]) == ("b0t0", "b0t3999")
    tokens, (earlier,) = shown(later)
    assert (tokens[0], tokens[-1]) == ("b0t4000", "b0t5999")
    assert shown(earlier)[0][0] == "b0t0"
    assert shown("?token=99999999999999999999999999")[0] == []


def test_store_survives_a_line_cut_short(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "new" / "labels.jsonl")
    body = LabelBody.model_validate(INSIGHT)
    (first,) = store.add([body], "x")
    with store.path.open("ab") as file:
        file.write(b'{"labels": [{"id": "lab')
    again = LabelStore(store.path)
    (second,) = again.add([body], "x")
    assert LabelStore(store.path).find() == [first, second]
    with pytest.raises(UnknownLabel):
        again.remove("label-none")
    store.path.write_text("no labels\n")
    with pytest.raises(LabelsUnwritable, match=r"page\.labels"):
        LabelStore(store.path).find()
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelsUnwritable, match="cannot be written"):
        LabelStore(tmp_path / "file" / "labels.jsonl").add([body], "x")


def token(position: int, text: str, *, sampled: bool = True, turn: int = 0) -> Token:
    return Token(position, 1, text, sampled, turn)


def test_passages_end_with_blank_lines_and_turns() -> None:
    written = ["We", " see.\n\n", "\n", "Next 😀", ".\n", "\n", "out", "End"]
    found = passages(
        token(place, text, sampled=text != "out", turn=int(place > 6))
        for place, text in enumerate(written)
    )
    assert [(each.begin, each.end, each.text) for each in found] == [
        (0, 3, "We see.\n\n\n"), (3, 6, "Next 😀.\n\n"), (6, 7, "out"), (7, 8, "End"),
    ]  # fmt: skip
    assert found[1].lengths == [7, 2, 1]  # as scripts count
    many = [passages([token(0, "x" * 60_000)])[0]] * 3
    assert [len(part) for part in parts(many)] == [1, 1, 1]
    assert parts([]) == [[]]
