"""Asks `quorum doctor` of a new environment what it finds, under a session's settings."""

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

#: Beside the session's answers, where the run report finds it.
FILE = "doctor.json"
#: A kernel's start and a confinement's probes: 12 s on two busy cores.
LIMIT_S = 60.0
#: What it says of llama.cpp is of no use to other engines; the session's port is another.
_OF_LLAMACPP = frozenset({"engine", "weights"})
_NEVER = frozenset({"port"})


def keep_findings(python: Path, server: Mapping[str, object], path: Path) -> None:
    """Write the findings to a file; none are written where the doctor cannot be asked.

    `server` are settings of the server by their dotted names.
    """
    settings = {
        f"QUORUM_{name.replace('.', '_').upper()}": str(value) for name, value in server.items()
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), "-P", "-m", "client.main", "doctor", "--json"]
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, check=False, capture_output=True, timeout=LIMIT_S,
            stdin=subprocess.DEVNULL, env={**environment, **settings},
        )  # fmt: skip
        found = json.loads(done.stdout)
        left_out = _NEVER
        if server.get("engine.kind", "llamacpp") != "llamacpp":
            left_out = left_out | _OF_LLAMACPP
        kept = [each for each in found if each["subject"] not in left_out]
        path.write_text(json.dumps(kept), encoding="utf-8")
