"""Cells over real HTTP: results, output as it comes, interrupts, callers that go away."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from client.schema import CellStatus, InterruptStep
from sandbox import types
from server.api import event_stream
from tests.server.api.gateway import FREED_S, wait_until
from tests.server.api.sandbox_gateway import LEASES, SandboxGateway
from tests.server.api.test_sandbox_leases import leased, problem_of, request_for, run

ENDLESS = "print('on', flush=True)\nwhile True: pass"


@contextmanager
def streaming(
    http: httpx.Client, address: str, code: str, timeout_s: float = 20.0
) -> Iterator[Iterator[ServerSentEvent]]:
    body = {"code": code, "timeout_s": timeout_s}
    with connect_sse(http, "POST", f"{address}/execute", json=body) as source:
        source.response.raise_for_status()
        yield source.iter_sse()


def data_of(event: ServerSentEvent) -> dict[str, Any]:
    data: dict[str, Any] = event.json()
    assert data["type"] == event.event
    return data


def busy(http: httpx.Client, address: str) -> bool:
    return bool(http.get(address).json()["busy"])


def test_the_wire_names_what_the_sandbox_does() -> None:
    assert [each.value for each in CellStatus] == [each.value for each in types.CellStatus]
    assert [each.value for each in InterruptStep] == [each.value for each in types.InterruptStep]


class TestJson:
    def test_whatever_a_cell_does_is_a_result(self, sandbox_http: httpx.Client) -> None:
        with leased(sandbox_http) as address:
            ok = run(sandbox_http, address, "print('a')\n6 * 7")
            assert ok == {
                "output": "a\n42\n",
                "status": "ok",
                "interrupt_step": "none",
                "state_lost": False,
                "seconds": ok["seconds"],
                "truncated": False,
                "error_name": None,
            }
            error = run(sandbox_http, address, "1 / 0")
            assert (error["status"], error["error_name"]) == ("error", "ZeroDivisionError")
            died = run(sandbox_http, address, "import os; os._exit(1)")
            assert (died["status"], died["state_lost"]) == ("died", True)
            long = run(sandbox_http, address, "print('\\ud800' + 'x' * 10**6)")
            assert long["truncated"]

    def test_the_time_out_holds(self, sandbox_http: httpx.Client) -> None:
        with leased(sandbox_http) as address:
            body = {"code": "while True: pass", "timeout_s": 0.3}
            result = sandbox_http.post(f"{address}/execute", json=body).json()
            assert (result["status"], result["interrupt_step"]) == ("timeout", "sigint")

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"code": 1},
            {"code": "'\ud800'"},
            {"code": "1", "timeout_s": 0},
            {"code": "1", "timeout_s": -1},
            {"code": "1", "timeout_s": 1e9},
            {"code": "1", "timeout_s": "inf"},
            {"code": "1", "lease": "x"},
        ],
    )
    def test_malformed_cells_do_not_run(self, sandbox_http: httpx.Client, body: object) -> None:
        with leased(sandbox_http) as address:
            # As a hostile client writes it: a lone surrogate has no UTF-8.
            headers = {"Content-Type": "application/json"}
            content = json.dumps(body)
            reply = sandbox_http.post(f"{address}/execute", content=content, headers=headers)
            problem_of(reply, 422)
            assert sandbox_http.get(address).json()["cells"] == 0

    def test_one_cell_at_a_time(self, sandbox_http: httpx.Client, sandbox: SandboxGateway) -> None:
        lost = sandbox.pool().lost
        with leased(sandbox_http) as address:
            with streaming(sandbox_http, address, ENDLESS) as events:
                next(events)
                refused = sandbox_http.post(f"{address}/execute", json={"code": "1"})
                assert "interrupt" in problem_of(refused, 409).detail
            wait_until(lambda: not busy(sandbox_http, address), FREED_S)
            assert sandbox.pool().lost == lost

    def test_going_away_interrupts_and_keeps_the_state(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        with leased(sandbox_http) as address:
            run(sandbox_http, address, "kept = 42")
            with socket.create_connection(sandbox.address, timeout=5) as connection:
                body = {"code": "while True: pass", "timeout_s": 60}
                connection.sendall(request_for(f"{address}/execute", body))
                wait_until(lambda: busy(sandbox_http, address))
            wait_until(lambda: not busy(sandbox_http, address), FREED_S)
            assert run(sandbox_http, address, "kept")["output"] == "42\n"


class TestInterrupt:
    def test_the_caller_gets_its_result(self, sandbox_http: httpx.Client) -> None:
        with leased(sandbox_http) as address:
            reply = sandbox_http.post(f"{address}/interrupt")
            assert (reply.status_code, reply.json()) == (200, {"interrupted": False})
            with streaming(sandbox_http, address, f"kept = 42\n{ENDLESS}") as events:
                next(events)
                reply = sandbox_http.post(f"{address}/interrupt")
                assert reply.json() == {"interrupted": True}
                result = data_of(list(events)[-1])["result"]
            assert (result["status"], result["interrupt_step"]) == ("interrupted", "sigint")
            assert result["output"].endswith("[interrupted; variables are kept]\n")
            assert run(sandbox_http, address, "kept")["output"] == "42\n"

    def test_code_that_cannot_be_interrupted_costs_the_state(
        self, sandbox_http: httpx.Client
    ) -> None:
        code = "from itertools import count\nprint('on', flush=True)\nsum(count())"
        with leased(sandbox_http) as address:
            with streaming(sandbox_http, address, code) as events:
                next(events)
                sandbox_http.post(f"{address}/interrupt")
                result = data_of(list(events)[-1])["result"]
            assert (result["interrupt_step"], result["state_lost"]) == ("kill", True)
            assert run(sandbox_http, address, "6 * 7")["output"] == "42\n"


class TestEvents:
    def test_output_comes_as_it_is_written(self, sandbox_http: httpx.Client) -> None:
        code = """if True:
            import sys, time
            for number in range(3):
                print(number, end=" ")
                time.sleep(0.4)
            1 / 0
        """
        with leased(sandbox_http) as address, streaming(sandbox_http, address, code) as stream:
            events = list(stream)
        texts = [data_of(event)["text"] for event in events[:-1]]
        result = data_of(events[-1])["result"]
        # A busy machine may put two together; what came first was not all.
        assert texts[0] in ("0 ", "0 1 ")
        assert "".join(texts) == result["output"]
        assert result["error_name"] == "ZeroDivisionError"
        assert [event.id for event in events] == [str(n + 1) for n in range(len(events))]

    def test_the_bound_on_output_holds(self, sandbox_http: httpx.Client) -> None:
        code = "for i in range(10**5): print(i)"
        with leased(sandbox_http) as address, streaming(sandbox_http, address, code) as stream:
            events = list(stream)
        texts = "".join(data_of(event)["text"] for event in events[:-1])
        assert texts == data_of(events[-1])["result"]["output"]
        assert len(texts) < 2_200
        assert "characters cut" in texts

    def test_the_response_does_not_speak_of_the_connection(
        self, sandbox_http: httpx.Client
    ) -> None:
        headers = {"Accept": "Text/Event-Stream", "Connection": "close"}
        with leased(sandbox_http) as address:
            reply = sandbox_http.post(f"{address}/execute", json={"code": "1"}, headers=headers)
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers.get_list("connection") == ["close"]

    def test_refusals_are_no_streams(self, sandbox_http: httpx.Client) -> None:
        headers = {"Accept": "text/event-stream"}
        reply = sandbox_http.post(
            f"{LEASES}/lease-none/execute", json={"code": "1"}, headers=headers
        )
        problem_of(reply, 404)

    @pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
    def test_giving_back_ends_a_running_cell(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway, accept: str
    ) -> None:
        replies: list[httpx.Response] = []
        with leased(sandbox_http) as address:

            def execute() -> None:
                body = {"code": "while True: pass", "timeout_s": 60}
                url, headers = f"{sandbox.url}{address}/execute", {"Accept": accept}
                replies.append(
                    httpx.post(url, json=body, headers=headers, timeout=20, trust_env=False)
                )

            thread = threading.Thread(target=execute)
            thread.start()
            wait_until(lambda: busy(sandbox_http, address))
        thread.join(5)
        (reply,) = replies
        if accept == "application/json":
            assert "given back" in problem_of(reply, 404).detail
        else:
            assert reply.status_code == 200
            event, data = (line.partition(": ")[2] for line in reply.text.splitlines()[1:3])
            assert event == "cell.failed"
            assert json.loads(data)["problem"]["status"] == 404

    def test_going_away_interrupts(
        self, sandbox_http: httpx.Client, sandbox: SandboxGateway
    ) -> None:
        lost = sandbox.pool().lost
        with leased(sandbox_http) as address:
            with socket.create_connection(sandbox.address, timeout=5) as connection:
                body = {"code": ENDLESS, "timeout_s": 60}
                connection.sendall(request_for(f"{address}/execute", body, "text/event-stream"))
                received = b""
                while b'"on' not in received:
                    received += connection.recv(65_536)
            wait_until(lambda: not busy(sandbox_http, address), FREED_S)
            assert sandbox.pool().lost == lost

    def test_a_reader_that_does_not_read_is_cut(
        self,
        sandbox_http: httpx.Client,
        sandbox: SandboxGateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(event_stream, "SEND_TIMEOUT_S", 0.3)
        monkeypatch.setattr(event_stream, "PING_S", 0.0001)  # pings are what fills the buffers here
        with leased(sandbox_http) as address, socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(sandbox.address)
            body = {"code": "while True: pass", "timeout_s": 60}
            connection.sendall(request_for(f"{address}/execute", body, "text/event-stream"))
            wait_until(lambda: busy(sandbox_http, address))
            wait_until(lambda: not busy(sandbox_http, address), 15.0)
