"""One page for all its tests, with a record of three solves, one of them hostile."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from server.sections.journal import JournalSettings
from server.sections.page import PageSettings
from server.sections.solve import SolveSettings
from server.settings import Settings
from server.vocabulary import Vocabulary
from tests.server.api.gateway import wait_until
from tests.server.journal.stories import options, solve_events
from tests.server.page.hostile import hostile_solve
from tests.server.page.training_folder import write_training
from tests.server.page.world import World, page_world
from tests.server.solve.plain_logs import plain_logs
from tests.server.vocabulary import tiny_models


@pytest.fixture(scope="session")
def tiny_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp("page-vocabulary") / "tiny.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    return Vocabulary.load(path)


def page_settings(folder: Path) -> Settings:
    """Return settings of a page over a folder."""
    write_training(folder / "training")
    return Settings(
        journal=JournalSettings(path=str(options(folder).path)),
        solve=SolveSettings(attempts=2, agree=2, time_limit_s=30.0, max_tokens=10_000),
        page=PageSettings(
            training=str(folder / "training"), answers=str(folder / "training" / "answers.csv")
        ),
    )


@pytest.fixture(scope="session")
def running_world(
    tmp_path_factory: pytest.TempPathFactory, tiny_vocabulary: Vocabulary
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("page")
    with plain_logs(), page_world(folder, tiny_vocabulary, page_settings(folder)) as world:
        world.tell(partial(solve_events, "solve-a"))
        world.tell(partial(solve_events, "solve-b", problem="Prove that $e$ is odd."))
        world.tell(hostile_solve)
        yield world


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    yield running_world
    wait_until(running_world.idle)


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.url, timeout=20.0, trust_env=False) as client:
        yield client
