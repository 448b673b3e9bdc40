"""Solves that run or have ended: listed, shown, followed from any event on, chosen from again."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from client.errors import NotFound, RequestRefused
from client.exchange import RetryPolicy
from client.http import QuorumClient
from client.schema import (
    AttemptSegment,
    SelectRequest,
    SolveDetail,
    SolveEnd,
    SolveFinished,
    SolveList,
    SolveRequest,
    SolveState,
)
from server.engine.scripted import ScriptedEngine
from server.journal.journal import Journal
from server.sections.journal import JournalSettings
from server.sections.solve import SolveSettings
from server.settings import Settings
from server.vocabulary import Vocabulary
from tests.server.api.gateway import Gateway, serving, wait_until
from tests.server.solve.plain_logs import plain_logs

SOLVES = "/v1/solves"


@pytest.fixture
def client(gateway: Gateway) -> Iterator[QuorumClient]:
    with QuorumClient(gateway.url, retry=RetryPolicy(first_wait_s=0.01)) as client:
        yield client


@pytest.fixture
def ended(client: QuorumClient) -> str:
    """Return the name of a solve that has ended, with the answer 42."""
    return client.solve(SolveRequest(problem="6 x 7?", problem_id="of-the-fixture")).solve_id


def told(http: httpx.Client, path: str, **headers: str) -> list[ServerSentEvent]:
    with connect_sse(http, "GET", path, headers=headers) as source:
        source.response.raise_for_status()
        return list(source.iter_sse())


class TestShow:
    def test_one_that_has_ended_at_once(self, client: QuorumClient, ended: str) -> None:
        shown = client.show(ended)
        assert (shown.state, shown.answer, shown.end) == (SolveState.FINISHED, "42", "agreement")
        assert shown.result is not None
        assert shown.result.ballot[0].votes == 2
        assert shown.problem_id == "of-the-fixture"

    def test_one_that_runs(self, client: QuorumClient, gateway: Gateway) -> None:
        begun = client.start(SolveRequest(problem="[hang]"))
        assert begun.result is None
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 2)
        shown = client.show(begun.solve_id)
        assert (shown.state, shown.model, shown.result) == (SolveState.RUNNING, "scripted", None)
        client.cancel(begun.solve_id)

    def test_started_solves_go_on_without_their_caller(self, http: httpx.Client) -> None:
        reply = http.post(SOLVES, json={"problem": "?"}, headers={"Prefer": "respond-async"})
        assert reply.status_code == 202
        assert reply.headers["preference-applied"] == "respond-async"
        where = reply.headers["location"]
        assert json.loads(told(http, f"{where}/events")[-1].data)["result"]["answer"] == "42"
        assert SolveDetail.model_validate_json(http.get(where).content).answer == "42"

    @pytest.mark.parametrize("name", ["solve-none", "solve-", "%F0%9F%98%80", "..%2F..%2Fetc"])
    def test_unknown_ones(self, http: httpx.Client, name: str) -> None:
        for path in (f"{SOLVES}/{name}", f"{SOLVES}/{name}/events"):
            reply = http.get(path)
            assert reply.status_code == 404, reply.text
            assert reply.headers["content-type"] == "application/problem+json"

    def test_the_beginning_of_a_name_is_not_enough(self, client: QuorumClient, ended: str) -> None:
        with pytest.raises(NotFound, match=ended[:-1]):
            client.show(ended[:-1])


class TestList:
    def test_pages_have_each_solve_once_newest_first(
        self, http: httpx.Client, client: QuorumClient
    ) -> None:
        asked = [
            client.solve(SolveRequest(problem=f"6 x 7? ({n})", problem_id="paged")).solve_id
            for n in range(5)
        ]
        found: list[str] = []
        after: str | None = None
        while True:
            page = client.list(problem_id="paged", limit=2, after=after)
            assert len(page.solves) <= 2
            found += [solve.solve_id for solve in page.solves]
            after = page.next
            if after is None:
                break
        assert found == asked[::-1]
        for none in ("x", "nan_x", "inf_x", "-inf_x"):
            assert http.get(SOLVES, params={"after": none}).status_code == 422

    @pytest.mark.parametrize(
        ("filters", "listed"),
        [
            ({"answer": "42"}, True),
            ({"answer": "43"}, False),
            ({"end": "agreement"}, True),
            ({"end": "deadline"}, False),
            ({"state": "finished"}, True),
            ({"state": "running"}, False),
            ({"text": "X 7"}, True),
            ({"text": "%"}, False),
            ({"since": "2001-01-01T00:00:00Z"}, True),
            ({"until": "2001-01-01T00:00:00Z"}, False),
            ({"since": "2001-01-01"}, True),
        ],
    )
    def test_filters(
        self, http: httpx.Client, ended: str, filters: dict[str, str], listed: bool
    ) -> None:
        reply = http.get(SOLVES, params={**filters, "limit": "500"})
        names = [s.solve_id for s in SolveList.model_validate_json(reply.content).solves]
        assert (ended in names) is listed

    def test_those_that_run_and_wait_are_listed_at_once(
        self, client: QuorumClient, gateway: Gateway
    ) -> None:
        begun = [client.start(SolveRequest(problem="[hang]")).solve_id for _ in range(3)]
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 4)
        found = {solve.solve_id: solve.state for solve in client.list().solves}
        running, waiting = SolveState.RUNNING, SolveState.QUEUED
        assert [found[name] for name in begun] == [running, running, waiting]
        assert [s.solve_id for s in client.list(state="queued").solves] == begun[2:]
        assert client.list(text="nowhere").solves == []
        for name in begun:
            client.cancel(name)

    @pytest.mark.parametrize(
        "query",
        [
            *("limit=0", "limit=9999", "end=never", "since=soon"),
            *("since=1700000000", "since=1e9", "until=nan", "until=20260301", "since="),
        ],
    )
    def test_malformed_filters(self, http: httpx.Client, query: str) -> None:
        assert http.get(f"{SOLVES}?{query}").status_code == 422


class TestFollow:
    def test_from_any_event_on(self, http: httpx.Client, ended: str) -> None:
        whole = told(http, f"{SOLVES}/{ended}/events")
        assert (whole[0].event, whole[-1].event) == ("solve.queued", "solve.finished")
        for place in (0, len(whole) // 2, len(whole) - 2):
            rest = told(http, f"{SOLVES}/{ended}/events", **{"Last-Event-ID": whole[place].id})
            assert [event.id for event in rest] == [event.id for event in whole[place + 1 :]]
        by_query = told(http, f"{SOLVES}/{ended}/events?after={whole[-2].id}")
        assert [event.event for event in by_query] == ["solve.finished"]

    def test_after_the_last_event_there_is_nothing(self, http: httpx.Client, ended: str) -> None:
        last = told(http, f"{SOLVES}/{ended}/events")[-1].id
        path = f"{SOLVES}/{ended}/events"
        assert http.get(path, headers={"Last-Event-ID": last}).status_code == 204
        assert http.get(path, headers={"Last-Event-ID": "x"}).status_code == 422

    def test_by_the_header_accept(self, http: httpx.Client, ended: str) -> None:
        events = told(http, f"{SOLVES}/{ended}")
        assert events[-1].event == "solve.finished"

    def test_by_the_header_accept_a_browser_comes_to_an_end(
        self, http: httpx.Client, ended: str
    ) -> None:
        """An EventSource comes back after each end, until it is told 204."""
        whole = told(http, f"{SOLVES}/{ended}")
        rest = told(http, f"{SOLVES}/{ended}", **{"Last-Event-ID": whole[1].id})
        assert [event.id for event in rest] == [event.id for event in whole[2:]]
        headers = {"Accept": "text/event-stream", "Last-Event-ID": whole[-1].id}
        assert http.get(f"{SOLVES}/{ended}", headers=headers).status_code == 204

    def test_tokens_of_one_that_has_ended(self, client: QuorumClient, ended: str) -> None:
        assert not any(isinstance(event, AttemptSegment) for event in client.follow(ended))
        segments = [e for e in client.follow(ended, tokens=True) if isinstance(e, AttemptSegment)]
        assert sum(len(each.token_ids) for each in segments) > 100

    def test_tokens_of_one_that_is_known_as_running_still(
        self, client: QuorumClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in the moment after its end: it is in the journal, and in memory too."""
        flush = Journal.flush

        async def flush_untold(journal: Journal, within_s: float) -> bool:
            await flush(journal, within_s)
            return False

        monkeypatch.setattr(Journal, "flush", flush_untold)
        name = client.solve(SolveRequest(problem="6 x 7?")).solve_id
        events = list(client.follow(name, tokens=True))
        assert any(isinstance(event, AttemptSegment) for event in events)
        assert isinstance(events[-1], SolveFinished)

    def test_a_broken_connection_loses_and_repeats_nothing(
        self, client: QuorumClient, http: httpx.Client, gateway: Gateway
    ) -> None:
        """Each connection is cut after some bytes; the events come as if it were one."""
        with cutting_proxy(gateway.address) as url, QuorumClient(url) as behind:
            name = client.start(SolveRequest(problem="6 x 7?")).solve_id
            events = list(behind.follow(name))
        assert isinstance(events[-1], SolveFinished)
        ids = [event.id for event in events]
        gateway.wait_until(gateway.idle)
        assert ids == [int(event.id) for event in told(http, f"{SOLVES}/{name}/events")]

    def test_a_reader_that_leaves_ends_nothing(
        self, client: QuorumClient, gateway: Gateway
    ) -> None:
        name = client.start(SolveRequest(problem="[hang]")).solve_id
        for event in client.follow(name):
            if event.type == "attempt.started":
                break
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 2)
        assert client.show(name).state is SolveState.RUNNING
        client.cancel(name)
        *_, last = client.follow(name)
        assert isinstance(last, SolveFinished)
        assert last.result.end is SolveEnd.CANCELLED


class TestWhileTheJournalIsBehind:
    """As on a full disk: a solve that ends then is known all the same."""

    @pytest.fixture
    def blocked(self, folder: Path, gateway: Gateway) -> Iterator[sqlite3.Connection]:
        """Keep the journal from being written, until the block is rolled back."""
        del gateway
        with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other

    def test_it_is_shown_listed_and_followed(
        self, blocked: sqlite3.Connection, http: httpx.Client, client: QuorumClient
    ) -> None:
        reply = http.post(
            SOLVES,
            json={"problem": "6 x 7?", "problem_id": "behind"},
            headers={"Prefer": "respond-async"},
        )
        name = reply.json()["solve_id"]
        last = told(http, f"{SOLVES}/{name}/events")[-1]
        assert last.event == "solve.finished"
        shown = client.show(name)
        assert (shown.state, shown.answer, shown.end) == (SolveState.FINISHED, "42", "agreement")
        assert shown.result is not None
        for asked in ("", "?tokens=true"):
            assert told(http, f"{SOLVES}/{name}/events{asked}")[-1].id == last.id
        done = http.get(f"{SOLVES}/{name}/events", headers={"Last-Event-ID": last.id})
        assert done.status_code == 204
        for filters in ({}, {"state": "finished"}):
            listed = client.list(problem_id="behind", **filters).solves
            assert [(s.solve_id, s.state) for s in listed] == [(name, SolveState.FINISHED)]
        blocked.execute("ROLLBACK")
        before = told(http, f"{SOLVES}/{name}/events")
        wait_until(lambda: http.get("/ready").json()["journal"]["state"] == "on", within_s=20)
        assert client.show(name) == shown
        assert [event.id for event in told(http, f"{SOLVES}/{name}/events")] == [
            event.id for event in before
        ]

        def with_tokens() -> bool:
            whole = told(http, f"{SOLVES}/{name}/events?tokens=true")
            return "attempt.segment" in {event.event for event in whole}

        wait_until(with_tokens, within_s=20)


class TestSelect:
    @pytest.mark.parametrize("selector", [None, "majority", "weighted", "first", "rerun"])
    def test_by_other_selectors(
        self, client: QuorumClient, ended: str, selector: str | None
    ) -> None:
        report = client.select(ended, SelectRequest(selector=selector))
        assert (report.answer, report.selector) == ("42", selector or report.selector)
        assert report.ballot[0].votes == 2

    def test_the_model_is_not_asked_where_all_agree(
        self, client: QuorumClient, ended: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []

        async def score(_: ScriptedEngine, ids: list[int], start: int) -> list[float]:
            asked.append(start)
            return [0.0] * (len(ids) - start)

        monkeypatch.setattr(type(gateway.engine), "score", score)
        report = client.select(ended, SelectRequest(selector="recheck", weight="plain"))
        assert (report.answer, report.weight_by) == ("42", "plain")
        assert asked == []

    def test_reports_what_the_settings_weigh_by(
        self, vocabulary: Vocabulary, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "tiny.gguf").symlink_to(folder / "tiny.gguf")
        settings = Settings(
            journal=JournalSettings(path=str(tmp_path / "journal.sqlite")),
            solve=SolveSettings(attempts=2, early_stop="none", weight="entries(3, 1)"),
        )
        with (
            plain_logs(),
            serving(vocabulary, settings, tmp_path) as own,
            QuorumClient(own.url) as client,
        ):
            ended = client.solve(SolveRequest(problem="6 x 7?")).solve_id
            by_settings = client.select(ended, SelectRequest(selector="weighted"))
            assert (by_settings.weight_by, by_settings.weight) == ("entries(3, 1)", 4.0)
            plain = client.select(ended, SelectRequest(selector="weighted", weight="plain"))
            assert (plain.weight_by, plain.weight) == ("plain", 2.0)

    def test_refusals(self, client: QuorumClient, ended: str, http: httpx.Client) -> None:
        with pytest.raises(NotFound):
            client.select("solve-none", SelectRequest())
        reply = http.post(f"{SOLVES}/{ended}/select", json={"selector": "best"})
        assert reply.status_code == 422
        assert reply.json()["errors"][0]["field"] == "selector"
        name = client.start(SolveRequest(problem="[hang]")).solve_id
        with pytest.raises(RequestRefused, match="has not ended"):
            client.select(name, SelectRequest())
        client.cancel(name)


def test_policies_and_settings(client: QuorumClient) -> None:
    catalogue = client.policies()
    assert "tir" in [strategy.name for strategy in catalogue.strategies]
    assert {"selector", "weight", "launch"} <= set(catalogue.policies)
    settings = {setting.name: setting for setting in client.settings().settings}
    assert settings["gateway.max_running"].value == 2
    assert settings["gateway.max_running"].changed
    assert not settings["gateway.port"].changed


class cutting_proxy:  # noqa: N801 - used as a context manager
    """Passes connections on, and cuts each in the middle of its answer."""

    def __init__(self, target: tuple[str, int]) -> None:
        import threading  # noqa: PLC0415 - for this helper alone

        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        most = 2_000
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, socket.create_connection(self._target) as onward:
                onward.sendall(connection.recv(65_536))
                left = most
                most += 500  # so that it ends
                while left > 0 and (data := onward.recv(min(left, 65_536))):
                    left -= len(data)
                    connection.sendall(data)
