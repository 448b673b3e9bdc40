"""The code blocks of the documentation do what the pages say."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from server.settings import ENGINES, load_settings
from tests.docs.pages import PAGES, ROOT, Use, blocks
from tests.docs.running import pattern, run, run_blocks

PAGES_THAT_RUN = [page for page in PAGES if any(b.use is Use.RUN for b in blocks(page))]
MODEL_BLOCKS = [(page, b) for page in PAGES for b in blocks(page) if b.use is Use.MODEL]


def name_of(page: object) -> str:
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else ""


@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=name_of)
def test_examples_of_page(page: Path, gateway_url: str, tmp_path: Path) -> None:
    found = blocks(page)
    if shutil.which("curl") is None and any("curl " in block.body for block in found):
        pytest.skip("curl is not installed")
    # settings files are read on their own: they would change the commands of the page
    run_blocks([b for b in found if not b.name.endswith(".toml")], tmp_path, gateway_url)


@pytest.mark.model
@pytest.mark.parametrize(
    ("page", "number"), [(page, number) for number, (page, _) in enumerate(MODEL_BLOCKS)]
)
def test_example_that_needs_the_weights(page: Path, number: int, tmp_path: Path) -> None:
    block = MODEL_BLOCKS[number][1]
    assert run(block, tmp_path, url=None), f"{name_of(page)}, line {block.line}: printed nothing"


def test_settings_files_are_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    examples = [b for page in PAGES for b in blocks(page) if b.name.endswith(".toml")]
    assert examples
    for example in examples:
        (tmp_path / example.name).write_text(example.body, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        loaded = load_settings()
        for section, values in tomllib.loads(example.body).items():
            found = getattr(loaded, section)
            for name, value in values.items():
                if section == ENGINES:
                    assert found[name].model_dump(include={*value}) == value
                else:
                    assert getattr(found, name) == value


def test_blocks_that_cannot_run_say_why() -> None:
    unexplained = [
        f"{name_of(page)}, line {block.line}: {block.language}"
        for page in PAGES
        for block in blocks(page)
        if block.use is Use.RUN and block.language not in ("bash", "python", "text", "mermaid")
    ]
    assert unexplained == []


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("a ... c", "a b\nb c", True),
        ("a ... c", "a b d", False),
        ("1.5 (x)", "1.5 (x)", True),
        ("1.5", "1x5", False),
    ],
)
def test_pattern(expected: str, printed: str, fits: bool) -> None:
    assert bool(re.fullmatch(pattern(expected), printed)) is fits
