"""A server that misbehaves on command, as `quorum serve` would: for faults at an exact point.

python -m tests.kaggle_notebook.misbehaving_server FAULT --ready-fd N --parent-fd N …
"""

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STARTED = {"type": "solve.started", "solve_id": "s1", "time_limit_s": 0.3}
TEXT = {"type": "attempt.text", "solve_id": "s1", "attempt": 0, "text": "So \\boxed{5}"}
PRINTED = {"type": "attempt.result", "solve_id": "s1", "status": "ok", "output": "17\n"}
BALLOT = {
    "type": "ballot", "solve_id": "s1", "lines": [{"answer": "9", "weight": 1.0, "votes": 1}],
}  # fmt: skip
HASTY = {"type": "solve.finished", "solve_id": "s1", "result": {"answer": None, "end": "deadline"}}
PATIENT = {
    "type": "solve.finished",
    "solve_id": "s2",
    "result": {"answer": "21", "end": "agreement"},
}
#: What is sent of a solve before the fault.
BEFORE: dict[str, list[dict[str, Any]]] = {
    "stall": [STARTED, PRINTED, TEXT, BALLOT],
    "stall-boxed": [STARTED, PRINTED, TEXT],
    "stall-printed": [STARTED, PRINTED],
    "stall-at-once": [],
    "cut": [STARTED, BALLOT],
    "trickle": [STARTED, BALLOT],
    "garbage": [STARTED, BALLOT],
    "die": [STARTED, BALLOT],
    "fallback": [STARTED],
    "overtime": [STARTED, BALLOT],
    "picky": [STARTED, PATIENT],
    "forgetful": [STARTED, PATIENT],
}


class Handler(BaseHTTPRequestHandler):
    """Answers as the fault of the server says."""

    fault = ""
    opened = 0
    """How often the run was opened."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        if self.fault == "mute":
            time.sleep(60)
        ready = self.fault != "never-ready"
        state = "ready" if ready else "up"
        if self.fault == "gives-up":
            ready, state = False, "failed"
        engine = {"ready": ready, "state": state, "detail": "" if ready else "3 of 12 GB are read"}
        status = {"ready": ready, "engine": engine}
        self._json(200 if ready else 503, status)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.fault == "hasty":
            again = b"time_limit_s" in body and json.loads(body)["again"]
            BEFORE["hasty"] = [STARTED, PATIENT if again else HASTY]
        with_runs = ("hasty", "picky", "stall", "forgetful")
        if self.fault in with_runs and self.path.startswith("/v1/runs"):
            Handler.opened += self.path == "/v1/runs"
            if self.path.endswith("/answers"):
                with Path("told.jsonl").open("ab") as file:
                    file.write(body + b"\n")
            if self.path.endswith("/finish"):
                Path("finished").touch()
            self._json(201, {"id": "a run"})
        elif self.path != "/v1/solves":
            self._json(404, {"detail": "no such route"})
        elif self.fault == "forgetful" and (self.opened < 2 or b'"run"' not in body):
            self._json(404 if self.opened < 2 else 422, {"detail": "there is no such run"})
        elif self.fault == "refuse" or (self.fault == "picky" and b"max_turns" in body):
            self._json(422, {"detail": "the problem is no problem"})
        elif self.fault == "busy":
            self._json(429, {"detail": "too many"})
        else:
            self._stream()

    def do_DELETE(self) -> None:
        with Path("deleted").open("a") as file:
            file.write(f"{self.path}\n")
        self._json(404, {"detail": "no such solve"})

    def _json(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in BEFORE[self.fault]:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.flush()
        self._break()

    def _break(self) -> None:
        if self.fault == "die":
            os._exit(3)
        if self.fault == "fallback":
            os.kill(os.getpid(), 9)
        if self.fault == "cut":
            self.connection.shutdown(2)
            return
        while self.fault not in ("hasty", "picky", "forgetful"):
            if self.fault == "trickle":
                self.wfile.write(b":")
            elif self.fault == "garbage":
                self.wfile.write(b"data: {\xff[garbage\n\n" * 100)
            elif self.fault == "overtime":
                self.wfile.write(b": a sign of life\n\n")
            self.wfile.flush()
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("fault")
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--parent-fd", type=int, required=True)
    options, _ = parser.parse_known_args()
    if options.fault == "no-start":
        sys.exit("no such engine.\n")
    Handler.fault = options.fault
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    os.write(options.ready_fd, json.dumps({"url": url, "pid": os.getpid()}).encode() + b"\n")
    os.close(options.ready_fd)
    Path("pid").write_text(str(os.getpid()))
    os.read(options.parent_fd, 1)


if __name__ == "__main__":
    main()
