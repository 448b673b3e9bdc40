"""`quorum serve` with two engines of different families: a harmony planner and a coder of Qwen's.

Both are rehearsals: supervised children that speak SGLang's protocol, without weights.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from server.dialect.catalogue import open_dialect
from server.engine.rehearsal.problems import right_answer
from server.engine.rehearsal_process import OWN_VOCABULARIES
from server.journal.check import check
from server.journal.export_rows import export_rows
from server.journal.reader import JournalReader
from server.vocabulary import Vocabulary
from tests.integration.serving import Server, serving

MACHINE = """
load_s = {load_s}
step_s = {step_s}
step_s_per_stream = 0
prefill_tokens_s = 1e6
kv_tokens = 100000
most_running = {most_running}
[habits]
tokens_median = 60
tokens_sigma = 0
tokens_most = 80
calls_median = 1
"""
#: Beside the planner: one that takes a minute for a plan and writes one at a time, and one that is
#: never ready.
SETTINGS = """
[engine]
kind = "rehearsal"
[rehearsal]
machine = "{folder}/coder.toml"
[solve]
recipe = "plan_then_code(engine=planner, share=0.5)"
attempts = 2
agree = 2
time_limit_s = 40
[sandbox]
kernels = 2
spares = 1
"""
FURTHER = """
[engines.{name}]
kind = "rehearsal"
model = "harmony"
[engines.{name}.rehearsal]
machine = "{folder}/{name}.toml"
"""
CHILD = "server.engine.rehearsal.child"


def problem(number: int) -> str:
    return f"What is left after {number} steps? [rehearsal: right=1]"


def write_settings(folder: Path, *without: str) -> None:
    """Write the settings with their machines, without some of the further engines."""
    machines = {
        "coder": {"load_s": 0, "step_s": 0.01, "most_running": 8},
        "planner": {"load_s": 0, "step_s": 0.002, "most_running": 8},
        # A plan has some 200 tokens.
        "slow": {"load_s": 0, "step_s": 0.3, "most_running": 1},
        "late": {"load_s": 10_000, "step_s": 0.01, "most_running": 1},
    }
    for name, values in machines.items():
        (folder / f"{name}.toml").write_text(MACHINE.format(**values))
    further = [name for name in machines if name not in ("coder", *without)]
    parts = [SETTINGS, *(FURTHER.replace("{name}", name) for name in further)]
    (folder / "quorum.toml").write_text("".join(parts).replace("{folder}", str(folder)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines")
    write_settings(path)
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    journal = ["--journal-path", str(folder / "journal.sqlite")]
    with serving(Path("qwen"), folder, *journal) as running:
        running.wait_ready()
        yield running


def events_of(server: Server, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Solve, and yield the events as they come."""
    headers = {"Accept": "text/event-stream"}
    with (
        server.client() as http,
        http.stream("POST", "/v1/solves", json=body, headers=headers) as reply,
    ):
        reply.raise_for_status()
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                yield orjson.loads(line.removeprefix("data: "))


def solve(
    server: Server,
    number: int,
    on_event: Callable[[dict[str, Any]], None] = lambda _: None,
    **body: object,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Solve a problem to its end; return result and events."""
    told = []
    for event in events_of(server, {"problem": problem(number), "tokens": True, **body}):
        told.append(event)
        on_event(event)
    return told[-1]["result"], told


def ids_of(events: list[dict[str, Any]], attempt: int) -> list[int]:
    ids: list[int] = []
    for event in events:
        if event["type"] == "attempt.segment" and event["attempt"] == attempt:
            assert event["start"] == len(ids)
            ids += event["token_ids"]
    return ids


def said_by_planner(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "attempt.text" and event["attempt"] == -1)


def until_ready(server: Server, engine: str) -> None:
    deadline = time.monotonic() + 40
    while not server.readiness().engines[engine].ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_part_says_how_the_engines_are(server: Server) -> None:
    until_ready(server, "planner")
    readiness = server.readiness()
    assert readiness.ready
    assert not readiness.engines["late"].ready
    with server.client() as http:
        metrics = http.get("/metrics").text
    assert 'quorum_engine_state{engine="main",state="ready"} 1.0' in metrics
    assert 'quorum_engine_state{engine="planner",state="ready"} 1.0' in metrics
    assert 'quorum_engine_state{engine="late",state="ready"} 0.0' in metrics


def test_a_plan_is_the_same_tokens_in_every_attempt_and_on_record(
    server: Server, folder: Path
) -> None:
    result, events = solve(server, 1)
    assert result["answer"] == right_answer(problem(1))
    (plan,) = result["plans"]
    assert (plan["attempt"], plan["end"]) == (-1, "planned")
    assert result["engines"]["planner"] == plan["tokens"]
    assert result["engines"]["main"] == result["tokens"]
    vocabulary = Vocabulary.load(OWN_VOCABULARIES["qwen"])
    prompts = [ids_of(events, a)[: result["attempts"][a]["tokens"]["prompt"]] for a in range(2)]
    assert prompts[0] == prompts[1]
    text = "".join(e["text"] for e in events if said_by_planner(e) and e["channel"] == "final")
    assert len(text) > 100
    assert text.strip() in vocabulary.decode(prompts[0])
    read_back(server, folder, result["solve_id"], ids_of(events, -1))


def read_back(server: Server, folder: Path, solve_id: str, ids: list[int]) -> None:
    """Find the plan in the journal, its export and the page."""
    harmony = Vocabulary.load(OWN_VOCABULARIES["harmony"])
    with server.client() as http:
        for path in ("", "/attempts/-1", "/attempts/-1/tokens", "/attempts/0"):
            page = http.get(f"/solves/{solve_id}{path}")
            assert page.status_code == 200, path
            assert "lan 0" in page.text or path == "/attempts/0"
        shown = http.get(f"/solves/{solve_id}/attempts/-1/tokens.json").json()
    assert "".join(token[1] for token in shown[:40]).startswith("<|start|>system<|message|>")
    with JournalReader(folder / "journal.sqlite") as reader:
        rows = list(export_rows(reader, reader.solve(solve_id)))
        assert not list(check(reader))
        assert [each.attempt for each in reader.attempts(solve_id)] == [0, 1]
    assert [row.values["role"] for row in rows] == ["plan", "attempt", "attempt"]
    plan = rows[0]
    assert plan.ids.tolist() == ids
    assert plan.values["complete"]
    told = [plan.values[name] for name in ("engine", "model", "dialect")]
    assert told == ["planner", "harmony", open_dialect("auto", harmony).name]


def test_a_planner_that_is_killed_in_its_midst_loses_nothing(server: Server) -> None:
    # In the order in which the engines are opened.
    children = [psutil.Process(pid) for pid in server.children(CHILD)]
    slow = sorted(children, key=lambda child: child.create_time())[2].pid
    killed: list[int] = []

    def kill(event: dict[str, Any]) -> None:
        if said_by_planner(event) and not killed:
            os.kill(slow, signal.SIGKILL)
            killed.append(slow)

    result, events = solve(server, 2, kill, recipe="plan_then_code(engine=slow, share=0.1)")
    assert killed
    assert result["answer"] == right_answer(problem(2))
    (plan,) = result["plans"]
    assert plan["engine_losses"] >= 1
    assert plan["end"] in ("engine_lost", "deadline")
    assert "attempts go on without it" in plan["detail"]
    assert len(ids_of(events, -1)) == sum(plan["tokens"].values())


def test_a_planner_that_is_never_ready_costs_its_share(server: Server) -> None:
    result, events = solve(server, 3, recipe="plan_then_code(engine=late, share=0.02)")
    assert result["answer"] == right_answer(problem(3))
    (plan,) = result["plans"]
    assert plan["end"] == "engine_lost"
    assert "attempts go on without it" in plan["detail"]
    assert [e["plan"] for e in events if e["type"] == "attempt.started"][1:] == [None, None]


def test_a_cancelled_solve_frees_the_planner(server: Server) -> None:
    """It writes one plan at a time, for longer than a solve lasts: the next needs its place."""
    until_ready(server, "slow")
    for number in (4, 5):
        heard: list[str] = []

        def cancel(event: dict[str, Any], heard: list[str] = heard) -> None:
            if said_by_planner(event) and not heard:
                heard.append(event["solve_id"])
                with server.client() as http:
                    http.delete(f"/v1/solves/{event['solve_id']}")

        recipe = "plan_then_code(engine=slow, share=0.9)"
        result, _ = solve(server, number, cancel, recipe=recipe, time_limit_s=30)
        assert heard
        assert (result["end"], result["plans"][0]["end"]) == ("cancelled", "cancelled")
        assert {attempt["end"] for attempt in result["attempts"]} == {"cancelled"}


def test_reason_then_act_and_unknown_recipes(server: Server) -> None:
    result, events = solve(server, 6, recipe="reason_then_act(engine=planner, tokens=400)")
    assert result["answer"] == right_answer(problem(6))
    assert {plan["attempt"] for plan in result["plans"]} == {-1, -2}
    started = {e["attempt"]: e["plan"] for e in events if e["type"] == "attempt.started"}
    assert (started[0], started[1]) == (-1, -2)
    with server.client() as http:
        refused = http.post(
            "/v1/solves", json={"problem": "x", "recipe": "plan_then_code(engine=x)"}
        )
    assert refused.status_code == 422
    assert "engine x: must be one of auto, planner, slow, late" in refused.text


def test_a_solve_of_a_dead_gateway_keeps_its_plan(server: Server, folder: Path) -> None:
    """The last test of the module: it kills the server, and starts another one on its journal."""
    body = {"problem": problem(7), "problem_id": "p", "run": "r"}
    journal = folder / "journal.sqlite"
    with server.client() as http:
        run = {"id": "r", "problems": 1, "limit_s": 600}
        http.post("/v1/runs", json=run).raise_for_status()
    thread = threading.Thread(target=ask_in_vain, args=(server, body))
    thread.start()
    until_planned(journal)
    os.kill(server.process.pid, signal.SIGKILL)
    thread.join(20)
    write_settings(folder, "slow", "late")
    with (
        serving(Path("qwen"), folder, "--journal-path", str(journal)) as again,
        again.client() as http,
    ):
        result = http.post("/v1/solves", json=body).raise_for_status().json()
    assert result["answer"] == right_answer(problem(7))
    assert [plan["end"] for plan in result["plans"]] == ["planned"]
    assert {attempt["end"] for attempt in result["attempts"]} <= {"answered", "early_stop"}
    with JournalReader(journal) as reader:
        sql = "SELECT attempt FROM events WHERE type = 'attempt.started' AND solve_id = ?"
        started = reader.query(sql, (result["solve_id"],))
    # Nothing was begun a second time.
    assert sorted(row[0] for row in started) == [-1, 0, 1]


def ask_in_vain(server: Server, body: dict[str, Any]) -> None:
    with server.client() as http, suppress(httpx.TransportError):
        http.post("/v1/solves", json=body)


def until_planned(journal: Path) -> None:
    """Wait until both attempts have written something after the plan."""
    deadline = time.monotonic() + 40
    sql = """
    SELECT count(DISTINCT attempt) FROM events JOIN solves ON solve_id = solves.id
    WHERE type = 'attempt.text' AND attempt >= 0 AND run_id = 'r'
    """
    while True:
        with JournalReader(journal) as reader:
            if reader.query(sql)[0][0] == 2:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)
