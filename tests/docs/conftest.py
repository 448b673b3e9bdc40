"""The server that the documentation's examples ask."""

from collections.abc import Iterator

import pytest

from tests.docs.gateway import running_gateway


@pytest.fixture(scope="session")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real gateway with a scripted model for all pages: its kernels take seconds to start."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url
