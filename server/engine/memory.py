"""How much memory an embedded engine takes: its weights, and the contexts of its streams."""

from collections.abc import Mapping
from pathlib import Path

from server.vocabulary.gguf_metadata import MetadataValue, read_metadata

#: Keys and values are kept as float16.
BYTES_A_NUMBER = 2
#: Of a context's buffers beside keys and values llama.cpp takes some hundred MB for a small model.
BUFFER_BYTES = 300_000_000


def embedded_bytes(path: Path, *, slots: int, context_tokens: int) -> int:
    """Return about how many bytes llama.cpp takes for a GGUF file with so many streams.

    Raises:
        VocabularyError: the file cannot be read.
    """
    contexts = slots * context_tokens * context_bytes(read_metadata(path))
    return path.stat().st_size + contexts + BUFFER_BYTES


def context_bytes(metadata: Mapping[str, MetadataValue]) -> int:
    """Return the bytes that a token of context takes in all layers; 0 where that is not told."""
    family = metadata.get("general.architecture")

    def number(name: str, default: int = 0) -> int:
        value = metadata.get(f"{family}.{name}")
        return value if isinstance(value, int) else default

    layers, heads = number("block_count"), number("attention.head_count")
    if not layers or not heads:
        return 0
    width = number("embedding_length") // heads
    keys = number("attention.key_length", width)
    values = number("attention.value_length", width)
    return layers * number("attention.head_count_kv", heads) * (keys + values) * BYTES_A_NUMBER
