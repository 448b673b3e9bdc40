"""What only a browser shows: scripts, policy, keys, scrolling, accessibility, narrow screens."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from server.journal.reader import JournalReader
from tests.page.conftest import LONG_TOKENS, RUN
from tests.server.api.gateway import wait_until
from tests.server.journal.stories import token_ids
from tests.server.page.hostile import SOLVE as HOSTILE_SOLVE
from tests.server.page.stories import LONG, PARAGRAPH
from tests.server.page.test_gaps import SOLVE as GAP_SOLVE
from tests.server.page.world import World

TOKENS = f"/solves/{LONG}/attempts/0/tokens"
VIEWS = [
    "/",
    "/solves/solve-a",
    f"/solves/{HOSTILE_SOLVE}",
    "/solves/solve-a/attempts/0",
    "/solves/solve-short/attempts/0/tokens#t=123",
    "/compare?a=solve-a:0&b=solve-a:1",
    "/runs",
    f"/runs/{RUN}",
    "/data",
    "/data/corpus.csv",
    "/data/corpus.jsonl",
    "/label",
    "/label/alternates.jsonl?at=0",
    "/solves/solve-short/attempts/0/label",
    # Of a model whose vocabulary the server has not.
    "/solves/solve-a/attempts/0/label",
]
#: Elements of a chunk of 500 tokens, with some room, times the chunks near a screen.
MOST_SPANS = 12_000


def test_solve_is_asked_for_followed_and_read(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_label("A problem").fill("What is 6 * 7? [wait]")
    page.get_by_role("button", name="Solve").click()
    page.wait_for_url(re.compile("/solves/solve-"))
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#lane-0 .stream")).to_contain_text("L")
    world.go()
    expect(page.locator("#answer")).to_have_text("42")
    expect(page.locator("#state")).to_have_text("agreed")
    expect(page.locator("#lane-0 .code pre")).to_have_text("print(6 * 7)")
    expect(page.locator("#lane-0 .output pre")).to_have_text(re.compile("42"))
    expect(page.locator("#bars .chosen .answer")).to_have_text("42")
    expect(page.locator("#cancel")).to_have_count(0)
    # What the script added is what the server renders of the same events.
    formulas = page.locator("#lane-0 .stream math").count()
    assert formulas >= 2
    before = page.locator("#lane-0 .stream").inner_text()
    page.reload()
    expect(page.locator("#lane-0 .stream math")).to_have_count(formulas)
    assert page.locator("#lane-0 .stream").inner_text() == before


def test_solve_is_cancelled_by_the_button(page: Page) -> None:
    page.goto("/")
    page.get_by_label("A problem").fill("What is 6 * 7? [wait]")
    page.get_by_role("button", name="Solve").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_have_text("cancelled")


def test_live_view_that_was_cut_off_says_so_and_finds_the_end(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_label("A problem").fill("What is 6 * 7? [wait]")
    # As where the solve has ended by the time that the browser comes back.
    page.route("**/feed?*", lambda route: route.fulfill(status=204))
    page.get_by_role("button", name="Solve").click()
    expect(page.locator("#state")).to_have_text("cut off")
    world.go()
    expect(page.locator("#answer")).to_have_text("42")
    expect(page.locator("#state")).to_have_text("agreed")


def hide(page: Page, hidden: bool) -> None:
    """Tell a tab's scripts that another one is before it, or no more."""
    page.evaluate(
        """(value) => { Object.defineProperty(document, "hidden", { value, configurable: true });
                        document.dispatchEvent(new Event("visibilitychange")) }""",
        hidden,
    )


def test_hidden_tab_keeps_no_connection_and_goes_on_when_it_is_shown(
    page: Page, world: World
) -> None:
    """A browser has six for all tabs of a server: the seventh live view would stop every other."""
    page.goto("/")
    page.get_by_label("A problem").fill("What is 6 * 7? [wait]")
    with page.expect_request("**/feed?*") as asked:
        page.get_by_role("button", name="Solve").click()
    expect(page.locator("#lane-0 .stream")).to_contain_text("L")
    with page.expect_event("requestfailed", lambda request: request == asked.value):
        hide(page, hidden=True)
    with page.expect_request("**/feed?*") as asked:
        hide(page, hidden=False)
    hide(page, hidden=True)
    world.go()
    wait_until(world.idle)
    hide(page, hidden=False)
    expect(page.locator("#answer")).to_have_text("42")
    expect(page.locator("#state")).to_have_text("agreed")
    expect(page.locator("#lane-0 .stream")).to_contain_text("I compute.")


def test_list_of_what_runs_changes_in_place(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_label("A problem").fill("What is 6 * 7? [wait]")
    page.get_by_role("button", name="Solve").click()
    page.wait_for_url(re.compile("/solves/solve-"))
    page.goto("/")
    link = page.locator("#live a")
    link.focus()
    same = link.element_handle()
    said = page.locator("#live .meta")
    before = said.inner_text()
    expect(said).not_to_have_text(before)
    assert same.evaluate("(node) => node.isConnected && document.activeElement === node")
    world.go()
    expect(said).to_have_text("ended · open it for its answer")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("42")


def test_notice_goes_when_a_server_without_a_journal_answers_again(page: Page) -> None:
    page.clock.install()
    # As where the journal is behind, and the server is then started again without one.
    late = {"journal": {"ready": False, "state": "behind", "detail": "full"}}
    page.route("**/ready", lambda route: route.fulfill(json=late))
    page.goto("/")
    notice = page.locator("#journal")
    page.clock.run_for(6_000)
    expect(notice).to_have_text("The journal is behind: full")
    page.unroute("**/ready")
    page.route("**/ready", lambda route: route.fulfill(json={"ready": True}))
    page.clock.run_for(6_000)
    expect(notice).to_be_hidden()


@pytest.mark.parametrize("width", [360, 720, 768, 1024, 1920])
@pytest.mark.parametrize("path", ["/", "/runs", "/data", "/label"])
def test_words_of_a_list_hold_together(page: Page, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(path)
    broken = """() => [...document.querySelectorAll(".list :is(th, td:not(.problem))")].filter(
        (cell) => {
        const text = [...cell.querySelectorAll("*"), cell].flatMap((each) => [...each.childNodes])
            .filter((node) => node.nodeType === Node.TEXT_NODE && /^\\s*\\w+\\s*$/.test(node.data));
        const range = document.createRange();
        return text.some((node) => {
            range.selectNodeContents(node);
            return new Set([...range.getClientRects()].map((box) => box.top)).size > 1;
        });
    }).map((cell) => cell.textContent)"""
    assert page.evaluate(broken) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_times_are_those_of_the_reader(browser: Browser, world: World) -> None:
    with JournalReader(world.settings.journal_path) as reader:
        created = reader.solve("solve-a").created
    zone = ZoneInfo("Asia/Kolkata")
    context = browser.new_context(base_url=world.url, timezone_id=zone.key, locale="de-DE")
    page = context.new_page()
    page.goto("/solves/solve-a")
    there = datetime.fromtimestamp(created, zone).strftime("%d %b %Y, %H:%M")
    expect(page.locator("time")).to_have_text(there)
    context.close()


def test_nothing_is_cut_on_paper(page: Page) -> None:
    page.goto(f"/solves/{HOSTILE_SOLVE}")
    page.emulate_media(media="print")
    cut = """() => [...document.querySelectorAll(".statement, .big, .stream")].filter(
        (node) => getComputedStyle(node).overflowY !== "visible" ||
            getComputedStyle(node).maxHeight !== "none" || node.style.height
    ).map((node) => node.className)"""
    assert page.evaluate(cut) == []
    assert not page.get_by_role("link", name="Save view").is_visible()


def test_hostile_text_does_nothing(page: Page) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    for path in (f"/solves/{HOSTILE_SOLVE}", f"/solves/{HOSTILE_SOLVE}/attempts/0", "/"):
        page.goto(path)
        page.mouse.move(300, 300)
        assert page.title() != "owned"
    assert dialogs == []
    assert page.locator("main img, main b, main iframe").count() == 0


def test_policy_forbids_markup_from_strings(browser: Browser, world: World) -> None:
    page = browser.new_page(base_url=world.url)
    page.goto("/")
    refused = """() => { try { document.body.innerHTML = "<b>x</b>"; return false }
                         catch (error) { return error instanceof TypeError } }"""
    assert page.evaluate(refused)
    page.context.close()


def test_attempt_is_labelled_with_keys(page: Page) -> None:
    page.goto("/solves/solve-short/attempts/0/label")
    page.get_by_label("Your name").fill("ann")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("s")
    page.keyboard.press("j")
    page.keyboard.press("m")
    expect(page.locator("#tag")).to_have_text("mistake")
    page.keyboard.type("it does not follow")
    page.keyboard.press("Enter")
    said = page.locator(".passage").nth(1).locator(".said li")
    expect(said).to_contain_text("mistake it does not follow")
    expect(said).to_contain_text("ann")
    begins = [page.locator(".passage").nth(place).get_attribute("data-begin") for place in (0, 1)]
    expect(said).to_contain_text(f"from {begins[0]}")
    # a part of a passage, by selecting it
    page.evaluate(
        """() => { const text = document.querySelectorAll(".passage .text")[1].firstChild;
                   getSelection().setBaseAndExtent(text, 0, text, 2) }"""
    )
    page.keyboard.press("i")
    page.keyboard.type("<b>new</b>")
    page.keyboard.press("Enter")
    expect(said).to_have_count(2)
    expect(said.nth(1)).to_contain_text("<b>new</b>")
    page.reload()
    expect(said).to_have_count(2)
    first, last = re.findall(r"\d+", said.nth(1).locator("a").inner_text())
    assert int(first) == int(begins[1] or 0)
    assert int(last) <= int(first) + 2
    page.locator(".passage").nth(1).focus()
    for left in (1, 0):
        page.keyboard.press("x")
        expect(said).to_have_count(left)


def test_continuations_are_compared_with_keys(page: Page) -> None:
    page.goto("/label/alternates.jsonl?at=0")
    lanes = page.locator("#continuations [data-item]")
    page.keyboard.press("j")
    page.keyboard.press("b")
    page.keyboard.press("j")
    page.keyboard.press("w")
    expect(lanes.nth(0).locator(".verdict")).to_have_text("better")
    expect(lanes.nth(1).locator(".verdict")).to_have_text("worse")
    expect(lanes.nth(2).locator(".verdict")).to_have_text("neutral")
    page.keyboard.press("s")
    page.keyboard.type("it checks")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"at=(?!0$)\d+"))
    told = page.evaluate("fetch('/v1/labels').then((answer) => answer.json())")
    assert sorted(label["tag"] for label in told["labels"]) == ["better", "neutral", "worse"]
    assert {label["reason"] for label in told["labels"]} == {"it checks"}


def test_hundred_thousand_tokens_scroll(page: Page) -> None:
    page.goto(TOKENS)
    expect(page.locator("#tokens .chunk").first).to_contain_text("We count the solutions")
    for share in (0.25, 0.5, 0.75, 1.0):
        page.evaluate(
            f"scrollTo({{top: document.body.scrollHeight * {share}, behavior: 'instant'}})"
        )
        page.wait_for_function(
            """() => { const found = document.elementFromPoint(300, innerHeight / 2);
                       return found?.closest(".chunk")?.childElementCount > 0 }"""
        )
        assert page.locator("#tokens span").count() < MOST_SPANS
    expect(page.locator("#tokens .chunk")).to_have_count(LONG_TOKENS // 500)


def test_link_leads_to_one_token(page: Page) -> None:
    page.goto(f"{TOKENS}#t=77777")
    token = page.locator('[data-at="77777"]')
    expect(token).to_have_class(re.compile(r"\bat\b"))
    expect(token).to_be_in_viewport()
    expect(page.locator("#token")).to_contain_text("77777")
    page.keyboard.press("n")
    expect(page.locator('[data-at="77778"]')).to_have_class(re.compile(r"\bat\b"))
    assert page.url.endswith("#t=77778")
    page.keyboard.press("p")
    page.keyboard.press("j")
    expect(page.locator("#token")).to_contain_text("80000")


def test_tokens_that_are_missing_have_places(page: Page) -> None:
    page.goto(f"/solves/{GAP_SOLVE}/attempts/1/tokens")
    missing = page.locator("#tokens .missing")
    expect(missing.first).to_be_visible()
    position = int(missing.last.get_attribute("data-at") or "")
    missing.last.click()
    expect(page.locator("#token")).to_have_text(f"Token {position} is missing from the journal.")
    page.keyboard.press("n")
    expect(page.locator("#token")).to_contain_text(str(token_ids(1)[position + 1]))
    # From turn to turn over them.
    page.keyboard.press("k")
    page.keyboard.press("j")
    expect(page.locator("#token dl")).to_be_visible()


def test_text_is_found_in_tokens(page: Page) -> None:
    page.goto(TOKENS)
    expect(page.locator("#tokens .chunk span").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("NAÏVE, SO 数学")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("1 of 1000")
    shown = page.locator("#tokens .chunk").first.inner_text()
    assert shown.startswith(PARAGRAPH.strip())


def test_keys_move_open_and_help(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("tr[data-item]").first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/solves/"))
    page.keyboard.press("g")
    page.wait_for_url(re.compile("/$"))
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("j?")
    expect(page.get_by_role("dialog")).not_to_be_visible()


def test_saved_view_is_the_one_that_is_shown(page: Page) -> None:
    page.goto("/?text=hostile&errors=1")
    link = page.get_by_role("link", name="Save view")
    assert link.get_attribute("href") == "/?text=hostile&errors=1&export=1"


@pytest.mark.parametrize("path", VIEWS)
def test_view_is_accessible_in_light_and_dark_and_fits_a_phone(page: Page, path: str) -> None:
    page.goto(path)
    if "#t=" in path:
        expect(page.locator("#token")).to_be_visible()
    assert serious(page, {}) == []
    page.emulate_media(color_scheme="dark")
    assert serious(page, {"runOnly": ["color-contrast"]}) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def serious(page: Page, options: dict[str, object]) -> list[tuple[str, list[str]]]:
    """Return what axe finds that keeps people out: the rule, and some elements."""
    return [
        (found["id"], [node["html"][:120] for node in found["nodes"][:3]])
        for found in Axe().run(page, options=options).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
