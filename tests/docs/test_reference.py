"""The documentation says what the code does: generated parts, names, links, the import table."""

import re
from pathlib import Path

import pytest

from docs.command_tables import command_names
from docs.generate import pages, renewed, stale
from docs.meanings import MEANINGS
from docs.wire_tables import event_types, meaning_of, models
from server.settings import OTHER_VARIABLES, declared, declared_of_engine
from tests.docs.pages import PAGES, ROOT, anchors, blocks, links
from tests.test_imports import ALLOWED
from voting.strategies import STRATEGIES


def test_generated_parts_are_current() -> None:
    assert stale() == [], "run python -m docs.generate"


def test_stale_part_is_noticed() -> None:
    (page,) = [page for page in pages() if page.name == "settings.md"]
    text = page.read_text(encoding="utf-8")
    assert renewed(text.replace("`8642`", "`80`")) == text != text.replace("`8642`", "`80`")


def test_every_setting_strategy_and_event_is_in_the_reference() -> None:
    reference = "".join(
        p.read_text(encoding="utf-8") for p in PAGES if p.parent.name == "reference"
    )
    wanted = [setting.variable for setting in declared()] + list(STRATEGIES)
    wanted += [str(event.model_fields["type"].default) for event in event_types()]
    assert [name for name in wanted if f"`{name}`" not in reference] == []


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    wanted = [*command_names()]
    assert "weights pull" in wanted
    assert [name for name in wanted if f"generated: command {name} -->" not in page] == []


def test_every_field_of_the_wire_has_a_meaning_and_no_meaning_is_left_over() -> None:
    fields = [(model, name) for model in models() for name in model.model_fields]
    assert all(meaning_of(model, name) for model, name in fields)
    undescribed = [(m, name) for m, name in fields if not m.model_fields[name].description]
    used = {f"{model.__name__}.{name}" for model, name in undescribed}
    used |= {name for _, name in undescribed}
    assert set(MEANINGS) - used == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        other = (page.parent / target).resolve() if target else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    fresh = [*reached]
    while fresh:
        page = fresh.pop()
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        found = {each for each in targets if each.suffix == ".md" and each.exists()} - reached
        reached |= found
        fresh += found
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {setting.dotted for setting in declared()}
    sections = "|".join(sorted({setting.section for setting in declared()}))
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", text)) - EVENTS
    assert named - known == set()
    flags = set(re.findall(rf"--(?:{sections})-[a-z-]+", text))
    assert flags - {setting.flag for setting in declared()} == set()
    variables = set(re.findall(r"QUORUM_[A-Z_]+[A-Z]", text))
    # Of further engines, with the names that pages give them.
    named = {each.variable for name in ("name", "planner") for each in declared_of_engine(name)}
    assert variables - {each.variable for each in declared()} - named - OTHER_VARIABLES == set()


#: `solve.started` and its like read as settings, but are events.
EVENTS = {str(event.model_fields["type"].default) for event in event_types()}


def test_import_table_is_the_one_that_is_enforced() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", text, re.MULTILINE)
    assert {package: tuple(re.findall(r"`([\w.]+)`", cell)) for package, cell in rows} == ALLOWED


def test_no_page_names_this_machine_or_a_block_without_language() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert str(ROOT) not in text
        fences = re.findall(r"^```", text, re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), f"{page}: a block without a language"
