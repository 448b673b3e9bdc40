"""Our ids against those of llama.cpp itself, which serves the same file."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from server.vocabulary import Vocabulary
from server.weights import DEFAULT, WeightsError, resolve
from tests.server.vocabulary import tiny_models
from tests.server.vocabulary.conftest import PRE_NAMES

#: Serves the model of its first argument until standard input closes; prints its address. A
#: process of its own, because llama.cpp logs to standard error and may abort.
SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], 0
params.n_ctx, params.n_parallel, params.warmup = 64, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

Tokenize = Callable[[str], list[int]]

#: Characters on whose classes the split rules turn: case, digits, spaces, line ends, scripts.
CHARACTERS = [
    *"aAbBzZ  \t\n\r'sStTreREvVmlLdD0123456789.,;/*#$\\<|>_-—数学한عह١٣²½Ⅷ",
    *"\u00a0\u0085\u3000\u2028\u200b\u200d😀👍🏽ʰª",
]
#: Cased letters beyond ASCII and combining marks. For gpt-4o llama.cpp runs an approximation that
#: takes them otherwise than the published rule, which the models were trained with and ours is.
BEYOND_ASCII = [*"éÉÜßПпжǅKİ", "\u017f", "ि", "\u0301"]


@contextmanager
def llama_cpp(model: Path) -> Iterator[Tokenize]:
    """Serve a model with llama.cpp and yield its way to tokenize plain text."""
    command = [sys.executable, "-c", SERVER, str(model)]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
        httpx.Client(headers={"Connection": "close"}, timeout=30, trust_env=False) as client,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        assert address, "llama.cpp did not start"

        def tokenize(text: str) -> list[int]:
            request = {"content": text, "add_special": False, "parse_special": False}
            reply = client.post(f"{address}/tokenize", content=json.dumps(request))
            ids: list[int] = reply.raise_for_status().json()["tokens"]
            return ids

        try:
            yield tokenize
        finally:
            process.kill()


def random_texts(count: int, characters: list[str]) -> list[str]:
    generator = random.Random(20)
    return [
        "".join(generator.choices(characters, k=generator.randint(1, 24))) for _ in range(count)
    ]


def differences(vocabulary: Vocabulary, tokenize: Tokenize, texts: list[str]) -> list[str]:
    return [text for text in texts if tokenize(text) != vocabulary.encode(text)]


@pytest.mark.parametrize("pre", PRE_NAMES)
def test_split_rules_are_llama_cpps(tmp_path: Path, pre: str) -> None:
    pytest.importorskip("xllamacpp", reason="needs the embedded engine (extra: embedded)")
    characters = CHARACTERS + ([] if pre == "gpt-4o" else BEYOND_ASCII)
    tempting = [".\n/a", "*/\r\n//b", "a <|im_end|> b"]
    tempting += [f"{word}'{end}x" for word in "aB" for end in ("s", "S", "rE", "LL", "vex", "m")]
    texts = [*tempting * 3, *random_texts(250, characters)]
    model = tmp_path / "tiny.gguf"
    bpe = tiny_models.train_across_splits(texts)
    model.write_bytes(tiny_models.gguf_bytes(bpe, pre))
    with llama_cpp(model) as tokenize:
        assert differences(Vocabulary.load(model), tokenize, texts) == []


@pytest.mark.model
def test_ids_of_the_default_weights_are_llama_cpps() -> None:
    pytest.importorskip("xllamacpp", reason="needs the embedded engine (extra: embedded)")
    try:
        weights = resolve(DEFAULT.name)
    except WeightsError as error:
        pytest.skip(str(error))
    sources = [path.read_text("utf-8") for path in Path(__file__).parent.glob("*.py")]
    lines = [line for source in sources for line in source.splitlines(keepends=True)]
    texts = [
        *sources,
        *random.Random(3).sample(lines, 150),
        *tiny_models.CORPUS,
        *(" " * width + "x" + "\n" * width for width in range(1, 40)),
        *(str(7**power) for power in range(1, 60, 3)),
        *random_texts(200, CHARACTERS + BEYOND_ASCII),
    ]
    # llama.cpp reads these two in any text; ours are plain text there, as the tests demand.
    texts = [text.replace("tool_call", "tool call") for text in texts]
    with llama_cpp(weights) as tokenize:
        assert differences(Vocabulary.load(weights), tokenize, texts) == []
