"""Trains the vocabularies again: `python -m server.engine.rehearsal.vocabularies.make`.

Those of `FAMILIES` come with Quorum; those of `OTHERS` are made where they are wanted.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import orjson
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from server.engine.rehearsal.problems import synthetic
from server.engine.rehearsal.prose import SENTENCES
from server.vocabulary.split_patterns import split_rule

#: As small as reads well; a file of it takes 60 kB.
SIZE = 1536
#: Family: how its text is split, and its control tokens.
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "harmony": (
        "gpt-4o",
        ("<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>",
         "<|call|>", "<|endoftext|>"),
    ),
    "qwen": ("qwen2", ("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
}  # fmt: skip
#: Of the other dialects: DeepSeek's distillations are Qwen's; `plain` is any with a template.
OTHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "deepseek": (
        "qwen2",
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",  # noqa: RUF001
         "<think>", "</think>"),
    ),
    "gemma": ("gpt-4o", ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")),
    "plain": ("llama-bpe", ("<|begin_of_text|>", "<|end_of_text|>")),
}  # fmt: skip
#: A model's own way of writing turns, for the dialect that takes it from there.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}### {{ message['role'] }}\n"
    "{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant\n{% endif %}"
)


def corpus() -> Iterator[str]:
    """Yield what the merges are learnt from."""
    prompts = files("server.prompts")
    for folder in (prompts, *(entry for entry in prompts.iterdir() if entry.is_dir())):
        for entry in folder.iterdir():
            if entry.name.endswith(".md"):
                yield entry.read_text("utf-8")
    yield from SENTENCES
    yield from (row["problem"] for row in synthetic(20))
    # The programs of scripts are in its source.
    yield (Path(__file__).parents[1] / "script.py").read_text("utf-8")


def train(family: str) -> bytes:
    """Return the tokenizer.json of a family."""
    rule, controls = (FAMILIES | OTHERS)[family]
    split = pre_tokenizers.Split(Regex(split_rule(rule).pattern), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(controls),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(list(controls))
    return orjson.dumps(orjson.loads(tokenizer.to_str()))


def write(family: str, folder: Path) -> None:
    """Write a family's vocabulary into a folder, as a model's folder has it."""
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes(train(family) + b"\n")
    if family == "plain":
        (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        begin, end = OTHERS[family][1]
        named = {"bos_token": begin, "eos_token": end}
        (folder / "tokenizer_config.json").write_bytes(orjson.dumps(named))


def main() -> None:
    """Write the files."""
    for family in FAMILIES:
        write(family, Path(__file__).parent / family)


if __name__ == "__main__":
    main()
