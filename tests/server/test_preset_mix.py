"""What attempts differ in comes from the model's preset unless the settings say it."""

import pytest

from server.parts import with_preset
from server.settings import Settings
from server.solve.mix import parse_mix

DEFAULT_MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"


def settings(**solve: str) -> Settings:
    return Settings.model_validate({"solve": solve})


def test_the_default_models_attempts_are_asked_in_four_ways() -> None:
    ways = ["cot", "literal", "pal", "reread"]
    mix = parse_mix(with_preset(settings(), DEFAULT_MODEL).solve.mix, ways)
    styles = [mix.of(attempt) for attempt in range(8)]
    assert sorted(style.variant for style in styles[:4]) == ways
    assert {style.temperature for style in styles[:4]} == {0.0}
    assert [style.variant for style in styles[4:]] == [style.variant for style in styles[:4]]
    assert len(set(styles)) == 8


def test_the_default_models_votes_weigh_as_its_preset_says_unless_the_settings_do() -> None:
    chosen = with_preset(settings(), DEFAULT_MODEL).solve.weight
    assert chosen == (
        "tool_errors(floor=0.25)*exact*finished*code_agreement(otherwise=0.85)"
        "*entries(1, 1, 1.1, 1)"
    )
    assert with_preset(settings(weight="tool_errors"), DEFAULT_MODEL).solve.weight == "tool_errors"
    # Without the preset's mix its weight says nothing.
    assert with_preset(settings(mix="none"), DEFAULT_MODEL).solve.weight == "auto"


@pytest.mark.parametrize("written", ["none", "temperature=0.3"])
def test_what_the_settings_say_stands(written: str) -> None:
    assert with_preset(settings(mix=written), DEFAULT_MODEL).solve.mix == written


def test_a_model_without_a_preset_has_no_mix() -> None:
    assert with_preset(settings(), "somebody-elses-model").solve.mix == "none"
