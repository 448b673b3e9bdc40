"""A hub on this machine: one dataset's files over real HTTP, as huggingface_hub asks for them."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Hub:
    """`files` by path; `cut` is where the body of a file ends too early, None nowhere."""

    repo: str
    files: dict[str, bytes]
    url: str = ""
    cut: int | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr(self.files).encode(), usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.asked.append(f"{self.command} {path}")
        prefix = f"/datasets/{self.hub.repo}/resolve/"
        name = path.removeprefix(prefix).partition("/")[2]
        if path.startswith(f"/api/datasets/{self.hub.repo}"):
            self._send(200, json.dumps(self._listing(path)).encode(), {}, body=True)
        elif path.startswith(prefix) and name in self.hub.files:
            content = self.hub.files[name]
            etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.hub.commit}
            self._send(200, content, headers, body=body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)

    def _listing(self, path: str) -> object:
        if "/tree/" in path:
            return [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in self.hub.files.items()
            ]
        siblings = [{"rfilename": name} for name in self.hub.files]
        return {"id": self.hub.repo, "sha": self.hub.commit, "siblings": siblings}

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.hub.cut is not None and "/resolve/" in self.path:
            self.wfile.write(content[: self.hub.cut])
            self.close_connection = True
        elif body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


@contextmanager
def hub(repo: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve a dataset on a free port."""
    double = Hub(repo, files)
    handler = type("OwnHandler", (Handler,), {"hub": double})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
