"""The page in headless Chromium: first view, a live event's way to the screen, a long attempt.

Needs Debian's chromium. With `--shots FOLDER` it writes a picture of each view, in three forms.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import structlog
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page_stories import LONG_TOKENS
from benchmarks.page_world import World, tell
from benchmarks.report import Result, finish, print_table
from server.engine.scripted import Step, StreamRequest
from server.sections.journal import JournalSettings
from server.sections.solve import SolveSettings
from server.settings import Settings, load_settings
from server.vocabulary import Vocabulary
from server.weights import resolve

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
LONG = "/solves/solve-long/attempts/0/tokens"
PROBLEM = "How many positive integers less than $10000$ have digits that add up to $17$?"
FORMS: dict[str, dict[str, object]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}
#: When the first content was drawn, in milliseconds since the navigation began.
FIRST_PAINT = """() => new Promise((tell) => new PerformanceObserver((list) => {
    const paint = list.getEntriesByName("first-contentful-paint")[0];
    if (paint) tell(paint.startTime) }).observe({ type: "paint", buffered: true }))"""
#: Milliseconds since 1970 at which the frame was drawn that shows each marker in a lane.
WATCH = """() => { window.seen = {}; new MutationObserver(() => requestAnimationFrame(() => {
    const text = document.querySelector(".stream")?.textContent ?? "";
    for (const [mark] of text.matchAll(/m\\d+\\./g)) window.seen[mark] ??= Date.now();
    })).observe(document.getElementById("lanes"), { childList: true, subtree: true,
    characterData: true }) }"""
#: Scrolls through the whole view in so many steps; tells each step's milliseconds until the middle
#: of the screen shows tokens, and the longest of its frames.
SCROLL = """async (steps) => {
    const told = [], frame = () => new Promise(requestAnimationFrame);
    const filled = () => { const at = document.elementFromPoint(300, innerHeight / 2);
        return (at?.closest(".chunk")?.childElementCount ?? 0) > 0 };
    for (let step = 1; step <= steps; step += 1) {
        const begun = performance.now(); let last = begun, longest = 0;
        const height = document.documentElement.scrollHeight - innerHeight;
        scrollTo({ top: height * step / steps, behavior: "instant" });
        do { await frame(); const now = performance.now();
             longest = Math.max(longest, now - last); last = now } while (!filled());
        told.push([last - begun, longest]) }
    return told }"""
MARKS = 40


def first_views(browser: Browser, url: str, rounds: int) -> dict[str, float]:
    """Return the median time to the first content of views, nothing cached, in seconds."""
    solve = newest(url)
    views = {
        "home": "/", "solve": solve, "attempt": f"{solve}/attempts/0",
        "tokens": f"{solve}/attempts/0/tokens", "long attempt": LONG.removesuffix("/tokens"),
        "long tokens": LONG, "board": "/runs/contest",
    }  # fmt: skip
    told: dict[str, list[float]] = {name: [] for name in views}
    for _ in range(rounds):
        for name, path in views.items():
            context = browser.new_context()
            page = context.new_page()
            page.goto(url + path)
            told[name].append(page.evaluate(FIRST_PAINT) / 1000)
            context.close()
    return {name: statistics.median(times) for name, times in told.items()}


def newest(url: str) -> str:
    """Return the path of a solve of the record."""
    rows = httpx.get(f"{url}/v1/solves?limit=50", trust_env=False).json()["solves"]
    return f"/solves/{next(row['solve_id'] for row in rows if row['problem_id'] == 'digits')}"


def live_delays(page: Page, world: World) -> list[float]:
    """Return how long events took from the solve loop to the screen, in seconds."""
    sent: dict[str, float] = {}

    def script(request: StreamRequest) -> Iterator[Step]:
        del request
        for number in range(MARKS):
            mark = f"m{number}."
            sent[mark] = time.time()
            yield world.vocabulary.encode(f"{mark} ")
            # As at 50 tokens a second: text is sent with the next one that is due.
            for token_id in world.vocabulary.encode("and so on, as far as it goes, to the end; "):
                yield world.pause(0.02)
                yield [token_id]
        yield world.vocabulary.encode("So the answer is \\boxed{660}.")
        yield [world.vocabulary.control("<|im_end|>")]

    world.script = script
    page.goto(world.url)
    page.get_by_label("A problem").fill(PROBLEM)
    page.get_by_text("Options").click()
    page.get_by_label("Attempts").fill("1")
    page.get_by_role("button", name="Solve").click()
    page.wait_for_selector("#lanes")
    page.evaluate(WATCH)
    page.wait_for_function("() => document.getElementById('answer').textContent === '660'")
    seen: dict[str, float] = page.evaluate("window.seen")
    world.script = world.paced
    # The first ones were drawn by the server, before the watch began.
    late = [mark for mark in sent if int(mark[1:-1]) >= 4]
    return [seen[mark] / 1000 - sent[mark] for mark in late]


def scrolled(page: Page, url: str, steps: int) -> list[list[float]]:
    """Return for each jump through the long attempt its seconds until tokens are there."""
    page.goto(url + LONG)
    page.wait_for_selector("#tokens .chunk span")
    told: list[list[float]] = page.evaluate(SCROLL, steps)
    return [[value / 1000 for value in step] for step in told]


def shoot(browser: Browser, world: World, folder: Path) -> None:
    """Write a picture of each view, in each form."""
    folder.mkdir(parents=True, exist_ok=True)
    solve = newest(world.url)
    solve_id = solve.removeprefix("/solves/")
    views = {
        "home": "/", "solve": solve, "attempt": f"{solve}/attempts/0",
        "tokens": f"{solve}/attempts/0/tokens#t=60",
        "compare": f"/compare?a={solve_id}:0&b={solve_id}:2", "board": "/runs/contest",
        "runs": "/runs", "label": f"{solve}/attempts/0/label", "none": "/solves/none",
    }  # fmt: skip
    for form, options in FORMS.items():
        page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
        for name, path in views.items():
            page.goto(world.url + path)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"page-{name}-{form}.png")
        page.goto(world.url)
        page.get_by_label("A problem").fill(PROBLEM)
        page.get_by_role("button", name="Solve").click()
        page.wait_for_function("() => document.querySelectorAll('.stream math').length > 8")
        page.screenshot(path=folder / f"page-live-{form}.png")
        page.get_by_role("button", name="Cancel").click()
        page.context.close()


def measure(world: World, rounds: int, shots: Path | None) -> list[Result]:
    """Return the figures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        if shots is not None:
            shoot(browser, world, shots)
            finish([])
        views = first_views(browser, world.url, rounds)
        page = browser.new_context(**FORMS["desktop"]).new_page()  # type: ignore[arg-type]
        delays = live_delays(page, world)
        steps = scrolled(page, world.url, 40)
        browser.close()
    print_table(
        f"First content, nothing cached, median of {rounds}",
        ["view", "seconds"],
        [(name, f"{seconds:.3f}") for name, seconds in views.items()],
    )
    waits = sorted(step[0] for step in steps)
    rows = [
        ("sampled token to screen", f"{statistics.median(delays):.3f}", f"{max(delays):.3f}"),
        (
            f"jump within {LONG_TOKENS} tokens",
            f"{statistics.median(waits):.3f}",
            f"{waits[-1]:.3f}",
        ),
    ]
    print_table("Seconds", ["what", "median", "worst"], rows)
    return [
        Result("first_view", max(views.values()), "s", most=1.0),
        Result("live_event_p95", quantile(delays, 0.95), "s", most=0.3),
        Result("long_attempt_jump", statistics.median(waits), "s", most=0.3),
        Result("long_attempt_frame", statistics.median(step[1] for step in steps), "s", most=0.1),
    ]


def quantile(values: list[float], share: float) -> float:
    """Return the value that a share of them does not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shots", type=Path, help="only write pictures, to this folder")
    options = parser.parse_args()
    if not CHROMIUM.exists():
        raise SystemExit(f"{CHROMIUM}: is not there; apt-get install chromium")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    vocabulary = Vocabulary.load(resolve(load_settings().engine.model))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        anyio.run(lambda: tell(path, vocabulary, long=True))
        settings = Settings(
            journal=JournalSettings(path=str(path)),
            solve=SolveSettings(attempts=4, agree=3, time_limit_s=120.0),
        )
        world = World(Path(folder), vocabulary, settings)
        with world.serving():
            results = measure(world, options.rounds, options.shots)
    finish(results)


if __name__ == "__main__":
    main()
