"""The server that training asks."""

from collections.abc import Iterator

import pytest

from tests.docs.gateway import running_gateway


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real gateway with a scripted model and real kernels for all of training's tests."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as served:
        yield served
