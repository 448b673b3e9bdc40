"""The server of this machine is looked for where its settings say that it listens."""

from pathlib import Path

import pytest

from client.address import local_url
from client.http import DEFAULT_URL
from client.session import ServerChoice, session
from server.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "toml", "url"),
    [
        ({}, "", DEFAULT_URL),
        ({"QUORUM_GATEWAY_PORT": "9000"}, "", "http://127.0.0.1:9000"),
        ({"quorum_gateway_port": "9000"}, "", "http://127.0.0.1:9000"),
        ({}, "[gateway]\nport = 9001", "http://127.0.0.1:9001"),
        ({"QUORUM_GATEWAY_PORT": "9000"}, "[gateway]\nport = 9001", "http://127.0.0.1:9000"),
        ({}, '[gateway]\nhost = "10.0.0.5"', "http://10.0.0.5:8642"),
        ({"QUORUM_GATEWAY_HOST": "0.0.0.0"}, "", DEFAULT_URL),
        ({"QUORUM_GATEWAY_HOST": "::"}, "", "http://[::1]:8642"),
        ({"QUORUM_GATEWAY_HOST": "::1"}, "[gateway]\nport = 1", "http://[::1]:1"),
        ({"QUORUM_GATEWAY_HOST": "localhost"}, "", "http://localhost:8642"),
        ({"QUORUM_GATEWAY_PORT": "0"}, "", None),
        ({}, "[engine]\nslots = 4", DEFAULT_URL),
        ({}, "\ufeff[gateway]\nport = 9001", "http://127.0.0.1:9001"),
    ],
)
def test_settings_say_where(
    variables: dict[str, str], toml: str, url: str | None, folder: Path
) -> None:
    if toml:
        (folder / "quorum.toml").write_text(toml)
    assert local_url(variables or {"PATH": ""}) == url


@pytest.mark.parametrize(
    ("port", "toml"),
    [
        ("many", ""),
        ("70000", ""),
        ("-1", ""),
        (None, "[gateway]\nport = 'x'"),
        (None, "[gateway]\nport = [1]"),
        (None, "gateway = 3"),
        (None, "[gateway"),
        (None, "[gateway]\nhost = 7"),
    ],
)
def test_what_the_server_refuses_counts_as_not_given(
    port: str | None, toml: str, folder: Path
) -> None:
    (folder / "quorum.toml").write_text(toml)
    assert local_url({"PATH": ""} if port is None else {"QUORUM_GATEWAY_PORT": port}) == DEFAULT_URL


@pytest.mark.parametrize("host", ["a/b?c", "a b", "", "x@y", "[::1]"])
def test_a_host_that_no_url_can_have(host: str) -> None:
    assert local_url({"QUORUM_GATEWAY_HOST": host}) == DEFAULT_URL


def test_the_file_is_the_server_s(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = folder / "other.toml"
    named.write_text("[gateway]\nport = 9002")
    monkeypatch.setenv("QUORUM_CONFIG", str(named))
    assert local_url() == f"http://127.0.0.1:{load_settings().gateway.port}"
    assert load_settings().gateway.port == 9002


def test_the_default_is_the_server_s() -> None:
    gateway = load_settings().gateway
    assert f"http://{gateway.host}:{gateway.port}" == DEFAULT_URL


async def test_the_command_uses_the_server_that_listens_there(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUORUM_GATEWAY_PORT", url.rpartition(":")[2])
    async with session(ServerChoice(command=["./nothing"]), lambda _: None) as client:
        assert client.url == url
