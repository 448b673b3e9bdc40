"""A stage for rehearsals, shared by the tests of a module."""

from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.pool import KernelPool
from server.dialect.catalogue import open_dialect
from server.vocabulary import Vocabulary
from tests.sandbox.pools import lean_settings
from tests.server.solve.plain_logs import plain_logs
from tests.server.solve.rehearsal import Stage
from tests.server.vocabulary import tiny_models


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp("solve") / "tiny.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    return Vocabulary.load(path)


@pytest.fixture(scope="module", autouse=True)
def logs() -> Iterator[None]:
    with plain_logs():
        yield


@pytest.fixture(scope="module")
async def stage(vocabulary: Vocabulary) -> AsyncIterator[Stage]:
    async with KernelPool(lean_settings(kernels=2, spares=2)) as pool:
        yield Stage(vocabulary, open_dialect("auto", vocabulary), pool)
