"""kill -9 and SIGTERM of a real server: runs, their answers and their clocks live on."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from client.schema import AttemptResumed, AttemptSegment, SolveEnd, SolveResult, SolveResumed
from server.journal.check import check
from server.journal.reader import JournalReader
from tests.server.vocabulary import tiny_models

ROOT = Path(__file__).parents[3]
#: A start takes two seconds on a quiet machine.
STARTED_S = 40.0
ANSWERED = {"problem_id": "p1", "answer": "5", "rung": "vote"}
#: uvicorn ends as the signal would have it once all is closed.
STOPPED = (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def weights() -> bytes:
    return tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2")


@pytest.fixture
def folder(tmp_path: Path, weights: bytes) -> Path:
    (tmp_path / "tiny.gguf").write_bytes(weights)
    return tmp_path


def until(condition: Callable[[], Any], within_s: float = STARTED_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "tests.server.runs.mortal", str(folder), str(port)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:

            def listens() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    return http.get("/health").status_code == 200
                except httpx.TransportError:
                    return False

            until(listens)
            yield http, process
    finally:
        process.kill()
        process.wait(10)


def ask(http: httpx.Client, problem_id: str, problem: str = "6 x 7?") -> SolveResult:
    body = {"problem": problem, "run": "r", "problem_id": problem_id}
    reply = http.post("/v1/solves", json=body)
    assert reply.status_code == 200, reply.text
    return SolveResult.model_validate_json(reply.content)


def ask_in_vain(http: httpx.Client, body: dict[str, Any]) -> threading.Thread:
    """Ask on a thread; the server dies or is stopped before it answers."""

    def call() -> None:
        with suppress(httpx.TransportError):
            httpx.post(f"{http.base_url}/v1/solves", json=body, timeout=60, trust_env=False)

    thread = threading.Thread(target=call)
    thread.start()
    return thread


def thinking(folder: Path, solves: int) -> Callable[[], bool]:
    """Return what tells whether all attempts of so many solves have thought a while."""

    def told() -> bool:
        with JournalReader(folder / "journal.sqlite") as reader:
            rows = reader.query(
                "SELECT count(DISTINCT solve_id || attempt) FROM events "
                "WHERE type = 'attempt.text' AND body LIKE '%so so%'"
            )
        return bool(rows[0][0] == 2 * solves)

    return told


def fallback(folder: Path, problem_id: str) -> dict[str, Any]:
    path = folder / "fallback.json"
    told = json.loads(path.read_bytes()) if path.exists() else {"runs": {"r": {"problems": {}}}}
    # The file follows within a second: the problem may not be in it yet.
    line: dict[str, Any] = told["runs"]["r"]["problems"].get(problem_id, {})
    return line


def sampled(folder: Path) -> int:
    """Return the sampled tokens that a journal holds."""
    with JournalReader(folder / "journal.sqlite") as reader:
        sql = "SELECT coalesce(sum(count), 0) FROM segments WHERE kind = 'sampled'"
        return int(reader.query(sql)[0][0])


def test_kill_9_loses_no_answer_and_no_solve_of_a_run(folder: Path) -> None:
    run = {"id": "r", "problems": 3, "limit_s": 600}
    with server(folder) as (http, process):
        assert http.post("/v1/runs", json=run).status_code == 201
        first = ask(http, "p1", "[quick] 2 + 3?")
        body = {"problem": "6 x 7?", "run": "r", "problem_id": "p2"}
        threads = [ask_in_vain(http, body), ask_in_vain(http, {"problem": "6 x 7?"})]
        until(thinking(folder, 2))
        before = http.get("/v1/runs/r").json()
        until(lambda: fallback(folder, "p2").get("answer") == "17")
        assert http.post("/v1/runs/r/answers", json=ANSWERED).status_code == 201
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(20)
    assert fallback(folder, "p1").items() >= {"answer": "5", "rung": "vote", "final": True}.items()
    assert fallback(folder, "p2").items() >= {"rung": "printed", "final": False}.items()
    with JournalReader(folder / "journal.sqlite") as reader:
        kept = {
            attempt: reader.tokens(before["solves"][1]["id"], attempt).ids.tolist()
            for attempt in range(2)
        }
    counted = sampled(folder)
    (folder / "go").touch()
    with server(folder) as (http, process):
        after = http.post("/v1/runs", json={**run, "limit_s": 9_999})
        assert after.status_code == 200
        assert 0 < after.json()["seconds_left"] < before["seconds_left"]
        # Joined, or answered already: it is the solve of the dead server all the same.
        second = ask(http, "p2")
        assert second.solve_id == before["solves"][1]["id"]
        assert (second.answer, second.end) == ("42", SolveEnd.AGREEMENT)
        told = http.post("/v1/runs/r/answers", json=ANSWERED)
        assert told.status_code == 200, "told to the dead server"
        again = ask(http, "p1", "[quick] 2 + 3?")
        assert (again.answer, again.solve_id, again.replayed) == ("5", first.solve_id, True)
        assert ask(http, "p3", "[quick]").answer == "5"
        metrics = http.get("/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in STOPPED
    # What the dead server sampled and counted is not counted again.
    (told_of,) = re.findall(r'^quorum_tokens_total{kind="sampled"} (\S+)$', metrics, re.MULTILINE)
    assert float(told_of) == sampled(folder) - counted > 0
    assert "quorum_solve_seconds_count 2.0" in metrics, "of the solve that it went on with too"
    assert "quorum_solve_budget_ratio_count 2.0" in metrics
    with JournalReader(folder / "journal.sqlite") as reader:
        assert list(check(reader)) == []
        events = list(reader.events(solve_id=second.solve_id))
        assert [event.attempts for event in events if isinstance(event, SolveResumed)] == [[0, 1]]
        resumed = {event.attempt: event for event in events if isinstance(event, AttemptResumed)}
        for attempt, ids in kept.items():
            assert resumed[attempt].kept_tokens >= len(ids) > 0
            assert resumed[attempt].cells == 1
            assert reader.tokens(second.solve_id, attempt).ids.tolist()[: len(ids)] == ids
        # Nobody waits for the one outside the run: it is closed.
        outside = [solve for solve in reader.solves() if solve.run_id is None]
        assert [solve.outcome for solve in outside] == ["interrupted"]


def test_a_solve_that_is_gone_on_with_is_shown_from_its_beginning(folder: Path) -> None:
    """In the list, on the page, and to a browser that has had a part of its events."""
    run = {"id": "r", "problems": 1, "limit_s": 600, "budget": "none"}
    with server(folder) as (http, process):
        assert http.post("/v1/runs", json=run).status_code == 201
        thread = ask_in_vain(http, {"problem": "6 x 7?", "run": "r", "problem_id": "p1"})
        until(thinking(folder, 1))
        process.send_signal(signal.SIGKILL)
        thread.join(20)
    with JournalReader(folder / "journal.sqlite") as reader:
        (stored,) = reader.solves()
        told = [event.id for event in reader.events(solve_id=stored.id)]
    with server(folder) as (http, _):
        until(lambda: http.get(f"/v1/solves/{stored.id}").json()["state"] != "lost")
        shown = http.get(f"/v1/solves/{stored.id}").json()
        assert (shown["state"], shown["run"], shown["model"]) == ("running", "r", "scripted")
        (row,) = http.get("/live.json").json()
        assert row["told"].startswith("running")
        page = http.get(f"/solves/{stored.id}").text
        assert 'data-started="1"' in page
        assert 'data-limit="0"' not in page
        assert "print(17)" in page, "what its attempts did before"
        with connect_sse(http, "GET", f"/solves/{stored.id}/feed?after={told[2]}") as source:
            assert int(next(source.iter_sse()).id) in told


def test_a_solve_that_waits_to_be_gone_on_with_is_told_from_its_beginning(folder: Path) -> None:
    run = {"id": "r", "problems": 2, "limit_s": 600, "budget": "none"}
    bodies = [{"problem": "6 x 7?", "run": "r", "problem_id": name} for name in ("p1", "p2")]
    with server(folder) as (http, process):
        assert http.post("/v1/runs", json=run).status_code == 201
        threads = [ask_in_vain(http, body) for body in bodies]
        until(thinking(folder, 2))
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(20)
    with JournalReader(folder / "journal.sqlite") as reader:
        told = {
            solve.id: [
                event.id
                for event in reader.events(solve_id=solve.id)
                if not isinstance(event, AttemptSegment)
            ]
            for solve in reader.solves()
        }
    (folder / "one").touch()
    with server(folder) as (http, _):
        solves = http.get("/v1/runs/r").json()["solves"]
        assert sorted(each["state"] for each in solves) == ["queued", "running"]
        waits, named = next(
            (each["id"], each["problem_id"]) for each in solves if each["state"] == "queued"
        )
        assert http.get(f"/v1/solves/{waits}").json()["state"] == "queued"
        live = {each["id"]: each["told"] for each in http.get("/live.json").json()}
        assert live[waits].startswith("queued")
        badge = re.compile(r'id="state" class="badge live">(\w+)<')
        assert badge.findall(http.get(f"/solves/{waits}").text) == ["queued"]
        path, before = f"/v1/solves/{waits}/events", told[waits]
        with connect_sse(http, "GET", f"{path}?after={before[0]}") as source:
            stream = source.iter_sse()
            assert [int(next(stream).id) for _ in before[1:]] == before[1:]
            joined = {**bodies[0], "problem_id": named}
            wish = {"Accept": "text/event-stream"}
            with connect_sse(http, "POST", "/v1/solves", json=joined, headers=wish) as other:
                assert int(next(other.iter_sse()).id) == before[0]
            feed = f"/solves/{waits}/feed?after={before[-1]}"
            with connect_sse(http, "GET", feed) as page:
                (folder / "go").touch()
                shown = next(event.data for event in page.iter_sse() if event.data)
                assert json.loads(shown) == {"do": "resumed"}
            # A comment that keeps the connection alive is an event without data.
            rest = [event.event for event in stream if event.data]
        assert (rest[0], rest[-1]) == ("solve.resumed", "solve.finished")


def test_the_best_answer_outlives_a_solve_that_cannot_be_gone_on_with(folder: Path) -> None:
    """It is on the disk twice: in `fallback.json`, and in the journal for where that is lost."""
    known = {"answer": "17", "rung": "printed", "final": False}
    run = {"id": "r", "problems": 3, "limit_s": 600, "budget": "none"}
    with server(folder) as (http, process):
        assert http.post("/v1/runs", json=run).status_code == 201
        thread = ask_in_vain(http, {"problem": "6 x 7?", "run": "r", "problem_id": "p1"})
        until(thinking(folder, 1))
        until(lambda: fallback(folder, "p1").get("answer") == "17")
        process.send_signal(signal.SIGKILL)
        thread.join(20)
    with (folder / "tiny.gguf").open("ab") as file:
        file.write(b"other weights")
    for name, lost in (("p2", False), ("p3", True)):
        if lost:
            (folder / "fallback.json").unlink()
        with server(folder) as (http, process):
            assert http.get("/v1/runs/r").json()["solves"][0]["state"] == "finished"
            assert ask(http, name, "[quick] 2 + 3?").answer == "5"
            until(partial(fallback, folder, name))
            assert fallback(folder, "p1").items() >= known.items()
            process.send_signal(signal.SIGKILL)


def test_a_shutdown_leaves_what_runs_to_the_next_server(folder: Path) -> None:
    """Also in a run that gives nothing out: then the time without a server does not count."""
    with server(folder) as (http, process):
        run = {"id": "r", "problems": 2, "limit_s": 600, "budget": "none"}
        assert http.post("/v1/runs", json=run).status_code == 201
        results: list[SolveResult] = []
        thread = threading.Thread(target=lambda: results.append(ask(http, "p1")))
        thread.start()
        until(thinking(folder, 1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in STOPPED
        thread.join(20)
        assert [result.end for result in results] == [SolveEnd.INTERRUPTED]
    (folder / "go").touch()
    with server(folder) as (http, process):
        result = ask(http, "p1")
        assert (result.answer, result.solve_id) == ("42", results[0].solve_id)
        # A kill could take the journal's last second, in which the solve went on.
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in STOPPED
    with JournalReader(folder / "journal.sqlite") as reader:
        assert list(check(reader)) == []
        (away,) = [
            event.away_s
            for event in reader.events(solve_id=result.solve_id)
            if isinstance(event, SolveResumed)
        ]
        assert away < 0.5


def test_a_server_that_waits_for_the_journal_of_another_goes_on_where_that_dies(
    folder: Path,
) -> None:
    """As in a deployment that starts the new server before the old one has ended."""
    with server(folder) as (http, old), server(folder) as (new, _):
        assert new.get("/ready").json()["journal"]["state"] == "behind"
        meanwhile = new.post("/v1/solves", json={"problem": "[quick] 2 + 3?"}).json()
        assert meanwhile["answer"] == "5"
        run = {"id": "r", "problems": 2, "limit_s": 600}
        assert http.post("/v1/runs", json=run).status_code == 201
        assert new.get("/v1/runs/r").status_code == 404, "another server's, as long as it lives"
        first = ask(http, "p1", "[quick] 2 + 3?")
        thread = ask_in_vain(http, {"problem": "6 x 7?", "run": "r", "problem_id": "p2"})
        until(thinking(folder, 1))
        begun = http.get("/v1/runs/r").json()["solves"][1]["id"]
        old.kill()
        thread.join(20)
        (folder / "go").touch()
        until(lambda: new.get("/v1/runs/r").status_code == 200)
        second = ask(new, "p2")
        assert (second.answer, second.solve_id) == ("42", begun)
        again = ask(new, "p1", "[quick] 2 + 3?")
        assert (again.solve_id, again.replayed) == (first.solve_id, True)
        assert new.get("/ready").json()["journal"]["state"] == "on"
    with JournalReader(folder / "journal.sqlite") as reader:
        assert list(check(reader)) == []
        assert reader.solve(meanwhile["solve_id"]).answer == "5"
