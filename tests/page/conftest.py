"""A page in a real browser: Debian's Chromium, headless, driven by Playwright."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from server.vocabulary import Vocabulary
from tests.server.journal.stories import solve_events
from tests.server.page.conftest import page_settings
from tests.server.page.hostile import hostile_solve
from tests.server.page.stories import long_solve
from tests.server.page.test_gaps import with_gap
from tests.server.page.world import World, page_world
from tests.server.solve.plain_logs import plain_logs
from tests.server.vocabulary import tiny_models

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
LONG_TOKENS = 100_000
#: How long a browser may take to show what it is told, in milliseconds: a busy machine is slow.
SHOWN_MS = 30_000
RUN = "contest"


# Playwright's blocking API keeps an event loop running in this thread for as long as it is open, in
# which no test of another module could run its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: apt-get install chromium")
    expect.set_options(timeout=SHOWN_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp("browser-vocabulary") / "tiny.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    return Vocabulary.load(path)


@pytest.fixture(scope="module")
def world(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, page_vocabulary: Vocabulary
) -> Iterator[World]:
    """A record with a hostile solve, and one of 100,000 tokens."""
    del browser
    folder = tmp_path_factory.mktemp("browser")
    with plain_logs(), page_world(folder, page_vocabulary, page_settings(folder)) as world:
        world.tell(partial(solve_events, "solve-a"))
        world.tell(hostile_solve)
        world.tell(partial(with_gap, attempt=1))
        world.tell(partial(long_solve, vocabulary=page_vocabulary, tokens=LONG_TOKENS))
        short = partial(long_solve, vocabulary=page_vocabulary, tokens=600, name="solve-short")
        world.tell(partial(short, end="\n\n"))
        fill_board(world.url)
        yield world


def fill_board(url: str) -> None:
    """Solve two problems of a run, one of which has a true answer to compare with."""
    with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as http:
        asked = {"id": RUN, "name": "A contest", "problems": 3, "limit_s": 600}
        http.post("/v1/runs", json=asked).raise_for_status()
        for name in ("name of solve-a", "a name that is so long that a narrow screen has no room"):
            asked = {"run": RUN, "problem_id": name, "problem": "What is 6 * 7?"}
            http.post("/v1/solves", json=asked).raise_for_status()


@pytest.fixture
def page(browser: Browser, world: World) -> Iterator[Page]:
    """A tab whose scripts must not complain, at the address of the world."""
    context = browser.new_context(base_url=world.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []
