"""Which dialect fits a model, and what is said where none does."""

from pathlib import Path

import pytest

from server.dialect.catalogue import fitting, open_dialect
from server.dialect.errors import UnknownDialect, UnusableTemplate
from server.vocabulary import Vocabulary
from server.vocabulary.errors import UnknownControlToken
from tests.contract.dialects import (
    CHATML,
    CHATML_TEMPLATE,
    DEEPSEEK,
    GEMMA_3,
    GEMMA_4,
    HARMONY,
    LLAMA_3,
    LLAMA_3_TEMPLATE,
    THINK,
    Recipe,
    write_folder,
)

PHI_4_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
)


def vocabulary(folder: Path, *added: str, template: str = "", bos: str = "") -> Vocabulary:
    tokens = (("bos_token", bos),) if bos else ()
    write_folder(Recipe("", added, template=template, tokens=tokens), folder)
    return Vocabulary.load(folder)


@pytest.mark.parametrize(
    ("added", "template", "name"),
    [
        pytest.param(HARMONY, "", "harmony", id="gpt-oss"),
        pytest.param(CHATML, "", "qwen", id="ChatML"),
        pytest.param((*CHATML, *THINK), CHATML_TEMPLATE, "qwen", id="ChatML by its template"),
        pytest.param(GEMMA_3, "", "gemma", id="Gemma 3"),
        pytest.param(GEMMA_4, "", "gemma", id="Gemma 4"),
        pytest.param((*DEEPSEEK, *THINK), "", "deepseek", id="DeepSeek"),
        pytest.param((*DEEPSEEK, *CHATML), "", "deepseek", id="distilled into Qwen's vocabulary"),
        pytest.param(LLAMA_3, LLAMA_3_TEMPLATE, "plain", id="only a template"),
        pytest.param((*CHATML, *LLAMA_3), LLAMA_3_TEMPLATE, "plain", id="ChatML tokens not used"),
        pytest.param((*DEEPSEEK, *CHATML), CHATML_TEMPLATE, "qwen", id="the template decides"),
        pytest.param(
            (*CHATML, "<|im_sep|>"), PHI_4_TEMPLATE, "plain", id="ChatML's tokens, else used"
        ),
    ],
)
def test_the_dialect_is_found(
    tmp_path: Path, added: tuple[str, ...], template: str, name: str
) -> None:
    assert fitting(vocabulary(tmp_path, *added, template=template)) == name


def test_a_forced_dialect_needs_its_control_tokens(tmp_path: Path) -> None:
    found = vocabulary(tmp_path, *CHATML)
    assert open_dialect("qwen", found).name == "qwen"
    for name in ("harmony", "deepseek", "gemma"):
        with pytest.raises(UnknownControlToken, match="not in this vocabulary; choose"):
            open_dialect(name, found)


def test_a_family_that_nobody_knows_is_told(tmp_path: Path) -> None:
    found = vocabulary(tmp_path, "<s>", "</s>")
    with pytest.raises(UnknownDialect, match=r"no known family.*no chat template.*chat_template"):
        open_dialect("auto", found)
    with pytest.raises(UnusableTemplate, match=r"the model has none; set solve\.dialect"):
        open_dialect("plain", found)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% for", "not valid"),
        ("{{ messages[7].content }}", "fails"),
        ("{{ 1 // 0 }}", "fails"),
        ("{{ nothing.at.all }}", "fails"),
        ("{{ raise_exception('never') }}", r"refuses \(never\)"),
        ("hello", "leaves out the user's"),
        ("{{ messages[0].content }}", "leaves out the user's or the model's text"),
        ("{{ ''.__class__.__mro__ }}", "fails"),
        ("{% for n in range(10**9) %}{% endfor %}", "fails"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "fails"),
    ],
)
def test_templates_that_cannot_be_used_are_told(
    tmp_path: Path, template: str, complaint: str
) -> None:
    found = vocabulary(tmp_path, "<s>", "</s>", template=template)
    with pytest.raises(UnusableTemplate, match=rf"chat template: {complaint}.*solve\.dialect"):
        open_dialect("auto", found)
