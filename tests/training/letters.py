"""A tokenizer whose tokens are bytes: the ids of a text are known without it."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers


def save(path: Path) -> Tokenizer:
    """Write its `tokenizer.json`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.save(str(path))
    return made
