"""`/v1/runs` over real HTTP: opening, the clock, answers once, joining, finishing."""

import httpx
import pytest

from client.schema import (
    EVENT_ADAPTER,
    BudgetDecided,
    ProblemDetails,
    Run,
    RunList,
    SolveEnd,
    SolveResult,
    SolveStarted,
)
from tests.server.api.gateway import Gateway

RUNS = "/v1/runs"
SOLVES = "/v1/solves"
names = (f"run-{number}" for number in range(1_000))


@pytest.fixture
def name() -> str:
    return next(names)


def opened(http: httpx.Client, name: str, **values: object) -> Run:
    reply = http.post(RUNS, json={"id": name, "problems": 3, "limit_s": 600, **values})
    assert reply.status_code in (200, 201), reply.text
    return Run.model_validate_json(reply.content)


def shown(http: httpx.Client, name: str) -> Run:
    reply = http.get(f"{RUNS}/{name}")
    assert reply.status_code == 200, reply.text
    return Run.model_validate_json(reply.content)


def solve(http: httpx.Client, name: str, problem_id: str, **values: object) -> SolveResult:
    body = {"problem": "6 x 7?", "run": name, "problem_id": problem_id, **values}
    reply = http.post(SOLVES, json=body)
    assert reply.status_code == 200, reply.text
    return SolveResult.model_validate_json(reply.content)


def refused(reply: httpx.Response) -> ProblemDetails:
    assert reply.headers["content-type"] == "application/problem+json"
    return ProblemDetails.model_validate_json(reply.content)


def test_a_run_is_opened_with_its_clock(http: httpx.Client, name: str) -> None:
    reply = http.post(RUNS, json={"id": name, "problems": 50, "limit_s": 600, "elapsed_s": 100})
    assert reply.status_code == 201
    assert reply.headers["location"] == f"{RUNS}/{name}"
    run = Run.model_validate_json(reply.content)
    assert (run.id, run.state, run.problems, run.done, run.solves) == (name, "open", 50, 0, [])
    assert 490 < run.seconds_left <= 500
    assert shown(http, name).seconds_left < run.seconds_left


def test_opening_it_again_changes_nothing(http: httpx.Client, name: str) -> None:
    first = opened(http, name, elapsed_s=100)
    again = http.post(RUNS, json={"id": name, "problems": 7, "limit_s": 9_000})
    assert again.status_code == 200
    run = Run.model_validate_json(again.content)
    assert (run.problems, run.limit_s, run.created_at) == (3, 600, first.created_at)
    assert run.seconds_left <= first.seconds_left


@pytest.mark.parametrize("budget", ["best", "greedy("])
def test_a_budget_that_there_is_not_is_refused_by_its_field(
    http: httpx.Client, name: str, budget: str
) -> None:
    reply = http.post(RUNS, json={"id": name, "problems": 1, "limit_s": 60, "budget": budget})
    assert reply.status_code == 422
    assert [error.field for error in refused(reply).errors] == ["budget"]
    if budget == "best":
        assert "must be one of adaptive, greedy, fixed, none" in refused(reply).detail


@pytest.mark.parametrize(
    ("field", "value"),
    [("strategy", "nope"), ("weight", "best"), ("mix", "temperature=9"), ("recipe", "soup")],
)
def test_options_that_no_problem_could_have_open_no_run(
    http: httpx.Client, name: str, field: str, value: str
) -> None:
    reply = http.post(RUNS, json={"id": name, "problems": 1, "limit_s": 60, field: value})
    assert reply.status_code == 422, reply.text
    assert [error.field for error in refused(reply).errors] == [field]
    assert http.get(f"{RUNS}/{name}").status_code == 404


def test_a_problem_is_solved_once(http: httpx.Client, gateway: Gateway, name: str) -> None:
    opened(http, name)
    first = solve(http, name, "p1")
    assert (first.answer, first.replayed) == ("42", False)
    asked = len(gateway.engine.requests)
    again = solve(http, name, "p1", problem="whatever")
    assert again == first.model_copy(update={"replayed": True})
    assert len(gateway.engine.requests) == asked
    (entry,) = shown(http, name).solves
    assert (entry.id, entry.problem_id, entry.state) == (first.solve_id, "p1", "finished")
    assert (entry.answer, entry.seconds) == ("42", first.seconds)


def test_without_a_budget_a_problem_has_what_it_asks_for(
    gateway: Gateway, http: httpx.Client, name: str
) -> None:
    opened(http, name, budget="none")
    for asked, limit_s in ((None, gateway.settings.solve.time_limit_s), (7.0, 7.0)):
        body = {
            "problem": "6 x 7?",
            "run": name,
            "problem_id": f"p{limit_s}",
            "time_limit_s": asked,
        }
        stream = http.post(SOLVES, json=body, headers={"accept": "text/event-stream"}).text
        lines = [line for line in stream.splitlines() if line.startswith("data: ")]
        events = [EVENT_ADAPTER.validate_json(line.removeprefix("data: ")) for line in lines]
        (started,) = [event for event in events if isinstance(event, SolveStarted)]
        assert started.time_limit_s == pytest.approx(limit_s)
        assert not any(isinstance(event, BudgetDecided) for event in events)


def test_the_run_says_how_to_solve(http: httpx.Client, gateway: Gateway, name: str) -> None:
    opened(http, name, attempts=1, temperature=0.25, seed=5)
    asked = len(gateway.engine.requests)
    assert [report.seed for report in solve(http, name, "p1").attempts] == [5]
    assert gateway.engine.requests[asked].sampling.temperature == 0.25
    two = solve(http, name, "p2", attempts=2, agree=2, seed=8)
    assert [report.seed for report in two.attempts] == [8, 9]


def test_one_that_runs_is_joined_and_goes_on_without_its_caller(
    http: httpx.Client, gateway: Gateway, name: str
) -> None:
    opened(http, name)
    body = {"problem": "[hang]", "run": name, "problem_id": "p1"}
    with http.stream("POST", SOLVES, json=body, headers={"Accept": "text/event-stream"}) as first:
        next(first.iter_lines())
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 2)
    (entry,) = shown(http, name).solves
    assert entry.state == "running"
    listed = http.get(SOLVES, params={"run": name, "state": "running"}).json()["solves"]
    assert [(each["solve_id"], each["run"]) for each in listed] == [(entry.id, name)]
    assert http.get(f"{SOLVES}/{entry.id}").json()["run"] == name
    with http.stream("POST", SOLVES, json=body, headers={"Accept": "text/event-stream"}) as joined:
        lines = joined.iter_lines()
        while entry.id not in next(lines):
            pass
        assert len(gateway.engine.open_streams) == 2
        assert http.delete(f"{SOLVES}/{entry.id}").status_code == 204
        assert '"cancelled"' in "".join(lines)
    # A problem that was cancelled before it had an answer may be asked again.
    assert solve(http, name, "p1").answer == "42"
    gateway.wait_until(gateway.idle)


def test_a_problem_whose_engine_was_lost_is_solved_anew(
    http: httpx.Client, gateway: Gateway, name: str
) -> None:
    opened(http, name)
    gateway.engine.failed = "it will not start"
    try:
        lost = solve(http, name, "p1")
    finally:
        gateway.engine.failed = ""
    assert (lost.end, lost.answer) == (SolveEnd.ENGINE_LOST, None)
    again = solve(http, name, "p1")
    assert (again.answer, again.replayed) == ("42", False)


def test_a_problem_that_came_to_no_answer_can_be_solved_anew_and_counts_once(
    http: httpx.Client, name: str
) -> None:
    opened(http, name)
    without = solve(http, name, "p1", problem="[hang]", time_limit_s=0.3)
    assert (without.end, without.answer) == (SolveEnd.DEADLINE, None)
    assert solve(http, name, "p1").replayed
    anew = solve(http, name, "p1", again=True)
    assert (anew.answer, anew.replayed) == ("42", False)
    assert solve(http, name, "p1", again=True) == anew.model_copy(update={"replayed": True})
    run = shown(http, name)
    assert (run.done, [entry.id for entry in run.solves]) == (1, [anew.solve_id])


def test_no_problem_gets_more_than_the_run_has_left(http: httpx.Client, name: str) -> None:
    opened(http, name, elapsed_s=599)
    reply = http.post(
        SOLVES, json={"problem": "[hang]", "run": name, "problem_id": "p1", "time_limit_s": 60}
    )
    assert SolveResult.model_validate_json(reply.content).end is SolveEnd.DEADLINE
    assert reply.elapsed.total_seconds() < 2
    late = http.post(SOLVES, json={"problem": "6 x 7?", "run": name, "problem_id": "p2"})
    result = SolveResult.model_validate_json(late.content)
    assert (result.end, result.answer, result.attempts) == (SolveEnd.DEADLINE, None, [])
    assert "time of 600 s is over" in result.detail
    assert late.elapsed.total_seconds() < 1
    run = shown(http, name)
    assert run.seconds_left < 1
    assert run.done == 2


def test_a_finished_run_takes_no_problems_but_answers(http: httpx.Client, name: str) -> None:
    opened(http, name)
    first = solve(http, name, "p1")
    reply = http.post(f"{RUNS}/{name}/finish", json={"reason": "the contest is over"})
    run = Run.model_validate_json(reply.content)
    assert (run.state, run.reason) == ("finished", "the contest is over")
    assert http.post(f"{RUNS}/{name}/finish").status_code == 200
    assert shown(http, name).reason == "the contest is over"
    assert shown(http, name).seconds_left == run.seconds_left
    assert solve(http, name, "p1").answer == first.answer
    late = http.post(SOLVES, json={"problem": "6 x 7?", "run": name, "problem_id": "p2"})
    assert late.status_code == 409
    assert "the contest is over" in refused(late).detail


def test_deleting_cancels_what_runs(http: httpx.Client, gateway: Gateway, name: str) -> None:
    opened(http, name)
    body = {"problem": "[hang]", "run": name, "problem_id": "p1"}
    with http.stream("POST", SOLVES, json=body, headers={"Accept": "text/event-stream"}) as events:
        lines = events.iter_lines()
        next(lines)
        run = Run.model_validate_json(http.delete(f"{RUNS}/{name}").content)
        assert run.state == "finished"
        assert '"cancelled"' in "".join(lines)
    gateway.wait_until(gateway.idle)


def test_runs_are_listed_the_newest_first(http: httpx.Client, name: str) -> None:
    opened(http, name)
    other = opened(http, f"{name}-b").id
    listed = [run.id for run in RunList.model_validate_json(http.get(RUNS).content).runs]
    assert listed.index(other) < listed.index(name)


def test_runs_are_listed_page_by_page(http: httpx.Client, name: str) -> None:
    made = [opened(http, f"{name}-{number}").id for number in range(5)]
    pages: list[list[str]] = []
    asked: dict[str, str] = {"limit": "2"}
    while True:
        page = RunList.model_validate_json(http.get(RUNS, params=asked).content)
        pages.append([run.id for run in page.runs])
        if page.next is None:
            break
        asked["after"] = page.next
    listed = [run for page in pages for run in page]
    assert listed[:5] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert {len(page) for page in pages[:-1]} == {2}


@pytest.mark.parametrize(
    ("field", "value"), [("after", "yesterday"), ("after", "nan_x"), ("limit", 0), ("limit", 501)]
)
def test_a_page_that_cannot_be_is_refused(http: httpx.Client, field: str, value: str | int) -> None:
    reply = http.get(RUNS, params={field: value})
    assert [error.field for error in refused(reply).errors] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"problems": 0, "limit_s": 10}, "problems"),
        ({"problems": 1, "limit_s": 0}, "limit_s"),
        ({"problems": 1, "limit_s": 10, "id": "a/b"}, "id"),
        ({"problems": 1, "limit_s": 10, "id": ""}, "id"),
        ({"problems": 1, "limit_s": 10, "elapsed_s": -1}, "elapsed_s"),
        ({"problems": 1, "limit_s": 10, "nonsense": 1}, "nonsense"),
    ],
)
def test_what_no_run_can_be_is_refused(
    http: httpx.Client, body: dict[str, object], field: str
) -> None:
    reply = http.post(RUNS, json=body)
    assert reply.status_code == 422
    assert [error.field for error in refused(reply).errors] == [field]


def test_problems_of_a_run_need_a_name_and_a_run(http: httpx.Client, name: str) -> None:
    unnamed = http.post(SOLVES, json={"problem": "6 x 7?", "run": name})
    assert unnamed.status_code == 422
    assert "give problem_id" in refused(unnamed).detail
    unknown = http.post(SOLVES, json={"problem": "6 x 7?", "run": "nowhere", "problem_id": "p"})
    assert unknown.status_code == 404
    assert "POST /v1/runs" in refused(unknown).detail
    for reply in (http.get(f"{RUNS}/nowhere"), http.delete(f"{RUNS}/nowhere")):
        assert reply.status_code == 404


def test_what_its_caller_answered_is_kept_with_its_rung_and_the_first_stands(
    http: httpx.Client, name: str
) -> None:
    told = {"problem_id": "p1", "answer": "7", "rung": "default", "notes": ["no server"]}
    assert refused(http.post(f"{RUNS}/{name}/answers", json=told)).status == 404
    opened(http, name)
    first = http.post(f"{RUNS}/{name}/answers", json=told)
    assert first.status_code == 201, first.text
    http.post(f"{RUNS}/{name}/finish")
    again = http.post(f"{RUNS}/{name}/answers", json={**told, "answer": "8", "rung": "vote"})
    assert again.status_code == 200
    assert again.json() == first.json()
    (answer,) = shown(http, name).answers
    assert (answer.problem_id, answer.answer, answer.rung) == ("p1", "7", "default")
    assert (answer.notes, answer.solve) == (["no server"], None)
    for wrong in ({"rung": "guess"}, {"problem_id": ""}, {"seconds": -1}, {"more": 1}):
        reply = http.post(f"{RUNS}/{name}/answers", json={**told, **wrong})
        assert refused(reply).status == 422
