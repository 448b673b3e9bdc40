"""The plain dialect: what a template writes, and that its texts are no part of it."""

from pathlib import Path

import pytest

from server.dialect.base import DialectOptions, Prompt
from server.dialect.catalogue import open_dialect
from server.dialect.plain import PlainDialect
from server.vocabulary import Vocabulary
from tests.contract.dialects import LLAMA_3, PROMPT, Recipe, family, read, write_folder
from tests.server.engine.llamacpp_cases import default_weights


def dialect(folder: Path, template: str, options: DialectOptions | None = None) -> PlainDialect:
    recipe = Recipe("plain", LLAMA_3, template=template)
    write_folder(recipe, folder)
    return PlainDialect(Vocabulary.load(folder), options)


@pytest.mark.parametrize("key", ["qwen", "qwq", "qwen 3.5"])
def test_over_a_familys_template_it_writes_what_the_family_does(key: str) -> None:
    """Two ways to the same ids: Qwen's dialect, and the template that Qwen's models come with."""
    teller = family(key)
    own, plain = teller.dialect, PlainDialect(teller.vocabulary)
    assert list(plain.open(PROMPT).opening) == list(own.open(PROMPT).opening)
    told = [one.open(PROMPT) for one in (own, plain)]
    for written in ("Hm.\n```python\nprint(1)\n```", "</think>\nI do not know.<|im_end|>"):
        assert read(told[0], teller.ids(written)) == read(told[1], teller.ids(written))
        if "python" in written:
            assert told[0].result("1") == told[1].result("1")
    assert told[0].force_answer() == told[1].force_answer()


def test_without_a_system_text_none_is_written(tmp_path: Path) -> None:
    template = (
        "{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>"
        "{{ message.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    made = dialect(tmp_path, template)
    prompt = Prompt(system="", user="What is 6 * 7?", force="")
    assert made.vocabulary.decode(made.open(prompt).opening) == (
        "<|start_header_id|>user<|end_header_id|>What is 6 * 7?<|eot_id|>>"
    )


@pytest.mark.parametrize("today", ["", "2026-01-31"])
def test_the_date_is_the_settings_and_never_the_clocks(tmp_path: Path, today: str) -> None:
    template = (
        "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}no date{% endif %}"
        "{% for message in messages %}{{ message.content }}<|eot_id|>{% endfor %}"
    )
    made = dialect(tmp_path, template, DialectOptions(today=today))
    text = made.vocabulary.decode(made.open(PROMPT).opening)
    assert text.startswith("31 Jan 2026" if today else "no date")


def test_a_template_that_insists_on_a_date_and_on_no_tools_works(tmp_path: Path) -> None:
    template = (
        "{{ strftime_now('%Y') }}{% if tools is not none %}{{ tools[0] }}{% endif %}"
        "{% for message in messages %}{{ message.content }}<|eot_id|>{% endfor %}"
    )
    made = dialect(tmp_path, template)
    text = made.vocabulary.decode(made.open(PROMPT).opening)
    assert text.startswith(f"2025{PROMPT.system}")


def test_place_holders_in_a_problem_are_text(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}<|eot_id|>{% endfor %}[a]"
    )
    user = "  QuorumPlaceholderA {{ bos_token }} {% raw %} QuorumPlaceholderN  "
    made = dialect(tmp_path, template)
    opening = made.open(Prompt(system="s", user=user, force="")).opening
    assert made.vocabulary.decode(opening) == f"[system]s<|eot_id|>[user]{user}<|eot_id|>[a]"


@pytest.mark.model
def test_over_the_published_template(published: Vocabulary) -> None:
    own, plain = open_dialect("auto", published), PlainDialect(published)
    assert own.name == "qwen"
    assert list(plain.open(PROMPT).opening) == list(own.open(PROMPT).opening)


@pytest.fixture(scope="module")
def published() -> Vocabulary:
    return Vocabulary.load(default_weights())
