"""A real server with a rehearsed model for all tests of evaluations: its start takes seconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from huggingface_hub import constants

from server.engine.rehearsal.problems import synthetic
from tests.integration.serving import serving

#: Problems of the rehearsed set, and attempts at each.
PROBLEMS = 4
ATTEMPTS = 4


@dataclass(frozen=True)
class Rehearsal:
    """Where the server listens, its journal, and a file of problems with right answers."""

    url: str
    journal: Path
    problems: Path


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("evaluation")
    problems = folder / "rehearsed.jsonl"
    rows = synthetic(PROBLEMS, seed=3)
    problems.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b"\n")
    journal = folder / "journal.db"
    settings = ("--engine-kind", "rehearsal", "--journal-path", str(journal))
    with serving(Path("harmony"), folder, *settings) as server:
        server.wait_ready()
        yield Rehearsal(server.url, journal, problems)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "cache"
