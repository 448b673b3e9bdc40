"""Asking for a solve by the form, following it, and cancelling it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from server.page.asking import fields_of, solve_request
from tests.server.page.markup import Markup, parse
from tests.server.page.world import World

WAITING = "What is 6 * 7? [wait]"


def stream(view: Markup) -> str:
    """Return the text in the lanes of a view."""
    return "".join(view.texts[view.texts.index("Attempts") :])


@pytest.fixture
def running(world: World, http: httpx.Client) -> Iterator[str]:
    """Begin a solve that waits; yields its address."""
    response = http.post("/solves", data={"problem": WAITING, "attempts": "1"})
    assert response.status_code == 303
    yield response.headers["location"]
    http.post(f"{response.headers['location']}/cancel")
    world.waiting.clear()


def test_solve_is_followed_from_where_the_view_ends(
    world: World, http: httpx.Client, running: str
) -> None:
    view = parse(http.get(running).text)
    root = next(a for _, a in view.elements if a.get("id") == "solve")
    assert root["data-live"] == "1"
    messages = []
    with connect_sse(http, "GET", f"{running}/feed?after={root['data-after']}") as source:
        world.go()
        for event in source.iter_sse():
            messages.append(json.loads(event.data))
            if messages[-1]["do"] == "finished":
                break
    kinds = [message["do"] for message in messages]
    assert "ballot" in kinds
    text = "".join(m["text"] for m in messages if "text" in m)
    assert "42" in text
    writes = [m for m in messages if "whole" in m]
    # What the view shows of a stretch comes once more, to be replaced; then what is new alone.
    assert [m["whole"] for m in writes if m["turn"] == writes[0]["turn"]][:2] != [True, True]
    assert writes[0]["whole"]
    assert "I compute." in json.dumps(writes)
    name, attributes, *_ = _first_formula(writes)
    assert (name, attributes["alttext"]) == ("math", "6 \\cdot 7")
    assert messages[-1]["answer"] == "42"
    # The feed is there until the journal has written the end.
    deadline = time.monotonic() + 20
    while http.get(f"{running}/feed").status_code != 204:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ended = http.get(running).text
    assert 'data-live="0"' in ended
    assert "print(6 * 7)" in ended


def _first_formula(writes: list[dict[str, Any]]) -> list[Any]:
    pieces = [piece for told in writes for piece in (*told["settled"], *told["open"])]
    tree: list[Any] = next(piece[1] for piece in pieces if piece[0] == "math")
    return tree


def test_reader_that_was_cut_off_goes_on(world: World, http: httpx.Client, running: str) -> None:
    with connect_sse(http, "GET", f"{running}/feed") as source:
        first = next(source.iter_sse())
    headers = {"Last-Event-ID": first.id}
    with connect_sse(http, "GET", f"{running}/feed", headers=headers) as source:
        second = next(source.iter_sse())
    assert int(second.id) > int(first.id)
    # Going away did not end the solve.
    assert not world.idle()


def test_running_solves_are_listed(http: httpx.Client, running: str) -> None:
    (row,) = http.get("/live.json").json()
    assert row["address"] == running
    assert row["problem"] == WAITING
    assert WAITING in parse(http.get("/").text).text


def test_solve_is_cancelled(world: World, http: httpx.Client, running: str) -> None:
    response = http.post(f"{running}/cancel")
    assert response.status_code == 303
    assert response.headers["location"] == running
    assert "cancelled" in parse(http.get(running).text).text
    assert world.idle()
    assert http.post("/solves/none/cancel").status_code == 303


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"problem": ""}, "the problem is empty"),
        ({"problem": "x", "attempts": "many"}, "attempts"),
        ({"problem": "x", "attempts": "9999"}, "attempts"),
        ({"problem": "x", "time_limit_s": "nan"}, "time_limit_s"),
        ({"problem": "x", "strategy": "<b>none</b>"}, "<b>none</b>"),
        ({"problem": "x" * 20_000}, "problem"),
        ({f"f{n}": "x" for n in range(50)}, "the problem is empty"),
    ],
)
def test_form_that_is_refused_says_why_and_keeps_what_it_said(
    http: httpx.Client, form: dict[str, str], said: str
) -> None:
    response = http.post("/solves", data=form)
    markup = parse(response.text)
    assert response.status_code == 422
    assert said in markup.text
    if len(form.get("problem", "")) > 10_000:
        assert form["problem"] in markup.text


def test_form_that_is_refused_can_be_sent_again(http: httpx.Client) -> None:
    response = http.post("/solves", data={"problem": "\r\none\r\ntwo", "attempts": "0"})
    assert response.status_code == 422
    # A browser leaves out the first line end in it.
    assert ">\n\none\ntwo</textarea>" in response.text
    assert "<details open>" in response.text
    # Its address is that of the form for whoever loads it again, or saves the view.
    again = http.get("/solves?export=1")
    assert (again.status_code, again.headers["location"]) == (303, "/?export=1")


def test_another_site_cannot_ask(http: httpx.Client) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    for path in ("/solves", "/solves/solve-a/cancel"):
        assert http.post(path, data={"problem": "x"}, headers=origin).status_code == 403


def test_form_is_read_as_browsers_send_it() -> None:
    asked = fields_of(b"problem=a%0D%0Ab&attempts=+3+&seed=&unknown=1")
    request = solve_request(asked)
    assert (request.problem, request.attempts, request.seed) == ("a\nb", 3, 0)
    assert fields_of(b"\xff=\xfe&problem=\xff")["problem"] == "\ufffd"
