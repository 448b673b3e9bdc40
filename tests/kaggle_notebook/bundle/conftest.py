"""An index of tiny wheels, which pip is told of as a user's settings would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kaggle_notebook.inputs import make_index


@pytest.fixture(scope="session")
def made_index(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The index's folder, and the project's wheel."""
    folder = tmp_path_factory.mktemp("packages") / "index"
    return folder, make_index(folder)


@pytest.fixture
def index(made_index: tuple[Path, Path]) -> Iterator[Path]:
    """The only index that pip knows: its settings lead to it."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(made_index[0]))
    yield made_index[0]
    patch.undo()


@pytest.fixture
def project(index: Path, made_index: tuple[Path, Path]) -> Path:
    """The project's wheel; its dependencies are in the index."""
    del index
    return made_index[1]
