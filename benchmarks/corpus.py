"""What a corpus costs: 1,000 traces of 30,000 tokens from a journal's export to entries on disk.

    make bench NAME=corpus

The traces are made up, as repetitive as recorded attempts of gpt-oss-120b are: those have 8.4 bits
a token by the frequencies of their ids, and LZMA needs 5.2 bits for one (16 attempts of 45,000
tokens). Each token here comes from a frequent-word distribution (8.4 bits), or goes on with a
phrase that came before, in the share that gives LZMA the same 5.2 bits; the table shows both. The
peer for time is reading the same export without doing anything with it.
"""

import json
import lzma
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from numpy.typing import NDArray

from benchmarks.report import Result, finish, print_table
from training.corpus.build import build
from training.corpus.rules import Rules
from training.corpus.store import ENTRIES, PROMPTS, read_entries

TRACES, TOKENS, PROMPT = 1_000, 30_000, 400
#: Different ids of the recorded attempts, and the exponent that gives their 8.4 bits.
VOCABULARY, EXPONENT = 6_006, 1.18
#: Length of a phrase that is written again, and how often the next thing is one.
PHRASE, AGAIN = 12, 0.09


def main(
    traces: Annotated[int, typer.Option(help="traces")] = TRACES,
    tokens: Annotated[int, typer.Option(help="tokens of each")] = TOKENS,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        export = folder / "traces.jsonl"
        entropy, squeezed = _write_traces(export, traces, tokens)
        begun = time.perf_counter()
        with export.open("rb") as file:
            for line in file:
                orjson.loads(line)
        read = time.perf_counter() - begun
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            seconds, peak = pool.apply(make, (export, folder / "corpus"))
        stored = sum((folder / "corpus" / each).stat().st_size for each in (ENTRIES, PROMPTS))
        kept = sum(len(each.ids) + len(each.prompt) for each in read_entries(folder / "corpus"))
        size = export.stat().st_size
    wanted = traces * (tokens + PROMPT)
    print_table(
        f"{traces} traces of {tokens} tokens",
        ["what", "value"],
        [
            ("export", f"{size / 1e6:.0f} MB"),
            ("bits a token by frequency", f"{entropy:.2f}"),
            ("bits a token by LZMA", f"{squeezed:.2f}"),
            ("reading the export once", f"{read:.1f} s"),
            ("making the corpus", f"{seconds:.1f} s"),
        ],
    )
    finish(
        [
            Result("corpus_time", seconds, "s", most=60),
            Result("corpus_of_reading", seconds / read, "times reading the export once"),
            Result("corpus_peak", peak, "GB", most=2),
            Result("corpus_size", stored / (traces * tokens), "bytes/token", most=1.2),
            Result("corpus_lost", wanted - kept, "tokens", most=0),
        ]
    )


def _write_traces(path: Path, count: int, tokens: int) -> tuple[float, float]:
    """Write an export; return its bits a token by frequency and by LZMA."""
    source = np.random.default_rng(0)
    weights = 1.0 / (np.arange(VOCABULARY) + 2.7) ** EXPONENT
    weights /= weights.sum()
    prompt = source.integers(0, 200_000, PROMPT).tolist()
    names = source.permutation(200_000)[:VOCABULARY].astype(np.uint32)
    squeezed: list[float] = []
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            ids = names[_repetitive(source, source.choice(VOCABULARY, tokens, p=weights))]
            if number < 3:
                squeezed.append(8 * len(lzma.compress(ids.tobytes())) / tokens)
            mask = np.ones(tokens, np.uint8)
            for begin in source.integers(0, tokens, 30):  # results of code
                mask[begin : begin + 60] = 0
            mask[0] = 1
            row = {
                "problem_id": f"p{number % 50}", "answer": "1", "truth": "1", "model": "made up",
                "tool_calls": 30, "complete": True, "ids": prompt + ids.tolist(),
                "mask": [0] * PROMPT + mask.tolist(),
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
    return float(-(weights * np.log2(weights)).sum()), float(np.mean(squeezed))


def _repetitive(source: np.random.Generator, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write phrases again that came before, in place of what is there."""
    place = 200
    while place < len(ids) - PHRASE:
        if source.random() < AGAIN:
            begin = int(source.integers(0, place - PHRASE))
            ids[place : place + PHRASE] = ids[begin : begin + PHRASE]
            place += PHRASE
        else:
            place += 1
    return ids


def make(export: Path, target: Path) -> tuple[float, float]:
    """Make the corpus; return seconds and the process's peak memory in GB."""
    begun = time.perf_counter()
    build([export], target, Rules())
    seconds = time.perf_counter() - begun
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return seconds, int(kilobytes) * 1024 / 1e9


if __name__ == "__main__":
    typer.run(main)
