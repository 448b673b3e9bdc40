"""The hub source against a real HTTP server."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from server.weights import PullFailed, pull
from server.weights.sources import Hub
from tests.server.weights.conftest import CONTENT, KNOWN

constants = pytest.importorskip(
    "huggingface_hub.constants", reason="needs huggingface_hub (extra: embedded)"
)


class Handler(BaseHTTPRequestHandler):
    """Serves the tiny weights as the hub does: `/<repository>/resolve/main/<file>`."""

    honours_range = True
    status = 200
    sent = CONTENT
    ranges: list[str | None]

    def do_GET(self) -> None:
        self.ranges.append(self.headers["Range"])
        start = 0
        status = self.status
        if self.headers["Range"] and self.honours_range and status == 200:
            start, status = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
        self.send_response(status if self.path == "/someone/tiny/resolve/main/tiny.gguf" else 404)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(self.sent[start:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def hub(handler: type[BaseHTTPRequestHandler]) -> Iterator[Hub]:
    if issubclass(handler, Handler):
        handler.ranges = []
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Hub(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def start_of(folder: Path, count: int) -> None:
    """Leave what a pull leaves that was stopped after `count` bytes."""
    folder.mkdir(parents=True)
    (folder / "tiny.gguf.partial").write_bytes(CONTENT[:count])


def test_the_file_is_fetched(folder: Path) -> None:
    with hub(Handler) as source:
        fetched = pull("tiny", folder=folder, known=KNOWN, sources=[source])
    assert fetched.read_bytes() == CONTENT
    assert Handler.ranges == [None]


def test_a_stopped_download_goes_on(folder: Path) -> None:
    start_of(folder, 50_000)
    with hub(Handler) as source:
        fetched = pull("tiny", folder=folder, known=KNOWN, sources=[source])
    assert fetched.read_bytes() == CONTENT
    assert Handler.ranges == ["bytes=50000-"]


def test_a_server_without_ranges_will_do(folder: Path) -> None:
    class Whole(Handler):
        honours_range = False

    start_of(folder, 50_000)
    with hub(Whole) as source:
        fetched = pull("tiny", folder=folder, known=KNOWN, sources=[source])
    assert fetched.read_bytes() == CONTENT


def test_an_answer_that_begins_too_late_does_not_spoil_what_is_here(folder: Path) -> None:
    class Late(Handler):
        """Gives a stretch after the one that was asked for."""

        def do_GET(self) -> None:
            start = 70_000
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:])

    start_of(folder, 50_000)
    with (
        hub(Late) as source,
        pytest.raises(PullFailed, match="begins at byte 70,000, not at 50,000"),
    ):
        pull("tiny", folder=folder, known=KNOWN, sources=[source])
    assert (folder / "tiny.gguf.partial").read_bytes() == CONTENT[:50_000]


def test_a_line_that_breaks_keeps_what_came(folder: Path) -> None:
    class Broken(Handler):
        sent = CONTENT[:60_000]

    with hub(Broken) as source, pytest.raises(PullFailed, match=r"60\.0 kB are kept"):
        pull("tiny", folder=folder, known=KNOWN, sources=[source])
    assert (folder / "tiny.gguf.partial").read_bytes() == CONTENT[:60_000]


def test_what_has_another_size_does_not_spoil_the_next_sources_bytes(folder: Path) -> None:
    class Portal(BaseHTTPRequestHandler):
        """A network's page for guests, in the place of whatever is asked for."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "20")
            self.end_headers()
            self.wfile.write(b"<p>Please log in</p>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    with hub(Portal) as portal, hub(Handler) as source:
        fetched = pull("tiny", folder=folder, known=KNOWN, sources=[portal, source])
    assert fetched.read_bytes() == CONTENT
    assert Handler.ranges == [None]
    with hub(Portal) as portal, pytest.raises(PullFailed, match="hub: offers 20 bytes where"):
        pull("tiny", folder=folder / "other", known=KNOWN, sources=[portal])


def test_a_refusal_is_told(folder: Path) -> None:
    class Refusing(Handler):
        status = 403

    with hub(Refusing) as source, pytest.raises(PullFailed, match="Hugging Face hub: answers 403"):
        pull("tiny", folder=folder, known=KNOWN, sources=[source])


def test_no_hub_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(Handler) as source:
        pass  # nobody listens there any more
    with pytest.raises(PullFailed, match="Hugging Face hub: cannot be reached"):
        pull("tiny", folder=folder, known=KNOWN, sources=[source])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PullFailed, match="Hugging Face hub: switched off by HF_HUB_OFFLINE"):
        pull("tiny", folder=folder, known=KNOWN, sources=[source])
