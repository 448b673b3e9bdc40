"""One gateway for all tests of the API; each must leave it idle."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.sections.gateway import GatewaySettings
from server.sections.journal import JournalSettings
from server.sections.solve import SolveSettings
from server.settings import Settings
from server.vocabulary import Vocabulary
from tests.server.api.gateway import Gateway, serving, wait_until
from tests.server.api.sandbox_gateway import SandboxGateway, serving_sandbox
from tests.server.solve.plain_logs import plain_logs
from tests.server.vocabulary import tiny_models


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model is, and the journal of the gateway."""
    folder = tmp_path_factory.mktemp("api")
    path = folder / "tiny.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    return folder


@pytest.fixture(scope="session")
def vocabulary(folder: Path) -> Vocabulary:
    return Vocabulary.load(folder / "tiny.gguf")


@pytest.fixture(scope="session")
def running_gateway(vocabulary: Vocabulary, folder: Path) -> Iterator[Gateway]:
    settings = Settings(
        journal=JournalSettings(path=str(folder / "journal.sqlite")),
        gateway=GatewaySettings(max_running=2, max_queued=1, max_body_bytes=64 * 1024),
        solve=SolveSettings(attempts=2, agree=2, time_limit_s=30.0, max_tokens=100_000),
    )
    with plain_logs(), serving(vocabulary, settings, folder) as gateway:
        yield gateway


@pytest.fixture
def gateway(running_gateway: Gateway) -> Iterator[Gateway]:
    running_gateway.wait_until(running_gateway.idle)
    yield running_gateway
    running_gateway.wait_until(running_gateway.idle)


@pytest.fixture
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=20.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[SandboxGateway]:
    with plain_logs(), serving_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: SandboxGateway) -> Iterator[SandboxGateway]:
    wait_until(running_sandbox.idle)
    yield running_sandbox
    wait_until(running_sandbox.idle)


@pytest.fixture
def sandbox_http(sandbox: SandboxGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, timeout=20.0, trust_env=False) as client:
        yield client
