"""`/metrics` counts what happens, and the dashboard asks for nothing that is not there."""

import json
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.metrics.meter import MOST_BUDGET_RATIO
from tests.server.api.conftest import *  # noqa: F403 - its gateway
from tests.server.api.gateway import Gateway

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana" / "quorum.json"
#: Words of PromQL that begin like one of our names.
NAME = re.compile(r"\bquorum_[a-z_]+")


def samples(http: httpx.Client) -> dict[tuple[str, str], float]:
    """Return the values by name and labels."""
    reply = http.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_a_solve_is_counted(http: httpx.Client, gateway: Gateway) -> None:
    before = samples(http)
    result = http.post("/v1/solves", json={"problem": "6 x 7?"}).json()
    gateway.wait_until(gateway.idle)
    after = samples(http)

    def grown(name: str, labels: str = "") -> float:
        return after.get((name, labels), 0.0) - before.get((name, labels), 0.0)

    assert grown("quorum_solves_total", "end=agreement") == 1
    assert grown("quorum_answers_total") == 1
    assert grown("quorum_attempts_total", "end=answered") == 2
    assert grown("quorum_tokens_total", "kind=sampled") == result["tokens"]["sampled"]
    assert grown("quorum_tokens_total", "kind=appended") > 0
    assert grown("quorum_tool_calls_total", "status=ok") == 2
    assert grown("quorum_votes_sum") == 2
    assert grown("quorum_solve_seconds_count") == grown("quorum_queue_seconds_count") == 1
    labels = "method=POST,route=/v1/solves,status=200"
    assert grown("quorum_http_requests_total", labels) == 1
    assert after["quorum_engine_state", "engine=main,state=ready"] == 1
    assert after["quorum_solves_running", ""] == 0


def test_a_limit_too_short_for_anything_spoils_no_sum(http: httpx.Client, gateway: Gateway) -> None:
    """A sum of 1e300 would take in nothing that is added to it ever after."""
    name = ("quorum_solve_budget_ratio_sum", "")
    before = samples(http)[name]
    http.post("/v1/solves", json={"problem": "6 x 7?", "time_limit_s": 1e-300})
    gateway.wait_until(gateway.idle)
    assert 1 <= samples(http)[name] - before <= MOST_BUDGET_RATIO


def test_what_runs_is_shown(http: httpx.Client, gateway: Gateway) -> None:
    headers = {"Prefer": "respond-async"}
    names = [
        http.post("/v1/solves", json={"problem": "[hang]"}, headers=headers).json()["solve_id"]
        for _ in range(3)
    ]
    found = samples(http)
    assert (found["quorum_solves_running", ""], found["quorum_solves_queued", ""]) == (2, 1)
    for name in names:
        http.delete(f"/v1/solves/{name}")
    gateway.wait_until(gateway.idle)


def test_callers_cannot_make_up_labels(http: httpx.Client) -> None:
    before = len(samples(http))
    for number in range(30):
        http.get(f"/nothing/{number}")
        http.get(f"/v1/solves/solve-{number}")
    assert len(samples(http)) - before < 40  # one route each, with its histogram


def test_every_query_of_the_dashboard_names_what_there_is(http: httpx.Client) -> None:
    http.post("/v1/solves", json={"problem": "6 x 7?"})
    http.post("/v1/runs", json={"id": "metrics", "problems": 1, "limit_s": 60})
    text = http.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    known = {sample.name for family in families for sample in family.samples}
    known |= {
        f"{family.name}_total" for family in families if family.type == "counter"
    }  # without a sample yet
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]
    assert len(queries) > 20
    unknown = {name for query in queries for name in NAME.findall(query)} - known
    assert unknown == set()


def test_openmetrics_where_asked_for(http: httpx.Client) -> None:
    reply = http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")


@pytest.mark.parametrize("version", ["abc", "1.x", "2.x", "", "1..0", "9" * 5_000])
@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
def test_a_version_that_is_none_is_passed_over(http: httpx.Client, kind: str, version: str) -> None:
    reply = http.get("/metrics", headers={"Accept": f"{kind}; version={version}"})
    assert reply.status_code == 200
    assert "quorum_solves_running 0.0" in reply.text
