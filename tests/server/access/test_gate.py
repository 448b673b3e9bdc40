"""A server that demands keys, over real HTTP: who gets in, to what, and how a browser does."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from client.errors import Forbidden, Unauthorized
from client.http import QuorumClient
from server.access.keys import make_key
from server.access.scopes import Scope
from server.access.store import KeyFile
from server.api.app import create_app
from server.sections.access import AccessSettings
from server.sections.sandbox import SandboxSettings
from server.settings import Settings
from tests.server.api.gateway import listening
from tests.server.api.sandbox_gateway import SandboxGateway
from tests.server.solve.plain_logs import plain_logs


@dataclass
class Guarded:
    """A server, its keys by scope, and the file that they are in."""

    url: str
    keys: dict[str, str]
    file: KeyFile

    def http(self, scope: str = "", **headers: str) -> httpx.Client:
        own = {"Authorization": f"Bearer {self.keys[scope]}"} if scope else {}
        return httpx.Client(base_url=self.url, headers={**own, **headers}, trust_env=False)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    keys = {}
    for scope in Scope:
        key, keys[scope.value] = make_key(scope.value, frozenset({scope}))
        file.add(key)
    key, keys["expired"] = make_key("expired", frozenset(Scope), lasts_s=0.0)
    file.add(key)
    access = AccessSettings(keys=str(file.path), require="always", requests_per_minute=60, burst=60)
    settings = Settings(
        access=access,
        engine=Settings().engine.model_copy(update={"kind": "none"}),
        sandbox=SandboxSettings(http=True),
    )
    gateway = SandboxGateway(settings)
    with plain_logs(), listening(create_app(settings, gateway.open_parts)) as url:
        yield Guarded(url, keys, file)


@pytest.mark.parametrize(
    ("scope", "path", "status"),
    [
        ("", "/health", 200),
        ("", "/ready", 401),
        ("", "/v1/policies", 401),
        ("", "/openapi.json", 401),
        ("expired", "/v1/policies", 401),
        ("solve", "/v1/policies", 200),
        ("admin", "/v1/policies", 200),
        ("sandbox", "/v1/policies", 403),
        ("sandbox", "/v1/sandbox/leases", 200),
        ("solve", "/v1/sandbox/leases", 403),
        ("solve", "/v1/settings", 403),
        ("admin", "/v1/settings", 200),
        ("sandbox", "/metrics", 200),
        ("solve", "/ready", 200),
        ("solve", "/v1/nothing", 404),
        ("", "//health", 401),
    ],
)
def test_who_gets_in(guarded: Guarded, scope: str, path: str, status: int) -> None:
    with guarded.http(scope) as http:
        # As it is written: httpx would resolve the dots.
        url = httpx.URL(guarded.url).copy_with(raw_path=path.encode())
        reply = http.get(url)
    assert reply.status_code in ({status, 503} if path == "/ready" and status == 200 else {status})
    if status in (401, 403):
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header", ["Bearer x", "Basic cXVvcnVtOg==", "Bearer", "bearer quorum_00000000_" + "a" * 43]
)
def test_what_is_no_key(guarded: Guarded, header: str) -> None:
    with guarded.http(Authorization=header) as http:
        assert http.get("/v1/policies").status_code == 401


def test_clients_pass_keys(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    with QuorumClient(guarded.url) as client, pytest.raises(Unauthorized, match="quorum keys add"):
        client.policies()
    with QuorumClient(guarded.url, key=guarded.keys["solve"]) as client:
        assert client.policies().default == "tir"
        with pytest.raises(Forbidden, match="must have the scope admin"):
            client.settings()
    monkeypatch.setenv("QUORUM_API_KEY", guarded.keys["admin"])
    with QuorumClient(guarded.url) as client:
        assert client.settings().settings


def test_refusals_on_openais_routes_are_in_its_form(guarded: Guarded) -> None:
    with guarded.http() as http:
        told = http.get("/v1/models").json()
    assert told["error"]["type"] == "authentication_error"


def test_each_key_has_its_rate(guarded: Guarded) -> None:
    key, text = make_key("busy", frozenset({Scope.SOLVE}))
    guarded.file.add(key)
    guarded.keys["busy"] = text
    with guarded.http("busy") as http, guarded.http("solve") as other:
        while (reply := http.get("/v1/policies")).status_code == 401:
            pass  # until the server has looked at the file
        found = [http.get("/v1/policies") for _ in range(70)]
        assert reply.status_code == 200
        limited = [reply for reply in found if reply.status_code == 429]
        assert limited
        assert int(limited[0].headers["retry-after"]) >= 1
        assert other.get("/v1/policies").status_code == 200


class TestBrowser:
    def log_in(self, http: httpx.Client, key: str, after: str = "/") -> httpx.Response:
        return http.post("/login", data={"key": key, "next": after})

    def test_a_page_leads_to_the_form_and_back(self, guarded: Guarded) -> None:
        with guarded.http(Accept="text/html") as http:
            sent = http.get("/anywhere?a=b")
            assert sent.status_code == 303
            assert sent.headers["location"] == "/login?next=%2Fanywhere%3Fa%3Db"
            form = http.get(sent.headers["location"])
            assert 'value="/anywhere?a=b"' in form.text
            assert "frame-ancestors 'none'" in form.headers["content-security-policy"]
            back = self.log_in(http, guarded.keys["solve"], "/anywhere?a=b")
            assert (back.status_code, back.headers["location"]) == (303, "/anywhere?a=b")
            cookie = back.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert guarded.keys["solve"] not in cookie
            assert http.get("/v1/policies").status_code == 200
            assert http.get("/v1/settings").status_code == 403

    def test_a_key_that_cannot_see_the_page_is_told_so(self, guarded: Guarded) -> None:
        with guarded.http() as http:
            reply = self.log_in(http, guarded.keys["sandbox"], "/runs")
            assert reply.status_code == 403
            assert "is for sandbox: it must be for admin or solve" in reply.text
            assert "set-cookie" not in reply.headers
            assert self.log_in(http, guarded.keys["sandbox"], "/metrics").status_code == 303
            # Another key can be given, where that one does not lead to.
            form = http.get("/login?next=/runs")
            assert (form.status_code, 'name="key"' in form.text) == (200, True)
            assert self.log_in(http, guarded.keys["solve"], "/runs").headers["location"] == "/runs"
            assert http.get("/login?next=/runs").headers["location"] == "/runs"

    @pytest.mark.parametrize(
        ("headers", "again"),
        [
            ({"Sec-Fetch-Site": "cross-site"}, True),
            ({"Sec-Fetch-Site": "same-origin", "Referer": "https://elsewhere.example/"}, False),
            ({"Sec-Fetch-Site": "none"}, False),
            ({"Referer": "https://elsewhere.example/x"}, True),
            ({"Referer": "{url}/login"}, False),
            ({"Referer": "nonsense"}, False),
        ],
    )
    def test_a_link_from_elsewhere_comes_again_from_here(
        self, guarded: Guarded, headers: dict[str, str], again: bool
    ) -> None:
        """A browser keeps the cookie back from what another site's page leads to."""
        own = {name: value.format(url=guarded.url) for name, value in headers.items()}
        with guarded.http(**own) as http:
            text = http.get("/login", params={"next": '/runs?a=b&c="<'}).text
        assert ('content="0; url=/login?next=%2Fruns%3Fa%3Db%26c%3D%22%3C"' in text) is again
        assert ('name="key"' in text) is not again

    def test_logging_out_ends_it(self, guarded: Guarded) -> None:
        with guarded.http() as http:
            self.log_in(http, guarded.keys["solve"])
            stolen = dict(http.cookies)
            http.post("/logout")
            assert http.get("/v1/policies").status_code == 401
            http.cookies.update(stolen)
            assert http.get("/v1/policies").status_code == 401

    def test_a_wrong_key_gets_the_form_again(self, guarded: Guarded) -> None:
        with guarded.http() as http:
            reply = self.log_in(http, "<script>alert(1)</script>")
        assert reply.status_code == 401
        assert "unknown" in reply.text
        assert "<script>" not in reply.text
        assert "set-cookie" not in reply.headers

    @pytest.mark.parametrize(
        "after", ["https://evil.example", "//evil.example", "/\\evil.example", "/\n/evil", "evil"]
    )
    def test_it_leads_nowhere_else(self, guarded: Guarded, after: str) -> None:
        with guarded.http() as http:
            assert self.log_in(http, guarded.keys["solve"], after).headers["location"] == "/"

    def test_pages_of_others_cannot_use_the_cookie(self, guarded: Guarded) -> None:
        with guarded.http() as http:
            self.log_in(http, guarded.keys["solve"])
            for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
                reply = http.get("/v1/policies", headers={"Origin": origin})
                assert reply.status_code == 403
            own = str(httpx.URL(guarded.url)).rstrip("/")
            assert http.get("/v1/policies", headers={"Origin": own}).status_code == 200


def test_large_headers(guarded: Guarded) -> None:
    with guarded.http("solve", Large="x" * 40_000) as http:
        reply = http.get("/v1/policies")
    assert reply.status_code == 431
    assert "at most 32768" in reply.json()["detail"]


def test_cors_is_closed_and_answers_protect(guarded: Guarded) -> None:
    with guarded.http("solve") as http:
        reply = http.get("/v1/policies")
        preflight = http.options("/v1/policies", headers={"Access-Control-Request-Method": "GET"})
    assert preflight.status_code == 405
    for each in (reply, preflight):
        assert not [name for name in each.headers if name.startswith("access-control-")]
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["content-security-policy"].startswith("default-src 'none'")
        assert each.headers["x-request-id"].startswith("req-")
