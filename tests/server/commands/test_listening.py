"""The gateway's socket: what it does with peers that are gone without a word."""

import socket

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
