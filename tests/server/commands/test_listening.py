"""The gateway's socket: what it does with peers that are gone without a word."""

import asyncio
import socket

import anyio
import pytest

from server.commands.serve import SILENCE_S, ListenError, listen
from server.errors import SettingsError
from server.sections.gateway import GatewaySettings
from server.settings import load_settings


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone has it")
def test_connections_notice_a_silent_peer() -> None:
    with listen(GatewaySettings(port=0)) as listener:
        with socket.create_connection(listener.getsockname()[:2]):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            told = {
                name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in SILENCE_S
            }
    assert told == {**SILENCE_S, "TCP_USER_TIMEOUT": 1_000 * SILENCE_S["TCP_USER_TIMEOUT"]}


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a..b", "x:y", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_told_from_a_port_in_use(host: str) -> None:
    with pytest.raises(ListenError, match=r"cannot be listened on .*; set QUORUM_GATEWAY_HOST"):
        listen(GatewaySettings(host=host, port=0))
    with listen(GatewaySettings(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match="stop what uses it, or set QUORUM_GATEWAY_PORT"):
            listen(GatewaySettings(port=port))


def test_no_address_is_no_setting() -> None:
    with pytest.raises(SettingsError, match=r"gateway.host ''.*--gateway-host"):
        load_settings({"gateway.host": ""})


@pytest.mark.anyio
async def test_answers_are_not_held_back_for_more() -> None:
    """A head and a body are two writes: with Nagle's algorithm the second waits for 40 ms."""
    delays: list[int] = []
    done = anyio.Event()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted = transport.get_extra_info("socket")
            delays.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()
            done.set()

    with listen(GatewaySettings(port=0)) as listener:
        server = await asyncio.get_running_loop().create_server(Answering, sock=listener)
        async with server, await anyio.connect_tcp(*listener.getsockname()[:2]):
            with anyio.fail_after(5):
                await done.wait()
    assert delays == [1]
