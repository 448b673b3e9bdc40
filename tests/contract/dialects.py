"""Every dialect with a small vocabulary of its family, and how its family writes things.

Each vocabulary is trained on the spot and has the family's control tokens by name, so that nothing
here needs a published model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from client.schema import Channel
from server.dialect.base import (
    Conversation,
    Dialect,
    DialectOptions,
    MessageEnd,
    ParseEvent,
    Prompt,
    Text,
    ToolCall,
)
from server.dialect.catalogue import open_dialect
from server.dialect.trusted import encode_trusted
from server.vocabulary import Vocabulary
from tests.server.vocabulary import tiny_models

PROMPT = Prompt(
    system="Be exact.", user="What is 6 * 7?", force="Answer now.", tool="Runs Python code."
)

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML_TEMPLATE = tiny_models.CHAT_TEMPLATE
QWQ_TEMPLATE = CHATML_TEMPLATE.replace("assistant\n", "assistant\n<think>\n")
#: As Qwen3's: thinking is left out where that is asked for.
QWEN_3_TEMPLATE = CHATML_TEMPLATE.replace(
    "assistant\n",
    "assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
)
#: As Qwen3.5's: thinking is opened where it is not left out.
QWEN_3_5_TEMPLATE = CHATML_TEMPLATE.replace(
    "assistant\n",
    "assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
    r"{{ '<think>\n\n</think>\n\n' }}{% else %}{{ '<think>\n' }}{% endif %}",
)
THINK = ("<think>", "</think>")
CALLS = ("<tool_call>", "</tool_call>")
#: Control tokens from Qwen3 on; text before.
RESPONSES = ("<tool_response>", "</tool_response>")
HARMONY = tuple(
    f"<|{name}|>"
    for name in ("endoftext", "start", "end", "message", "channel", "constrain", "return", "call")
)
DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")  # noqa: RUF001 - DeepSeek's own
GEMMA_3 = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
GEMMA_4 = (
    "<bos>", "<eos>", "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>", '<|"|>',
    "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
)  # fmt: skip
LLAMA_3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LLAMA_3_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}"
    "<|end_header_id|>\n\n{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    "[INST] {{ message.content }} [/INST]{% elif message.role == 'assistant' %}"
    "{{ message.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('no system turn') }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Style:
    """How a model of a family writes, with control tokens by name; `{}` stands for the text."""

    call: str = "```python\n{}```"
    final: str = "{}"
    thinking: str = "<think>{}</think>"


@dataclass(frozen=True, slots=True)
class Family:
    """A dialect over a vocabulary of its family."""

    key: str
    dialect: Dialect
    vocabulary: Vocabulary
    style: Style
    added: tuple[str, ...]

    @property
    def speaks_at_once(self) -> bool:
        """Whether the model's message begins outside thinking."""
        return not self.style.final.startswith("</think>")

    def ids(self, text: str) -> list[int]:
        """Return the ids of text in which control tokens stand by name."""
        return encode_trusted(self.vocabulary, text)

    def call(self, code: str) -> list[int]:
        """Return how the model writes a call."""
        return self._around(self.style.call, code)

    def final(self, text: str) -> list[int]:
        """Return how the model writes text for the reader, at the start of its message."""
        return self._around(self.style.final, text)

    def thinking(self, text: str) -> list[int]:
        """Return how the model thinks, at the start of its message."""
        return self._around(self.style.thinking, text)

    def _around(self, style: str, text: str) -> list[int]:
        before, after = style.split("{}")
        return [*self.ids(before), *self.vocabulary.encode(text), *self.ids(after)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a family's vocabulary and folder are made of."""

    dialect: str
    added: tuple[str, ...]
    style: Style = Style()
    pre: str = "qwen2"
    template: str = ""
    tokens: tuple[tuple[str, str], ...] = ()


_LEADING = Style(final="</think>\n\n{}", thinking="{}</think>")
RECIPES = {
    "qwen": Recipe("qwen", (*CHATML, *THINK, *CALLS), template=CHATML_TEMPLATE),
    "qwen 3": Recipe("qwen", (*CHATML, *THINK, *CALLS, *RESPONSES), template=QWEN_3_TEMPLATE),
    "qwen 3.5": Recipe(
        "qwen", (*CHATML, *THINK, *CALLS, *RESPONSES), _LEADING, template=QWEN_3_5_TEMPLATE
    ),
    "qwq": Recipe("qwen", (*CHATML, *THINK), _LEADING, template=QWQ_TEMPLATE),
    "qwen without think tokens": Recipe("qwen", CHATML),
    "deepseek": Recipe("deepseek", (*DEEPSEEK, *THINK), _LEADING),
    "gemma 3": Recipe("gemma", GEMMA_3, pre="byte-fallback"),
    "gemma 4": Recipe(
        "gemma", GEMMA_4, Style(thinking="<|channel>thought\n{}<channel|>"), "byte-fallback"
    ),
    "harmony": Recipe(
        "harmony",
        HARMONY,
        Style(
            "<|channel|>analysis to=python code<|message|>{}<|call|>",
            "<|channel|>final<|message|>{}",
            "<|channel|>analysis<|message|>{}<|end|><|start|>assistant",
        ),
        "gpt-4o",
    ),
    "llama 3": Recipe(
        "plain",
        LLAMA_3,
        pre="llama-bpe",
        template=LLAMA_3_TEMPLATE,
        tokens=(("bos_token", "<|begin_of_text|>"), ("eos_token", "<|eot_id|>")),
    ),
    "mistral": Recipe(
        "plain",
        ("<s>", "</s>"),
        template=MISTRAL_TEMPLATE,
        tokens=(("bos_token", "<s>"), ("eos_token", "</s>")),
    ),
}


def write_folder(recipe: Recipe, folder: Path) -> None:
    """Write the files of a model folder that tell how the model writes."""
    path = folder / "tokenizer.json"
    if recipe.pre == "byte-fallback":
        tiny_models.write_byte_fallback_json(path, recipe.added)
    else:
        tiny_models.write_tokenizer_json(tiny_models.train(recipe.pre), path, recipe.added)
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps(dict(recipe.tokens)))
    if recipe.template:
        (folder / "chat_template.jinja").write_text(recipe.template, encoding="utf-8")


@cache
def vocabulary_of(key: str) -> Vocabulary:
    """Return the vocabulary of a recipe; made once, since it does not change."""
    with TemporaryDirectory() as folder:
        write_folder(RECIPES[key], Path(folder))
        return Vocabulary.load(folder)


def family(key: str, options: DialectOptions | None = None) -> Family:
    """Return a family's dialect by its recipe's name."""
    recipe, vocabulary = RECIPES[key], vocabulary_of(key)
    dialect = open_dialect(recipe.dialect, vocabulary, options)
    return Family(key, dialect, vocabulary, recipe.style, recipe.added)


@dataclass(slots=True)
class Reading:
    """What came of feeding ids: text by channel, calls, and whether the message ended."""

    final: str = ""
    code: str = ""
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()
    ended: bool = False

    def add(self, events: Sequence[ParseEvent]) -> None:
        for event in events:
            match event:
                case Text(channel=Channel.CODE):
                    self.code += event.text
                case Text(channel=Channel.THINKING):
                    self.thinking += event.text
                case Text():
                    self.final += event.text
                case ToolCall():
                    self.calls += (event,)
                case MessageEnd():
                    self.ended = True


def read(conversation: Conversation, ids: Sequence[int]) -> Reading:
    """Feed ids one by one and flush."""
    reading = Reading()
    for token_id in ids:
        reading.add(conversation.feed(token_id))
    reading.add(conversation.flush())
    return reading
