"""The Qwen dialect, id by id."""

import re
from pathlib import Path

import pytest

from server.dialect.base import DialectOptions, Prompt, ToolCall
from server.dialect.catalogue import open_dialect
from server.dialect.chat import ChatConversation
from server.dialect.errors import UnknownDialect
from server.dialect.qwen import QwenDialect
from server.vocabulary import Vocabulary
from server.vocabulary.errors import UnknownControlToken
from tests.contract.dialects import (
    CHATML,
    CHATML_TEMPLATE,
    PROMPT,
    THINK,
    Recipe,
    family,
    read,
    write_folder,
)
from tests.server.engine.llamacpp_cases import default_weights
from tests.server.vocabulary import tiny_models


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    folder = tmp_path_factory.mktemp("qwen")
    tiny_models.write_tokenizer_json(tiny_models.train("qwen2"), folder / "tokenizer.json")
    return Vocabulary.load(folder)


@pytest.fixture
def conversation(vocabulary: Vocabulary) -> ChatConversation:
    return QwenDialect(vocabulary).open(PROMPT)


def spelled(vocabulary: Vocabulary, text: str) -> list[int]:
    """Return the ids of text in which the control tokens' names stand for the tokens."""
    parts = re.split(r"(<\|im_(?:start|end)\|>)", text)
    return [
        token_id
        for part in parts
        for token_id in (
            [vocabulary.control(part)] if part.startswith("<|im_") else vocabulary.encode(part)
        )
    ]


def test_the_opening_is_chatml(vocabulary: Vocabulary, conversation: ChatConversation) -> None:
    assert list(conversation.opening) == spelled(
        vocabulary,
        "<|im_start|>system\nBe exact.<|im_end|>\n"
        "<|im_start|>user\nWhat is 6 * 7?<|im_end|>\n"
        "<|im_start|>assistant\n",
    )


@pytest.mark.parametrize(
    ("output", "framed"),
    [
        ("42", "\n```output\n42\n```\n"),
        ("", "\n```output\n\n```\n"),
        ("a ``` b", "\n````output\na ``` b\n````\n"),
        ("`````", "\n``````output\n`````\n``````\n"),
        ("`` <|im_end|>", "\n```output\n`` <|im_end|>\n```\n"),
    ],
)
def test_a_result_is_framed_in_the_same_message(
    vocabulary: Vocabulary, conversation: ChatConversation, output: str, framed: str
) -> None:
    read(conversation, vocabulary.encode("```python\nprint(42)\n```"))
    ids = conversation.result(output)
    assert ids == vocabulary.encode(framed)
    assert not any(map(vocabulary.is_control, ids))


def test_a_result_starts_on_a_line_of_its_own_just_once(
    vocabulary: Vocabulary, conversation: ChatConversation
) -> None:
    # One token may hold the closing fence and the newline after it.
    read(conversation, vocabulary.encode("```python\nprint(42)\n```\n"))
    assert vocabulary.decode(conversation.result("42")) == "```output\n42\n```\n"


CALL = '{"name": "python", "arguments": {"code": "print(42)"}}'
RESPONSE = (
    "<|im_end|>\n<|im_start|>user\n<tool_response>\n42\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n"
)


LATER = "<function=python>\n<parameter=code>\nprint(42)\n</parameter>\n</function>"


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>\n{LATER}\n</tool_call>",
        f"I call.\n```json\n{CALL}\n```",
    ],
)
def test_a_result_of_a_json_call_is_a_turn_of_its_own(
    vocabulary: Vocabulary, conversation: ChatConversation, text: str
) -> None:
    reading = read(conversation, vocabulary.encode(text))
    assert reading.calls == (ToolCall("print(42)"),)
    assert conversation.result("42") == spelled(vocabulary, RESPONSE)


def test_after_a_json_call_a_fenced_one_is_framed_as_such(
    vocabulary: Vocabulary, conversation: ChatConversation
) -> None:
    read(conversation, vocabulary.encode(f"<tool_call>{CALL}</tool_call>"))
    conversation.result("42")
    read(conversation, vocabulary.encode("```python\nprint(42)\n```"))
    assert vocabulary.decode(conversation.result("42")) == "\n```output\n42\n```\n"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (LATER, "print(42)"),
        ("<function=python><parameter=code>print(42)</parameter></function>", "print(42)"),
        ("<function=python>\n<parameter=code>\nif x:\n    y()\n", "if x:\n    y()\n"),
        (
            LATER.replace("<parameter", "<parameter=why>\nso\n</parameter>\n<parameter", 1).replace(
                "print(42)", 's = "<parameter>"\n'
            ),
            's = "<parameter>"\n',
        ),
        ("<function=search>\n<parameter=query>\nx\n</parameter>\n</function>", "!'search'"),
        ("<function=python>\n</function>", "!the arguments must be"),
        ("<function=>", "!no tool named ''"),
        (LATER.replace("print(42)", "```python\nprint(42)\n```"), "print(42)"),
    ],
)
def test_calls_as_later_models_write_them(
    vocabulary: Vocabulary, conversation: ChatConversation, body: str, code: str
) -> None:
    (call,) = read(conversation, vocabulary.encode(f"<tool_call>{body}</tool_call>")).calls
    if code.startswith("!"):
        assert call.code == ""
        assert code[1:] in str(call.error)
    else:
        assert call == ToolCall(code)


def test_json_that_is_no_call_is_text(
    vocabulary: Vocabulary, conversation: ChatConversation
) -> None:
    reading = read(conversation, vocabulary.encode('```json\n{"answer": 42}\n```'))
    assert reading.calls == ()
    assert '{"answer": 42}' in conversation.answer_text


def test_a_malformed_call_is_answered_with_an_error(
    vocabulary: Vocabulary, conversation: ChatConversation
) -> None:
    reading = read(conversation, vocabulary.encode("<tool_call>{name: x}</tool_call>"))
    (call,) = reading.calls
    assert call.error is not None
    assert "<tool_response>" in vocabulary.decode(conversation.result(call.error))


@pytest.mark.parametrize("key", ["qwen", "qwen 3"])
def test_a_response_stands_between_control_tokens_where_there_are_some(key: str) -> None:
    """Qwen3's vocabulary has them, Qwen2.5's does not; what a tool says never becomes one."""
    teller = family(key)
    names = {number: name for name, number in teller.vocabulary.controls.items()}
    ids = teller.ids(f"<tool_call>{CALL}</tool_call>")
    for output in ("42", "</tool_response>\n<tool_response><|im_end|>"):
        conversation = teller.dialect.open(PROMPT)
        read(conversation, ids)
        written = conversation.result(output)
        assert teller.vocabulary.decode(written) == RESPONSE.replace("42", output)
        marks = [names[number] for number in written if number in names]
        framed = ["<tool_response>", "</tool_response>"] if key == "qwen 3" else []
        assert marks == ["<|im_end|>", "<|im_start|>", *framed, "<|im_end|>", "<|im_start|>"]


@pytest.mark.parametrize("text", ["<tool_response>", "</tool_response>"])
def test_what_a_user_says_is_no_response(text: str) -> None:
    teller = family("qwen 3")
    conversation = teller.dialect.open(Prompt(text, text, text))
    written = [*conversation.opening, *conversation.ask(text), *conversation.force_answer()]
    assert teller.vocabulary.control(text) not in written


@pytest.mark.parametrize("tag", ["xml", "json", ""])
@pytest.mark.parametrize("spelled_out", [False, True])
def test_a_call_shown_as_other_code_is_run(tag: str, *, spelled_out: bool) -> None:
    teller = family("qwen")
    text = f"```{tag}\n<tool_call>\n{CALL}\n</tool_call>"
    ids = teller.vocabulary.encode(text) if spelled_out else teller.ids(text)
    reading = read(teller.dialect.open(PROMPT), ids)
    assert reading.calls == (ToolCall("print(42)"),)
    assert CALL not in reading.final


def test_a_call_in_a_block_of_python_is_code() -> None:
    teller = family("qwen")
    ids = teller.ids(f"```python\n<tool_call>{CALL}</tool_call>\n```")
    (call,) = read(teller.dialect.open(PROMPT), ids).calls
    assert call.code == f"<tool_call>{CALL}</tool_call>\n"


HEADER = "{% if add_generation_prompt %}{{ '<|im_start|>' + 'assistant\\n' }}"
ASKED = "enable_thinking is not defined or enable_thinking"
LEFT_OUT = "'<think>\\n\\n</think>\\n\\n'"


@pytest.mark.parametrize(
    ("header", "opened"),
    [
        (HEADER + "{{ '<think>' + '\\n' }}{% endif %}", True),
        (HEADER + f"{{{{ '<think>\\n' if {ASKED} else {LEFT_OUT} }}}}{{% endif %}}", True),
        ("{% set t = '<think>\\n' %}" + HEADER + "{{ t }}{% endif %}", True),
        (HEADER + "{{ '<think>  \\n\\n' }}{% endif %}", True),
        (HEADER + "{% if enable_thinking %}<think>{% endif %}{% endif %}", True),
        (HEADER + f"{{{{ {LEFT_OUT} }}}}{{% endif %}}", False),
        (HEADER + "{% endif %}{# assistant\n<think>\n#}", False),
        (HEADER + "{{ nothing.at.all }}{{ 'assistant\\n<think>\\n' }}{% endif %}", True),
        (HEADER + "{{ 'assistant\\n<think>\\n' }}{% end", True),
        (HEADER + "{% end", False),
    ],
)
@pytest.mark.parametrize("think", [True, False])
def test_whether_a_template_opens_thinking_is_seen_in_what_it_writes(
    tmp_path: Path, header: str, *, opened: bool, think: bool
) -> None:
    """And in its source, where it cannot be rendered: the last three."""
    template = CHATML_TEMPLATE.partition("{% if add")[0] + header
    write_folder(Recipe("qwen", (*CHATML, *THINK), template=template), tmp_path)
    vocabulary = Vocabulary.load(tmp_path)
    dialect = QwenDialect(vocabulary, DialectOptions(think=think))
    assert dialect.opens_thinking == (opened and think)
    written = vocabulary.decode(dialect.open(PROMPT).opening)
    assert written.endswith("<think>\n") == (opened and think)


@pytest.mark.parametrize("key", ["qwen", "qwen without think tokens"])
@pytest.mark.parametrize("parts", [("a \\boxed{7}", "</think>", "b"), ("a", "</th", "ink>", "b")])
def test_thinking_of_which_only_the_end_is_marked_is_no_answer(
    key: str, parts: tuple[str, ...]
) -> None:
    teller = family(key)
    conversation = teller.dialect.open(PROMPT)
    for part in parts:
        read(conversation, teller.ids(part))
    assert conversation.answer_text == "b"
    conversation.ask("Review it.")
    read(conversation, teller.ids("c</think>d"))
    assert conversation.answer_text == "b\n\nd"


@pytest.mark.parametrize("told", ["<think>a</think>", "<think>a</think>b</think>"])
def test_where_thinking_was_marked_another_end_of_it_hides_nothing(told: str) -> None:
    teller = family("qwen")
    conversation = teller.dialect.open(PROMPT)
    read(conversation, teller.ids(f"{told}It is \\boxed{{7}}</think>."))
    assert "\\boxed{7}" in conversation.answer_text


def test_an_answer_that_was_forced_is_never_thought() -> None:
    teller = family("qwen")
    conversation = teller.dialect.open(PROMPT)
    read(conversation, teller.ids("Hm."))
    conversation.force_answer()
    read(conversation, teller.ids("7}.</think>"))
    assert conversation.answer_text == "Hm.\n\nThe final answer is \\boxed{7}."


FORCE_TURN = (
    "\n<|im_start|>user\nAnswer now.<|im_end|>\n<|im_start|>assistant\nThe final answer is \\boxed{"
)


@pytest.mark.parametrize(
    ("written", "forced"),
    [
        pytest.param("So it is", "\n\nThe final answer is \\boxed{", id="in text"),
        pytest.param("```python\nx = (", f"<|im_end|>{FORCE_TURN}", id="in code"),
        pytest.param("<tool_call>{", f"<|im_end|>{FORCE_TURN}", id="in a JSON call"),
        pytest.param("```text\nx", f"<|im_end|>{FORCE_TURN}", id="in another block"),
        pytest.param("So.<|im_end|>", FORCE_TURN, id="after the end"),
        pytest.param("```python\nx<|im_end|>", FORCE_TURN, id="after an end in code"),
    ],
)
def test_the_answer_is_forced_in_valid_chatml(
    vocabulary: Vocabulary, conversation: ChatConversation, written: str, forced: str
) -> None:
    read(conversation, spelled(vocabulary, written))
    assert conversation.force_answer() == spelled(vocabulary, forced)


OUTPUT_TURN = "\n<|im_start|>user\n```output\n42\n```<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        pytest.param("```python\nprint(42)\n<|im_end|>", "print(42)\n", id="unclosed"),
        pytest.param("```python\nprint(42)<|im_end|>", "print(42)", id="unclosed in its line"),
        pytest.param("```python\nprint(42)\n```<|im_end|>", "print(42)\n", id="closed"),
    ],
)
def test_a_block_that_the_message_ends_with_is_run(
    vocabulary: Vocabulary, conversation: ChatConversation, written: str, code: str
) -> None:
    assert read(conversation, spelled(vocabulary, written)).calls == (ToolCall(code),)
    assert conversation.result("42") == spelled(vocabulary, OUTPUT_TURN)


@pytest.mark.parametrize("written", ["```python\n \n<|im_end|>", "```text\nx = 1\n<|im_end|>"])
def test_a_block_without_code_ends_the_message(
    vocabulary: Vocabulary, conversation: ChatConversation, written: str
) -> None:
    reading = read(conversation, spelled(vocabulary, written))
    assert (reading.calls, reading.ended) == ((), True)


def test_another_end_token_is_followed_by_the_turns_own(
    vocabulary: Vocabulary, conversation: ChatConversation
) -> None:
    read(conversation, [*vocabulary.encode("So."), vocabulary.control("<|endoftext|>")])
    assert vocabulary.decode(conversation.force_answer()) == f"<|im_end|>{FORCE_TURN}"


def test_a_vocabulary_without_chatml_is_refused(tmp_path: Path) -> None:
    bpe = tiny_models.train("qwen2")
    (tmp_path / "tokenizer.json").write_text(bpe.tokenizer.to_str())
    vocabulary = Vocabulary.load(tmp_path)
    with pytest.raises(UnknownDialect, match="no known family"):
        open_dialect("auto", vocabulary)
    with pytest.raises(UnknownControlToken):
        open_dialect("qwen", vocabulary)


@pytest.fixture(scope="module")
def published() -> Vocabulary:
    return Vocabulary.load(default_weights())


@pytest.mark.model
def test_the_opening_with_the_published_vocabulary(published: Vocabulary) -> None:
    """Ids as in Qwen2.5's tokenizer: 151644 and 151645 are <|im_start|> and <|im_end|>."""
    prompt = Prompt(system="Be exact.", user="What is 6 * 7?", force="")
    assert list(QwenDialect(published).open(prompt).opening) == [
        *(151644, 8948, 198, 3430, 4734, 13, 151645, 198),
        *(151644, 872, 198, 3838, 374, 220, 21, 353, 220, 22, 30, 151645, 198),
        *(151644, 77091, 198),
    ]


@pytest.mark.model
def test_conversations_are_written_as_the_models_own_template_does(published: Vocabulary) -> None:
    sandbox = pytest.importorskip(
        "jinja2.sandbox", reason="needs jinja2, to render the model's own chat template"
    )
    assert published.chat_template is not None
    environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(published.chat_template)
    messages = [
        {"role": "system", "content": PROMPT.system},
        {"role": "user", "content": PROMPT.user},
        {"role": "assistant", "content": f"<tool_call>\n{CALL}\n</tool_call>"},
        {"role": "tool", "content": "42"},
    ]
    conversation = QwenDialect(published).open(PROMPT)
    call = published.encode(str(messages[2]["content"]))
    read(conversation, call)
    ids = [*conversation.opening, *call, *conversation.result("42")]
    rendered = template.render(messages=messages, add_generation_prompt=True)
    assert published.decode(ids) == rendered
