"""Kaggle's API on this machine: what its package sends is taken, kept, and refused at will.

The package sends to http://localhost when it is told so; a proxy in the environment leads that
here, to any port.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

Reply = tuple[int, dict[str, Any]]


@dataclass
class KaggleDouble:
    """What was sent, what is there, and which refusals are still to come, by path's end."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, list[str]] = field(default_factory=dict)
    models: dict[str, list[str]] = field(default_factory=dict)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    cut_uploads: int = 0
    lost_file: str = ""
    kernel: dict[str, Any] = field(
        default_factory=lambda: {"url": "/code/me/q", "versionNumber": 3}
    )

    def names_called(self) -> list[str]:
        """The names of the calls, in order."""
        return [name for name, _ in self.calls]

    def answer(self, name: str, body: dict[str, Any]) -> Reply:
        """Answer one call of the API."""
        self.calls.append((name, body))
        waiting = self.refusals.get(name)
        if waiting:
            return waiting.pop(0), {"message": f"refused {name}"}
        handler = getattr(self, f"on_{name}", None)
        return handler(body) if handler else (404, {"message": f"no {name}"})

    def on_StartBlobUpload(self, body: dict[str, Any]) -> Reply:  # noqa: N802 - the API's names
        token = f"token{len(self.names)}"
        self.names[token] = body["name"]
        return 200, {"token": token, "createUrl": f"http://localhost/upload/{token}?secret=grant"}

    def on_GetDatasetStatus(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        if _reference(body) not in self.datasets:
            return 404, {"message": "not found"}
        return 200, {"status": self.statuses.pop(0) if self.statuses else "READY"}

    def on_CreateDataset(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['slug']}"
        self.datasets[name] = self._files(body)
        return 200, {"status": "ok", "url": f"/datasets/{name}", "error": ""}

    def on_CreateDatasetVersion(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        self.datasets[_reference(body)] = self._files(body["body"])
        return 200, {"status": "ok", "url": f"/datasets/{_reference(body)}/2", "error": ""}

    def on_ListDatasetFiles(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        names = self.datasets[_reference(body)]
        kept = [name for name in names if name != self.lost_file]
        return 200, {"datasetFiles": [{"name": name, "totalBytes": 1} for name in kept]}

    def on_SaveKernel(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        del body
        return 200, self.kernel

    def on_GetKernelSessionStatus(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        del body
        return 200, {"status": "ERROR", "failureMessage": "out of memory"}

    def on_GetModel(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['modelSlug']}"
        return (200, {"id": 1}) if name in self.models else (404, {"message": "not found"})

    def on_CreateModel(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        self.models[f"{body['ownerSlug']}/{body['slug']}"] = []
        return 200, {"id": 1, "url": "/models/m"}

    def on_GetModelInstance(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        there = self.models.get(f"{body['ownerSlug']}/{body['modelSlug']}")
        return (200, {"id": 2}) if there else (404, {"message": "not found"})

    def on_CreateModelInstance(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['modelSlug']}"
        self.models[name] = self._files(body["body"])
        return 200, {"id": 2, "url": "/models/m/t/v/1"}

    def on_CreateModelInstanceVersion(self, body: dict[str, Any]) -> Reply:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['modelSlug']}"
        self.models[name] = self._files(body["body"])
        return 200, {"id": 2, "url": "/models/m/t/v/2"}

    def _files(self, body: dict[str, Any]) -> list[str]:
        return [self.names[each["token"]] for each in body["files"]]

    def upload(self, token: str, content: bytes, content_range: str) -> tuple[int, dict[str, str]]:
        """Take a part of a file, as a resumable upload does."""
        have = self.blobs.get(token, b"")
        asked = re.fullmatch(r"bytes \*/(\d+)", content_range)
        if asked:
            if len(have) == int(asked[1]):
                return 200, {}
            return 308, {"Range": f"bytes=0-{len(have) - 1}"} if have else {}
        if self.cut_uploads:
            self.cut_uploads -= 1
            self.blobs[token] = have + content[: len(content) // 2]
            return 503, {}
        self.blobs[token] = have + content
        return 200, {}


def _reference(body: dict[str, Any]) -> str:
    return f"{body['ownerSlug']}/{body['datasetSlug']}"


class _Handler(BaseHTTPRequestHandler):
    double: ClassVar[KaggleDouble]

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.double.authorizations.add(self.headers.get("Authorization", ""))
        name = self.path.rpartition("/")[2]
        status, value = self.double.answer(name, json.loads(content or b"{}"))
        self._reply(status, {}, json.dumps(value).encode())

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.path.rpartition("/")[2].partition("?")[0]
        status, headers = self.double.upload(token, content, self.headers.get("Content-Range", ""))
        self._reply(status, headers, b"")

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def kaggle_double() -> Iterator[KaggleDouble]:
    """Serve a double on a free port."""
    double = KaggleDouble()
    handler = type("Handler", (_Handler,), {"double": double})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        double.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
