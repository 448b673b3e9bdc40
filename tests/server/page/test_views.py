"""The views over HTTP: what they show of the record, and what they say where it is not there."""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from fastapi import FastAPI

from server.api.app import create_app
from server.journal.errors import JournalUnreadable
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.page.board import read_answers, runs_view
from server.page.render import Frame
from server.runs.listing import place_of
from tests.server.journal.stories import PROMPT, STRETCH, options, token_ids
from tests.server.journal.test_runs import RUN
from tests.server.page.conftest import page_settings
from tests.server.page.markup import parse
from tests.server.page.world import World

SOLVE = "/solves/solve-a"


def names(app: FastAPI) -> set[str]:
    """Return the names of an application's routes."""
    return {getattr(route, "name", "") for route in app.routes}


def rows(http: httpx.Client, query: str) -> set[str]:
    """Return the solves that the record shows."""
    elements = parse(http.get(f"/?{query}").text).elements
    addresses = [str(a.get("href")) for tag, a in elements if tag == "a"]
    return {each.removeprefix("/solves/") for each in addresses if each.startswith("/solves/")}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("text=PROVE", {"solve-b"}),
        ("text=100%25", set()),
        ("answer=42&source=name+of+solve-a", {"solve-a"}),
        ("answer=43", set()),
        ("source=name+of+solve-b", {"solve-b"}),
        ("source=name+of&outcome=agreement", {"solve-a", "solve-b"}),
        ("outcome=all_finished&text=%3Cscript%3E", {"solve-hostile"}),
        ("outcome=none", set()),
        ("run=contest", set()),
        ("errors=1", set()),
        ("least=999999", set()),
        ("least=x&most=&before=nonsense&text=Prove", {"solve-b"}),
        ("before=1", set()),
    ],
)
def test_record_is_filtered(http: httpx.Client, query: str, expected: set[str]) -> None:
    assert rows(http, query) == expected


def test_solve_shows_answer_ballot_and_attempts(http: httpx.Client) -> None:
    text = parse(http.get(SOLVE).text).text
    assert "What is 6 * 7?" in text
    assert "2 votes, weight 2.00" in text
    assert "enough attempts agreed" in text
    assert text.count("turn 2 of attempt 1") == 1


def test_attempt_is_read_message_by_message(http: httpx.Client) -> None:
    markup = parse(http.get(f"{SOLVE}/attempts/1").text)
    assert "turn 1 of attempt 1" in markup.text
    assert "print(6 * 7)" in markup.text
    assert "turn 1 of attempt 0" not in markup.text
    addresses = [a["href"] for tag, a in markup.elements if tag == "a" and "#t=" in str(a["href"])]
    assert addresses[0] == f"{SOLVE}/attempts/1/tokens#t={PROMPT}"


def test_tokens_come_in_stretches(http: httpx.Client) -> None:
    whole = http.get(f"{SOLVE}/attempts/1/tokens.json").json()
    assert [token[0] for token in whole] == token_ids(1)
    assert [token[2] for token in whole[PROMPT - 1 : PROMPT + 1]] == [0, 1]
    assert 0 < whole[PROMPT][4] <= 1
    later = http.get(f"{SOLVE}/attempts/1/tokens.json?start={PROMPT + STRETCH}").json()
    assert later == whole[PROMPT + STRETCH :]
    assert http.get(f"{SOLVE}/attempts/1/tokens.json?start=999999999999999").json() == []


def test_tokens_of_another_model_have_no_text(http: httpx.Client) -> None:
    assert "Tokens are shown by id" in http.get(f"{SOLVE}/attempts/1/tokens").text
    assert http.get(f"{SOLVE}/attempts/1/find.json?text=6").json() == []


def test_comparison_says_where_two_attempts_part(http: httpx.Client) -> None:
    text = parse(http.get("/compare?a=solve-a:0&b=solve-a:1").text).text
    assert "Where they part" in text
    assert "At token" in text
    same = parse(http.get("/compare?a=solve-a:0&b=solve-b:0").text).text
    assert "They do not part" in same


@pytest.mark.parametrize(
    "path",
    [
        "/solves/none",
        f"{SOLVE}/attempts/9",
        f"{SOLVE}/attempts/x",
        f"{SOLVE}/attempts/0?part=7",
        f"{SOLVE}/attempts/0?part=0",
        "/compare",
        "/compare?a=solve-a:0&b=solve-a:9",
        "/compare?a=solve-a:-1&b=:0",
        "/runs/none",
        "/data/none.csv",
        "/data/..%2fsecret.csv",
        "/data/../secret.csv",
        "/data/%2e%2e/secret.csv",
        "/data/broken.jsonl",
        "/static/none.js",
        "/static/..%2froutes.py",
    ],
)
def test_address_of_nothing_is_not_found(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert response.status_code == 404
    if not path.startswith("/static"):
        assert parse(response.text).text.strip()


@pytest.mark.parametrize("path", ["/nowhere", "/solves/a/b/c", "/v1/nowhere", "/%00"])
def test_browsers_are_shown_that_an_address_is_of_nothing(http: httpx.Client, path: str) -> None:
    asked = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    shown = http.get(path, headers=asked)
    assert shown.status_code == 404
    assert "Nothing is at this address" in parse(shown.text).text
    assert "content-security-policy" in shown.headers
    told = http.get(path)
    assert told.status_code == 404
    assert told.headers["content-type"] == "application/problem+json"


def test_board_tells_right_from_wrong(http: httpx.Client, world: World) -> None:
    created = http.post("/v1/runs", json={"id": "contest", "problems": 2, "limit_s": 60})
    assert created.status_code == 201, created.text
    asked = {"run": "contest", "problem_id": "name of solve-a", "problem": "What is 6 * 7?"}
    assert http.post("/v1/solves", json=asked).json()["answer"] == "42"
    markup = parse(http.get("/runs/contest").text)
    cells = [a["class"] for tag, a in markup.elements if "cell" in str(a.get("class", "")).split()]
    assert "cell right" in cells
    assert "1 of 1 done" in " ".join(markup.text.split())
    assert http.get("/runs/contest/state.json").json()["state"].startswith("open-1-0-")
    assert "contest" in parse(http.get("/runs").text).text
    assert not world.journal.status().dropped


def test_runs_are_shown_page_by_page(http: httpx.Client, tmp_path: Path) -> None:
    sound = replace(RUN, request='{"problems": 2, "limit_s": 600}')

    async def write() -> None:
        async with Journal(options(tmp_path)) as journal:
            for number in range(5):
                journal.put_run(replace(sound, id=f"run-{number}", created=1_000.0 + number))
            journal.put_run(replace(sound, id="damaged", created=1_004.5, request="{"))

    anyio.run(write)
    shown: list[str] = []
    before: str | None = None
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        for _ in range(3):
            view = runs_view(reader, Frame("Runs", "runs"), place_of(before), 2)
            markup = parse(view.html())
            paths = [str(a["href"]) for tag, a in markup.elements if tag == "a" and "href" in a]
            shown += [path for path in paths if path.startswith("/runs/")]
            older = [path for path in paths if path.startswith("/runs?")]
            before = parse_qs(urlsplit(older[0]).query)["before"][0] if older else None
    assert shown == [f"/runs/run-{number}" for number in range(4, -1, -1)]
    assert before is None
    assert http.get("/runs", params={"before": "1.5_contest"}).status_code == 200
    assert http.get("/runs?before=yesterday").text == http.get("/runs").text


def test_answers_that_are_a_pipe_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "answers.csv")
    with pytest.raises(JournalUnreadable, match=r"regular file.*page\.answers"):
        read_answers(tmp_path / "answers.csv")


def test_data_are_shown_by_kind(http: httpx.Client) -> None:
    listing = " ".join(" ".join(parse(http.get("/data").text).texts).split())
    for told in ("problems.csv problems", "corpus.csv corpus", "corpus.jsonl tokens with masks"):
        assert told in listing
    assert "75 %" in http.get("/data/problems.csv").text
    masks = [a.get("class") for _, a in parse(http.get("/data/corpus.jsonl").text).elements]
    assert masks.count("learned") == 3  # two tokens and the legend
    assert "advantage 0.8" in http.get("/data/samples.jsonl").text


def test_file_whose_name_is_no_utf8_is_shown(http: httpx.Client, world: World) -> None:
    odd = world.folder / "training" / os.fsdecode(b"odd \xff.csv")
    odd.write_text("id,problem,answer\n1,seven,7\n")
    try:
        (address,) = [
            a["href"] or "" for name, a in parse(http.get("/data").text).elements
            if name == "a" and "odd" in (a.get("href") or "")
        ]  # fmt: skip
        assert "seven" in http.get(address).text
        assert http.get("/label").status_code == 200
    finally:
        odd.unlink()


def test_data_are_paged_and_searched(http: httpx.Client) -> None:
    path, seen = "/data/corpus.csv", 0
    while path:
        markup = parse(http.get(path).text)
        seen += sum(tag == "article" for tag, _ in markup.elements)
        following = [a["href"] for tag, a in markup.elements if a.get("rel") == "next"]
        path = f"/data/corpus.csv{following[0]}" if following else ""
    assert seen == 45
    found = parse(http.get("/data/corpus.csv?text=ENTRY+44").text)
    assert sum(tag == "article" for tag, _ in found.elements) == 1
    assert "entry 44,\nof two lines" in found.text


def test_journal_that_is_behind_is_told(
    http: httpx.Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.journal.part_status().model_copy(
        update={"ready": False, "state": "behind", "detail": "disk full"}
    )
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "part_status", lambda _: told)
        assert "The journal is behind: disk full" in parse(http.get("/").text).text
    assert "The journal is behind" not in parse(http.get("/").text).text


def test_page_is_no_part_of_the_described_api(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert [path for path in paths if path.startswith(("/solves", "/data", "/runs", "/live"))] == []
    assert "/" not in paths


def test_page_can_be_left_out(tmp_path: Path, world: World) -> None:
    settings = page_settings(tmp_path)
    page = settings.page.model_copy(update={"enabled": False})
    app = create_app(settings.model_copy(update={"page": page}), world.open_parts)
    assert "static" not in names(app)
    assert "static" in names(create_app(settings, world.open_parts))
