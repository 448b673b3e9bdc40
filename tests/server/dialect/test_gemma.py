"""Gemma's native calls, and what is nearly one."""

from pathlib import Path

import pytest

from server.dialect.base import DialectOptions, ToolCall
from server.dialect.gemma import Gemma4Dialect
from server.vocabulary import Vocabulary
from tests.contract.dialects import GEMMA_4, PROMPT, Recipe, family, read, write_folder

GEMMA = family("gemma 4")
QUOTE = '<|"|>'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f"call:python{{code:{QUOTE}print(1){QUOTE}}}", "print(1)"),
        (f"call:python{{code: {QUOTE}x = {{1: 2}}\nprint(x){QUOTE}}}", "x = {1: 2}\nprint(x)"),
        (f"call:python{{why:{QUOTE}a, b{QUOTE},code:{QUOTE}print(1){QUOTE}}}", "print(1)"),
        (f"call:python{{snippet:{QUOTE}print(1){QUOTE}}}", "print(1)"),
        (f"\ncall: python {{code:{QUOTE}print(1){QUOTE}}}\n", "print(1)"),
        (f"call:python{{code:{QUOTE}```python\nprint(1)\n```{QUOTE}}}", "print(1)"),
        ('{"name": "python", "arguments": {"code": "print(1)"}}', "print(1)"),
        ('call:python{code:"print(1)"}', "print(1)"),
        ('call:python{"code" : "print(\\"a\\", 1)\\n"}', 'print("a", 1)\n'),
        ('call:python{"why": "{a, b}", "code": "print(1)"}', "print(1)"),
        ('call:python{code:"print("a")"}', 'print("a")'),
        ("call:python{code:\"r'\\d'\"}", "r'\\d'"),
        ('call:python{code:"x\\', "x\\"),
        ('call:python{code:"s = \\"\\ud800\\""}', 's = "\N{REPLACEMENT CHARACTER}"'),
        (f"call:python{{{QUOTE}code{QUOTE}:{QUOTE}print(1){QUOTE}}}", "print(1)"),
        (f"call:python{{code:{QUOTE}print(1){QUOTE}", "print(1)"),
        (f"call:python{{code:{QUOTE}d = {{1: 2}}{QUOTE}\n", "d = {1: 2}"),
    ],
)
def test_calls_that_are_run(body: str, code: str) -> None:
    ids = GEMMA.ids(f"<|tool_call>{body}<tool_call|>")
    assert read(GEMMA.dialect.open(PROMPT), ids).calls == (ToolCall(code),)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"call:search{{query:{QUOTE}x{QUOTE}}}", "no tool named 'search'"),
        ("call:python{}", "no code"),
        ("call:python{code:1}", "no code"),
        (f"call:python{{code:{QUOTE} {QUOTE}}}", "no code"),
        ("python(1)", "not valid JSON"),
    ],
)
def test_calls_that_are_explained(body: str, reason: str) -> None:
    ids = GEMMA.ids(f"<|tool_call>{body}<tool_call|>")
    (call,) = read(GEMMA.dialect.open(PROMPT), ids).calls
    assert call.code == ""
    assert reason in str(call.error)


@pytest.mark.parametrize(
    "arguments",
    ["{}", "{}:", "{} ", 'a:"{}', 'a:"{}\\', '"{}', "a:{}", "a {}", "}}{}", f"a:{QUOTE}{{}}"],
)
@pytest.mark.parametrize("piece", ["x", " ", 'a:"', '"', "}", "\\", "x ", "a:", '" ', ":"])
def test_a_long_call_is_read_once(arguments: str, piece: str) -> None:
    """In quadratic time it would take minutes."""
    call = Gemma4Dialect(GEMMA.vocabulary).read_call(
        f"call:python{{{arguments.format(piece * 300_000)}}}"
    )
    assert (call.error is None) == bool(call.code)


def test_a_call_that_the_end_of_the_turn_closes_is_run() -> None:
    """Its response then needs a turn of the model's to stand in."""
    conversation = GEMMA.dialect.open(PROMPT)
    ids = GEMMA.ids(f"<|tool_call>call:python{{code:{QUOTE}print(1){QUOTE}}}<turn|>")
    assert read(conversation, ids).calls == (ToolCall("print(1)"),)
    assert GEMMA.vocabulary.decode(conversation.result("1")) == (
        f"\n<|turn>model\n<|tool_response>response:python{{value:{QUOTE}1{QUOTE}}}<tool_response|>"
    )


@pytest.mark.parametrize("closed", ["<tool_call|>", ""])
def test_a_response_that_the_model_has_begun_is_gone_on_with(closed: str) -> None:
    conversation = GEMMA.dialect.open(PROMPT)
    call = f"<|tool_call>call:python{{code:{QUOTE}print(1){QUOTE}}}{closed}"
    reading = read(conversation, GEMMA.ids(f"{call}<|tool_response>"))
    assert (reading.calls, reading.final) == ((ToolCall("print(1)"),), "")
    framed = f"response:python{{value:{QUOTE}1{QUOTE}}}<tool_response|>"
    assert conversation.result("1") == GEMMA.ids(framed)


def test_a_response_that_the_model_makes_up_is_no_answer() -> None:
    conversation = GEMMA.dialect.open(PROMPT)
    assert read(conversation, GEMMA.ids("So<|tool_response>")).ended
    assert conversation.answer_text == "So"


@pytest.mark.parametrize(
    ("template", "think", "thought"),
    [
        pytest.param("{{ '<|channel>thought\\n<channel|>' }}", False, True, id="left out"),
        pytest.param("<|channel>thought\n<channel|>", False, True, id="left out, a line end"),
        pytest.param("{{ '<|channel>thought\\n<channel|>' }}", True, False, id="wanted"),
        pytest.param("{{ '<|turn>model' }}", False, False, id="of a smaller model"),
    ],
)
def test_thinking_is_left_out_as_the_models_template_does(
    tmp_path: Path, template: str, *, think: bool, thought: bool
) -> None:
    write_folder(Recipe("gemma", GEMMA_4, pre="byte-fallback", template=template), tmp_path)
    vocabulary = Vocabulary.load(tmp_path)
    conversation = Gemma4Dialect(vocabulary, DialectOptions(think=think)).open(PROMPT)
    empty = "<|channel>thought\n<channel|>"
    written = vocabulary.decode(conversation.opening)
    assert written.endswith(f"<|turn>model\n{empty if thought else ''}")
    assert ("<|think|>" in written) is think
    read(conversation, [*vocabulary.encode("No."), vocabulary.control("<turn|>")])
    forced = vocabulary.decode(conversation.force_answer())
    assert (empty in forced) is (thought or think)
