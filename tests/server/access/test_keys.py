"""Keys, their file, and sessions: what is kept, what is accepted, what ends."""

import os
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.access import store
from server.access.commands import app
from server.access.errors import KeysUnusable, MalformedKey, NoKeys, UnknownKey
from server.access.keys import make_key, split_key
from server.access.opening import open_access
from server.access.rates import Rates
from server.access.scopes import Scope, needed
from server.access.session import Sessions, cookie_of
from server.access.store import KeyFile, KeyRing
from server.sections.access import AccessSettings
from server.sections.gateway import GatewaySettings
from server.settings import Settings

SOLVE = frozenset({Scope.SOLVE})


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "folder" / "keys.json")


def test_only_a_hash_is_kept_and_only_for_the_owner(file: KeyFile) -> None:
    key, text = make_key("me", SOLVE)
    file.add(key)
    kept = file.path.read_text()
    parts = split_key(text)
    assert parts is not None
    assert parts[1] not in kept
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.read() == {key.id: key}


@pytest.mark.parametrize("change", ["", "x", "\0", "é"])
def test_a_key_must_fit_to_the_last_character(file: KeyFile, change: str) -> None:
    key, text = make_key("me", SOLVE)
    file.add(key)
    ring = KeyRing(file)
    assert ring.load() == 1
    assert (ring.find(text + change) == key) is (change == "")
    assert ring.find(text[:-1]) is None
    other, _ = make_key("other", SOLVE)
    assert ring.find(text.replace(key.id, other.id)) is None
    assert ring.find("") is None


def test_expired_and_revoked_keys(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOOK_EVERY_S", 0.0)
    lasting, text = make_key("lasting", SOLVE)
    short, short_text = make_key("short", SOLVE, lasts_s=0.0)
    file.add(lasting)
    file.add(short)
    ring = KeyRing(file)
    assert ring.load() == 1
    assert ring.find(short_text) is None
    assert ring.find(text) == lasting
    assert file.revoke("lasting") == [lasting]
    assert ring.find(text) is None
    with pytest.raises(UnknownKey, match="quorum keys ls"):
        file.revoke("lasting")


def test_a_file_that_is_damaged_takes_no_key_away(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOK_EVERY_S", 0.0)
    key, text = make_key("me", SOLVE)
    file.add(key)
    ring = KeyRing(file)
    ring.load()
    file.path.write_text('{"version": 1, "keys": [{"id": ')
    assert ring.find(text) == key
    with pytest.raises(KeysUnusable, match="move it away"):
        file.read()


def test_a_pipe_in_the_place_of_keys_is_told_and_not_waited_for(file: KeyFile) -> None:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(file.path)
    with pytest.raises(KeysUnusable, match="must be a regular file"):
        file.read()


def test_two_that_add_keys_lose_none(file: KeyFile) -> None:
    def add() -> None:
        for _ in range(10):
            file.add(make_key("me", SOLVE)[0])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read()) == 40


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb"])
def test_malformed_names(name: str) -> None:
    with pytest.raises(MalformedKey, match="must be one line"):
        make_key(name, SOLVE)


def command(file: KeyFile, *arguments: str, columns: int = 80) -> Result:
    result = CliRunner().invoke(
        app, [*arguments, "--file", str(file.path)], env={"COLUMNS": str(columns)}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("age", ["999999999d", "0h", "-1d", "nand", "soon"])
def test_an_age_that_is_refused_is_told_with_its_bound(file: KeyFile, age: str) -> None:
    with pytest.raises(MalformedKey, match="of at most 36500d"):
        command(file, "add", "me", "--expires", age)
    assert command(file, "add", "me", "--expires", "36500d").exit_code == 0


@pytest.mark.parametrize("columns", [20, 80, 120])
def test_every_terminal_shows_keys_whole(file: KeyFile, columns: int) -> None:
    key, _ = make_key("somebody with a name of many words [x]", SOLVE)
    file.add(key)
    shown = command(file, "ls", columns=columns).stdout
    assert key.id in shown
    assert "…" not in shown
    assert "[x]" in shown
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        ("/v1/solves", {"solve", "admin"}),
        ("/", {"solve", "admin"}),
        ("/v1/sandbox/leases", {"sandbox", "admin"}),
        ("/v1/settings", {"admin"}),
        ("/metrics", {"solve", "sandbox", "label", "admin"}),
        ("/v1/labels", {"label", "admin"}),
        ("/v1/labels/label-1", {"label", "admin"}),
        ("/v1/labelsX", {"solve", "admin"}),
    ],
)
def test_scopes(path: str, scopes: set[str]) -> None:
    assert set(needed(path)) == scopes


def test_sessions_end_with_their_time_and_with_their_key(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOK_EVERY_S", 0.0)
    key, _ = make_key("me", SOLVE)
    file.add(key)
    ring = KeyRing(file)
    ring.load()
    sessions = Sessions(ring, lasts_s=60.0)
    token = sessions.begin(key)
    assert sessions.find(token) == key
    assert sessions.find(token + "x") is None
    sessions.end(token)
    assert sessions.find(token) is None
    assert Sessions(ring, lasts_s=0.0).find(Sessions(ring, lasts_s=0.0).begin(key)) is None
    token = sessions.begin(key)
    file.revoke(key.id)
    assert sessions.find(token) is None


def test_cookies() -> None:
    def token_of(cookies: str, host: str = "quorum.example") -> str:
        return cookie_of({"cookie": cookies, "host": host})

    assert token_of("a=b; quorum_session=t0ken; c=d") == "t0ken"
    assert token_of("quorum_session") == token_of("") == cookie_of({}) == ""
    # Of other programs on this host, at whatever port.
    for other in ('a={"x": 1}', "[x]=1", "a=b c", "odd", 'a="x', "=b"):
        assert token_of(f"{other}; quorum_session=t0ken") == "t0ken"
    assert token_of("quorum_session_80=t0ken", "[::1]") == ""


def test_gateways_on_one_host_have_cookies_of_their_own(file: KeyFile) -> None:
    sessions = Sessions(KeyRing(file), lasts_s=60.0)
    hosts = ("localhost:8000", "localhost:8001", "localhost")
    browser = [sessions.cookie(f"of {host}", host, secure=False).split(";")[0] for host in hosts]
    for host in hosts:
        assert cookie_of({"cookie": "; ".join(browser), "host": host}) == f"of {host}"


def test_rates() -> None:
    rates = Rates(per_minute=60, burst=2)
    now = time.monotonic()
    assert [rates.wait_s("a", now) for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)]
    assert rates.wait_s("b", now) == 0.0
    assert rates.wait_s("a", now + 1.0) == 0.0
    assert Rates(per_minute=0, burst=1).wait_s("a", now) == 0.0


class TestOpening:
    def settings(self, path: Path, host: str, require: str = "auto") -> Settings:
        access = AccessSettings(keys=str(path), require=require)
        return Settings(gateway=GatewaySettings(host=host), access=access)

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.10"])
    def test_loopback_needs_no_key(self, file: KeyFile, host: str) -> None:
        assert not open_access(self.settings(file.path, host)).demanded

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
    def test_elsewhere_there_must_be_one(self, file: KeyFile, host: str) -> None:
        with pytest.raises(NoKeys, match="quorum keys add"):
            open_access(self.settings(file.path, host))
        file.add(make_key("me", SOLVE)[0])
        assert open_access(self.settings(file.path, host)).demanded

    def test_one_that_has_expired_is_none(self, file: KeyFile) -> None:
        file.add(make_key("me", SOLVE, lasts_s=0.0)[0])
        with pytest.raises(NoKeys):
            open_access(self.settings(file.path, "127.0.0.1", "always"))
