"""Both clients against a real server and its faults: one suite over both."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import pytest

from client import errors, exchange, patience
from client.exchange import NO_RETRY, RetryPolicy
from client.http import AsyncQuorumClient, QuorumClient, checked_url
from client.schema import AnswerKind, SolveFinished, SolveRequest
from tests.client.drivers import AsyncDriver, Driver, SyncDriver
from tests.client.recorded_server import RecordedServer

OpenDriver = Callable[..., Driver]


@pytest.fixture(params=[SyncDriver, AsyncDriver], ids=["sync", "async"])
def open_driver(request: pytest.FixtureRequest) -> OpenDriver:
    driver: OpenDriver = request.param
    return driver


@pytest.fixture
def driver(open_driver: OpenDriver, url: str) -> Driver:
    return open_driver(url)


def ask(problem: str) -> SolveRequest:
    return SolveRequest(problem=problem)


async def test_solve_returns_the_result(driver: Driver) -> None:
    result = await driver.solve(ask("sum"))
    assert result.answer == "42"
    assert [line.votes for line in result.ballot] == [3, 1]


async def test_only_what_was_given_is_sent(driver: Driver, server: RecordedServer) -> None:
    await driver.solve(SolveRequest(problem="sum", answer_kind=AnswerKind.INTEGER, attempts=2))
    assert server.bodies == [b'{"problem":"sum","answer_kind":"integer","attempts":2}']


@pytest.mark.parametrize("key", [" secret ", "secret\n", "\tsecret\r\n"])
async def test_a_key_is_sent_without_white_space_around_it(
    open_driver: OpenDriver, url: str, server: RecordedServer, key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("QUORUM_API_KEY", key)
    await open_driver(url).solve(ask("sum"))
    assert server.keys == ["Bearer secret"]


@pytest.mark.parametrize("key", ["sec\nret", "schlüssel"])
def test_a_key_that_no_header_can_have_is_refused_without_it(key: str) -> None:
    with pytest.raises(errors.UsageError, match="printable ASCII") as caught:
        QuorumClient(key=key)
    assert key[:3] not in str(caught.value)


async def test_stream_yields_every_event_in_order(driver: Driver) -> None:
    events = await driver.events(ask("sum"))
    assert events[0].type == "solve.queued"
    assert isinstance(events[-1], SolveFinished)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert len(events) > 100


async def test_state_is_asked(driver: Driver, server: RecordedServer) -> None:
    server.ready_after = 1
    assert (await driver.health()).version == "0.1.0"
    first, second = await driver.ready(), await driver.ready()
    assert (first.ready, first.engine.detail) == (False, "weights")
    assert second.ready


async def test_cancel(driver: Driver) -> None:
    await driver.cancel("s1")
    with pytest.raises(errors.NotFound, match=r"solve 'a b\?'"):
        await driver.cancel("a b?")


async def test_leaving_a_stream_ends_the_solve(driver: Driver, server: RecordedServer) -> None:
    await driver.events(ask("hang"), most=20)
    assert await anyio.to_thread.run_sync(server.gone.wait, 10)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("cut", errors.ConnectionLost),
        ("short", errors.ConnectionLost),
        ("full", errors.ServerBusy),
        ("fail", errors.ServerFailed),
        ("crash", errors.ServerFailed),
        ("badend", errors.InvalidResponse),
        ("html", errors.InvalidResponse),
    ],
)
async def test_faults_of_a_stream(driver: Driver, problem: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        await driver.events(ask(problem))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("cut", errors.ConnectionLost),
        ("full", errors.ServerBusy),
        ("fail", errors.ServerFailed),
        ("html", errors.InvalidResponse),
    ],
)
async def test_faults_of_a_result(
    driver: Driver, server: RecordedServer, problem: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await driver.solve(ask(problem))
    assert server.seen[problem] == 1, "a solve that reached the server was sent again"


async def test_events_that_cannot_be_read_are_skipped(driver: Driver) -> None:
    assert len(await driver.events(ask("garbage"))) == len(await driver.events(ask("sum")))


async def test_pings_keep_a_stream_alive(
    driver: Driver, server: RecordedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STREAM_SILENCE_S", 0.2)
    timer = threading.Timer(0.5, server.released.set)
    timer.start()
    assert isinstance((await driver.events(ask("pings")))[-1], SolveFinished)
    timer.join()


async def test_a_solve_that_outlasts_its_limit_is_given_up(
    driver: Driver, server: RecordedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SOLVE_MARGIN_S", 0.1)
    with pytest.raises(errors.ServerTimeout, match=r"its time limit of 0\.2 s"):
        await driver.solve(SolveRequest(problem="hang", time_limit_s=0.2))
    assert await anyio.to_thread.run_sync(server.gone.wait, 10)


async def test_the_wait_in_the_queue_has_a_bound_of_its_own(
    driver: Driver, server: RecordedServer
) -> None:
    with pytest.raises(errors.ServerTimeout, match=r"within 0\.3 s: raise queue_timeout_s"):
        await driver.solve(SolveRequest(problem="pings", time_limit_s=80_000), queue_timeout_s=0.3)
    timer = threading.Timer(0.5, server.released.set)
    timer.start()
    waited = await driver.solve(SolveRequest(problem="pings", time_limit_s=0.2))
    assert waited.answer == "42"
    timer.join()


async def test_a_full_queue_is_waited_for_with_patience(
    open_driver: OpenDriver, url: str, server: RecordedServer
) -> None:
    patient = open_driver(url, RetryPolicy(busy_patience_s=5.0))
    assert (await patient.solve(ask("busy"))).answer == "42"
    assert server.seen["busy"] == 2


async def test_nobody_listens(open_driver: OpenDriver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    driver = open_driver(f"http://127.0.0.1:{port}", RetryPolicy(retries=1, first_wait_s=0.01))
    with pytest.raises(errors.ServerUnreachable, match="quorum serve"):
        await driver.solve(ask("sum"))


@contextmanager
def dropping(reply: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """Accept connections, read a request, reply and hang up; yields the URL and the requests."""
    requests: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                requests.append(connection.recv(65_536))
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


async def test_a_question_is_repeated_and_a_solve_is_not(open_driver: OpenDriver) -> None:
    policy = RetryPolicy(retries=2, first_wait_s=0.01)
    with dropping() as (url, requests):
        with pytest.raises(errors.ConnectionLost):
            await open_driver(url, policy).health()
        assert len(requests) == 3
        with pytest.raises(errors.ConnectionLost):
            await open_driver(url, policy).solve(ask("sum"))
        assert len(requests) == 4


async def test_something_that_is_not_http(open_driver: OpenDriver) -> None:
    with (
        dropping(b"SSH-2.0-OpenSSH_9.6\r\n") as (url, _),
        pytest.raises(errors.ConnectionLost),
    ):
        await open_driver(url, NO_RETRY).health()


async def test_silence_ends_a_stream(
    open_driver: OpenDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STREAM_SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = open_driver(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(errors.ServerTimeout):
            await driver.events(ask("sum"))


async def test_cancelling_a_call_frees_the_connection(url: str, server: RecordedServer) -> None:
    async with AsyncQuorumClient(url) as client:
        with anyio.move_on_after(0.2) as scope:
            async with client.stream(ask("hang")) as events:
                async for _event in events:
                    pass
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(server.gone.wait, 10)


@pytest.mark.parametrize(
    "address",
    [
        *("", "127.0.0.1:8642", "ftp://host", "http://", "http://host:port"),
        *("http://a..b", "http://host:99999", f"http://{'a' * 64}.example"),
    ],
)
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(errors.BadServerAddress):
        QuorumClient(address)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://user:secret@host",
        "http://user:secret@host:port",
        "http://user:secret#@host",
        "http://user:secret/@host:1",
        "user:secret@host",
        "http://user:secret@host/v1",
        "http://user:secret@a..b",
    ],
)
def test_no_message_of_an_address_has_its_password(address: str) -> None:
    with pytest.raises(errors.BadServerAddress, match=r"\*\*\*@") as caught:
        checked_url(address)
    assert "secret" not in str(caught.value)


async def test_no_message_of_a_server_that_is_away_has_the_password(unused_url: str) -> None:
    address = unused_url.replace("//", "//user:secret@")
    async with AsyncQuorumClient(address, retry=NO_RETRY) as client:
        assert client.url == unused_url.replace("//", "//***@")
        with pytest.raises(errors.ServerUnreachable, match=r"http://\*\*\*@127") as caught:
            await client.health()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("word", ["crash", "html"])
async def test_no_message_of_an_answer_has_the_password(
    open_driver: OpenDriver, url: str, word: str
) -> None:
    driver = open_driver(url.replace("//", "//user:secret@"))
    assert (await driver.solve(ask("sum"))).answer == "42"
    with pytest.raises(errors.QuorumClientError, match=r"http://\*\*\*@127\.0\.0\.1") as caught:
        await driver.solve(ask(word))
    assert "secret" not in str(caught.value)


def test_address_is_normalised() -> None:
    assert checked_url("http://host:1/base/?q=1#f") == "http://host:1/base"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("HTTP_PROXY", "ftp://127.0.0.1"),
        ("HTTPS_PROXY", "http://127.0.0.1:port"),
        ("NO_PROXY", "localhost,[::1]"),
        ("SSL_CERT_FILE", "/nonexistent/certificates.pem"),
    ],
)
@pytest.mark.parametrize("client", [QuorumClient, AsyncQuorumClient])
def test_an_environment_that_cannot_be_used(
    client: type[QuorumClient | AsyncQuorumClient],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)  # that package may be installed or not
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.UsageError, match="the environment names cannot be used"):
        client("http://quorum.example:8642")
    assert client(url).url == url  # on the way to this machine nothing of it counts
