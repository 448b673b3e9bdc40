"""Where gpt-oss's published vocabulary and recorded attempts lie, if they do: outside the project.

`TIKTOKEN_ENCODINGS_BASE` is a folder with `o200k_base.tiktoken`; `openai-harmony` reads the same
variable. `HARMONY_TRACES` is a file of recorded attempts, one JSON object a line, with
`prompt_tokens` and `completion_tokens`, lists of ids of o200k_harmony.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.vocabulary import Vocabulary

RANKS = Path(os.environ.get("TIKTOKEN_ENCODINGS_BASE", "")) / "o200k_base.tiktoken"
TRACES = Path(os.environ.get("HARMONY_TRACES", ""))

needs_vocabulary = pytest.mark.skipif(
    not RANKS.is_file(),
    reason="gpt-oss's vocabulary: TIKTOKEN_ENCODINGS_BASE names no folder with o200k_base.tiktoken",
)
needs_traces = pytest.mark.skipif(
    not (RANKS.is_file() and TRACES.is_file()),
    reason="recorded attempts of gpt-oss: HARMONY_TRACES names no file, or no vocabulary for it",
)


@cache
def published() -> Vocabulary:
    """Return the vocabulary; read once."""
    return Vocabulary.load(RANKS)


def traces() -> list[dict[str, Any]]:
    """Return the recorded attempts."""
    return [orjson.loads(line) for line in TRACES.read_bytes().splitlines()]
