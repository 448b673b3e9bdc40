"""The gateway's socket: what it does with peers that are gone without a word."""

import asyncio
import socket

import anyio
import pytest

from server.commands.serve import SILENCE_S, listen
from server.sections.gateway import GatewaySettings


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
