"""`/v1/sandbox/leases` over real HTTP: taking, keeping and giving back kernels, and refusals."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest

from client.schema import Lease, LeaseList, ProblemDetails
from server.api.app import create_app
from server.sections.sandbox import SandboxSettings
from server.settings import Settings
from tests.server.api.gateway import FREED_S, wait_until
from tests.server.api.sandbox_gateway import KERNELS, LEASES, SandboxGateway


def take(http: httpx.Client, **request: object) -> Lease:
    reply = http.post(LEASES, json=request)
    assert reply.status_code == 201, reply.text
    return Lease.model_validate_json(reply.content)


@contextmanager
def leased(http: httpx.Client, **request: object) -> Iterator[str]:
    """Take a lease, give it back; yields its address."""
    address = f"{LEASES}/{take(http, **request).lease_id}"
    try:
        yield address
    finally:
        reply = http.delete(address)
    assert reply.status_code == 204


def problem_of(reply: httpx.Response, status: int) -> ProblemDetails:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    details = ProblemDetails.model_validate_json(reply.content)
    retry = reply.headers.get("retry-after")
    assert (retry is None) == (details.retry_after_s is None)
    return details


def run(http: httpx.Client, address: str, code: str) -> dict[str, Any]:
    reply = http.post(f"{address}/execute", json={"code": code})
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()
    return result


class TestLease:
    def test_a_kernel_keeps_its_state_and_is_gone_when_given_back(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        with leased(sandbox_http, seed=7, owner="me") as first:
            run(sandbox_http, first, "x = 6")
            assert run(sandbox_http, first, "x * 7")["output"] == "42\n"
            assert sandbox.pool().owners == ("http me",)
        problem_of(sandbox_http.get(first), 404)
        with leased(sandbox_http) as second:
            assert run(sandbox_http, second, "x")["error_name"] == "NameError"

    def test_the_seed_decides(self, sandbox_http: httpx.Client) -> None:
        code = "import random; random.random()"
        outputs = []
        for seed in (7, 7, 8):
            with leased(sandbox_http, seed=seed) as address:
                outputs.append(run(sandbox_http, address, code)["output"])
        assert outputs[0] == outputs[1] != outputs[2]

    def test_it_says_what_it_is_and_where(self, sandbox_http: httpx.Client) -> None:
        reply = sandbox_http.post(LEASES, json={"owner": "Ünal 😀", "ttl_s": 5})
        lease = Lease.model_validate_json(reply.content)
        assert (lease.owner, lease.ttl_s, lease.busy, lease.cells) == ("Ünal 😀", 5.0, False, 0)
        assert lease.expires_in_s == pytest.approx(5.0, abs=0.5)
        address = reply.headers["location"]
        shown = Lease.model_validate_json(sandbox_http.get(address).content)
        assert shown.lease_id == lease.lease_id
        assert sandbox_http.delete(address).status_code == 204

    def test_a_request_may_be_empty(self, sandbox_http: httpx.Client) -> None:
        reply = sandbox_http.post(LEASES)
        assert reply.status_code == 201
        assert sandbox_http.delete(reply.headers["location"]).status_code == 204

    def test_ids_cannot_be_guessed_and_are_not_listed(self, sandbox_http: httpx.Client) -> None:
        with leased(sandbox_http, owner="a") as first, leased(sandbox_http, owner="b") as second:
            assert len({first, second}) == 2
            assert len(first.removeprefix(f"{LEASES}/lease-")) == 32
            reply = sandbox_http.get(LEASES)
            found = LeaseList.model_validate_json(reply.content)
            assert [lease.owner for lease in found.leases] == ["a", "b"]
            assert (found.waiting, found.kernels) == (0, KERNELS)
            assert first.rpartition("-")[2] not in reply.text

    def test_giving_back_twice(self, sandbox_http: httpx.Client) -> None:
        with leased(sandbox_http) as address:
            pass
        problem_of(sandbox_http.delete(address), 404)


class TestExpiry:
    def test_without_heartbeats_the_kernel_is_freed(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        address = f"{LEASES}/{take(sandbox_http, ttl_s=1).lease_id}"
        assert sandbox.pool().leased == 1
        wait_until(sandbox.idle, 3.0)
        for method, path in (("GET", ""), ("POST", "/heartbeat"), ("DELETE", "")):
            details = problem_of(sandbox_http.request(method, address + path), 410)
            assert "expired" in details.detail
        refused = sandbox_http.post(f"{address}/execute", json={"code": "1"})
        problem_of(refused, 410)

    def test_heartbeats_and_cells_keep_it(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        with leased(sandbox_http, ttl_s=1) as address:
            begun = time.monotonic()
            while time.monotonic() - begun < 1.5:
                reply = sandbox_http.post(f"{address}/heartbeat")
                assert Lease.model_validate_json(reply.content).expires_in_s == pytest.approx(1.0)
                time.sleep(0.1)
            # Longer than the lease lasts without one.
            run(sandbox_http, address, "import time; time.sleep(1.5)")
            lease = Lease.model_validate_json(sandbox_http.get(address).content)
            assert (lease.cells, lease.busy) == (1, False)
            assert sandbox.pool().leased == 1


class TestWaiting:
    def test_in_order_of_arrival(self, sandbox_http: httpx.Client, sandbox: SandboxGateway) -> None:
        granted: list[str] = []

        def wait_for_one() -> None:
            with (
                httpx.Client(base_url=sandbox.url, timeout=20.0, trust_env=False) as http,
                leased(http, owner="third"),
            ):
                granted.append("third")

        with leased(sandbox_http, owner="first"):
            with leased(sandbox_http, owner="second"):
                thread = threading.Thread(target=wait_for_one)
                thread.start()
                wait_until(lambda: sandbox.pool().waiting == 1)
                listed = LeaseList.model_validate_json(sandbox_http.get(LEASES).content)
                assert (len(listed.leases), listed.waiting) == (2, 1)
                details = problem_of(sandbox_http.post(LEASES, json={}), 429)
                assert "at most 1 may" in details.detail
                assert granted == []
            thread.join(5)
            assert granted == ["third"]

    def test_no_longer_than_asked(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        with leased(sandbox_http), leased(sandbox_http):
            begun = time.monotonic()
            details = problem_of(sandbox_http.post(LEASES, json={"wait_s": 0.3}), 503)
            assert "no kernel within 0.3 s" in details.detail
            assert 0.3 <= time.monotonic() - begun < 3
            wait_until(lambda: sandbox.pool().waiting == 0)
            problem_of(sandbox_http.post(LEASES, json={"wait_s": 0}), 503)

    def test_a_free_kernel_is_had_without_waiting(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        wait_until(lambda: sandbox.pool().spare > 0)
        with leased(sandbox_http, wait_s=0) as address:
            assert run(sandbox_http, address, "6 * 7")["output"] == "42\n"

    def test_going_away_gives_the_place_up(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        with leased(sandbox_http), leased(sandbox_http):
            with socket.create_connection(sandbox.address, timeout=5) as connection:
                connection.sendall(request_for(LEASES, {"owner": "gone"}))
                wait_until(lambda: sandbox.pool().waiting == 1)
            wait_until(lambda: sandbox.pool().waiting == 0, FREED_S)


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"ttl_s": 0}, "ttl_s"),
            ({"ttl_s": 1e9}, "ttl_s"),
            ({"ttl_s": "soon"}, "ttl_s"),
            ({"wait_s": -1}, "wait_s"),
            ({"wait_s": 1e9}, "wait_s"),
            ({"seed": -1}, "seed"),
            ({"seed": 2**64}, "seed"),
            ({"owner": "x" * 101}, "owner"),
            ({"owner": "two\nlines"}, "owner"),
            ({"owner": "\x1b[31m"}, "owner"),
            ({"owner": "\ud800"}, "owner"),
            ({"time": 3}, "time"),
        ],
    )
    def test_malformed_leases(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway, body: object, field: str
    ) -> None:
        # As a hostile client writes it: a lone surrogate has no UTF-8.
        content = json.dumps(body)
        headers = {"Content-Type": "application/json"}
        details = problem_of(sandbox_http.post(LEASES, content=content, headers=headers), 422)
        assert details.errors[0].field == field
        assert sandbox.idle()

    @pytest.mark.parametrize(
        "lease_id",
        ["lease-none", "lease-" + "0" * 32, "%F0%9F%98%80", "%00", "..%2F..%2Fhealth", "x" * 9_000],
    )
    def test_leases_that_there_are_not(self, sandbox_http: httpx.Client, lease_id: str) -> None:
        for method, path, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "/heartbeat", None),
            ("POST", "/interrupt", None),
            ("POST", "/execute", {"code": "1"}),
        ):
            reply = sandbox_http.request(method, f"{LEASES}/{lease_id}{path}", json=body)
            details = problem_of(reply, 404)
            assert len(details.detail) < 200

    def test_too_large_a_body(self, sandbox_http: httpx.Client) -> None:
        with leased(sandbox_http) as address:
            problem_of(sandbox_http.post(f"{address}/execute", json={"code": "#" * 70_000}), 413)

    def test_solves_need_an_engine(self, sandbox_http: httpx.Client) -> None:
        details = problem_of(sandbox_http.post("/v1/solves", json={"problem": "?"}), 503)
        assert "no engine" in details.detail

    def test_ready_tells_of_the_kernels_alone(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        wait_until(lambda: sandbox.pool().spare > 0)
        reply = sandbox_http.get("/ready")
        assert (reply.status_code, reply.json()["ready"]) == (200, True)
        assert reply.json()["engine"]["state"] == "none"


class TestOff:
    async def test_the_routes_are_off_unless_asked_for(self) -> None:
        app = create_app(Settings())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            for method, path in (("POST", LEASES), ("GET", LEASES), ("DELETE", f"{LEASES}/x")):
                details = problem_of(await http.request(method, path), 404)
                assert "--sandbox-http" in details.detail
        assert not any("sandbox" in path for path in app.openapi()["paths"])

    def test_the_description_when_on_is_whole(self) -> None:
        description = create_app(Settings(sandbox=SandboxSettings(http=True))).openapi()
        paths = {path for path in description["paths"] if "sandbox" in path}
        lease = f"{LEASES}/{{lease_id}}"
        assert paths == {
            LEASES,
            lease,
            *(f"{lease}/{verb}" for verb in ("execute", "interrupt", "heartbeat")),
        }
        schemas = description["components"]["schemas"]
        for name in ("LeaseRequest", "Lease", "ExecuteRequest", "CellResult"):
            assert schemas[name]["examples"]
        for path in paths:
            for operation in description["paths"][path].values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        assert {*response["content"]} == {"application/problem+json"}


def request_for(path: str, body: object, accept: str = "application/json") -> bytes:
    """A request as it goes over the wire, for connections that the test cuts."""
    content = orjson.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
