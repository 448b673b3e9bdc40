"""From attempts to a better model on the same server, end to end on a tiny model: one command.

    make bench NAME=training

The model is made here: random weights of Qwen3's form, a vocabulary of 1,536 tokens. All else is
what a user calls: a gateway with the rehearsal engine writes attempts with real programs, `quorum
train traces generate` keeps them as token ids, `corpus` chooses, `local` trains a LoRA with torch,
`merge` puts it into the weights, `serve` and a gateway run the result, `quorum eval` asks it.
The log-probability of the trained completions must rise, and so must that of held-out problems.
Needs torch and the extra `train`; without them it says so and ends with 77.
"""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from anyio import to_thread
from anyio.streams.buffered import BufferedByteReceiveStream

from benchmarks.report import Result, finish, print_table
from client.session import ServerChoice, session
from server.engine.rehearsal import vocabularies
from server.engine.rehearsal.problems import synthetic

#: What tests and scripts take for "skipped".
SKIPPED = 77
LAYERS, HIDDEN, INNER, HEADS = 2, 128, 256, 4
#: Random weights of the usual size say almost nothing: every token would be equally likely.
LOUD = 8.0
CONTEXT = 4_096
RECIPE = """
kind = "sft"
rank = 32
batch = 8
epochs = {epochs}
learning_rate = 5e-3
longest = 2048
held_out = 0.25
save_every = 50
"""


def main(
    problems: Annotated[int, typer.Option(help="problems of the corpus")] = 24,
    attempts: Annotated[int, typer.Option(help="attempts at each of them")] = 4,
    epochs: Annotated[int, typer.Option(help="passes over the corpus")] = 3,
    asked: Annotated[int, typer.Option(help="problems of the evaluation")] = 4,
    keep: Annotated[Path | None, typer.Option(help="a folder to leave the files in")] = None,
) -> None:
    """Do it all, print, exit 1 when a target is missed."""
    missing = [n for n in ("torch", "transformers", "peft") if importlib.util.find_spec(n) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed; install torch and the extra `train`")
        raise SystemExit(SKIPPED)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        seconds, before, after = anyio.run(_whole_way, folder, problems, attempts, epochs, asked)
        outcome = json.loads((folder / "run" / "result.json").read_text())
        figures = json.loads((folder / "corpus" / "corpus.json").read_text())["figures"]
        reports = json.loads((folder / "merged" / "merge.json").read_text())["tensors"]
    minutes = (time.perf_counter() - begun) / 60
    print_table("The whole way, seconds", list(seconds), [[f"{s:.1f}" for s in seconds.values()]])
    print_table(
        "Mean log-probability of an example's trained ids",
        ["", "before", "after"],
        [
            [k, f"{outcome['before'][k]:.3f}", f"{outcome['after'][k]:.3f}"]
            for k in outcome["after"]
        ],
    )
    print_table(
        "Asked over a gateway",
        ["", "attempts", "right", "boxed", "tokens"],
        [["base", *_shown(before)], ["merged", *_shown(after)]],
    )
    least = min(each["cosine"] for each in reports)
    rise = {k: outcome["after"][k] - outcome["before"][k] for k in outcome["after"]}
    finish(
        [
            Result("trained_rise", rise["trained"], "nats a token", least=0.5),
            Result("held_out_rise", rise.get("held_out", math.nan), "nats a token", least=0.1),
            Result("corpus_entries", figures["entries"], "entries", least=1),
            Result("merged_tensors", len(reports), "tensors", least=1),
            Result("least_cosine", least, "of wanted and applied", least=0.99),
            Result("evaluated", after["attempts"], "attempts", least=1),
            Result("minutes", minutes, "min", most=30),
        ]
    )  # fmt: skip


async def _whole_way(
    folder: Path, problems: int, attempts: int, epochs: int, asked: int
) -> tuple[dict[str, float], dict[str, Any], dict[str, Any]]:
    """Go the whole way in a folder; return each step's seconds and the two evaluations."""
    seconds: dict[str, float] = {}

    async def step(name: str, *arguments: str | Path) -> None:
        begun = time.perf_counter()
        await to_thread.run_sync(quorum, arguments)
        seconds[name] = time.perf_counter() - begun

    begun = time.perf_counter()
    base = await to_thread.run_sync(make_base, folder / "base")
    seconds["base"] = time.perf_counter() - begun
    _write(folder / "problems.jsonl", synthetic(problems, seed=1))
    _write(folder / "asked.jsonl", synthetic(asked, seed=2))
    (folder / "recipe.toml").write_text(RECIPE.format(epochs=epochs))
    rehearsal = ["--engine-kind", "rehearsal", "--engine-model", str(base)]
    rehearsal += ["--engine-context-tokens", str(CONTEXT), "--sandbox-kernels", "2"]
    async with session(ServerChoice(arguments=rehearsal), lambda _: None) as client:
        await step(
            "traces", "train", "traces", "generate", folder / "problems.jsonl", "--to",
            folder / "traces", "--url", client.url, "--stage", str(attempts), "--parallel", "2",
        )  # fmt: skip
    traces = folder / "traces" / "traces.jsonl"
    await step("corpus", "train", "corpus", traces, "--to", folder / "corpus")
    await step(
        "sft", "train", "local", folder / "corpus", "--base", base, "--to", folder / "run",
        "--stage", folder / "recipe.toml",
    )  # fmt: skip
    merged = folder / "merged"
    await step("merge", "train", "merge", base, folder / "run" / "adapter", merged)
    found = []
    for name, model in (("eval base", base), ("eval merged", merged)):
        async with serving(model) as url:
            out = folder / name.replace(" ", "-")
            await step(
                name, "eval", "run", "--set", folder / "asked.jsonl", "--url", url, "--out", out,
                "--attempts", "2", "--time-limit", "120",
            )  # fmt: skip
        found.append(evaluation(out))
    return seconds, found[0], found[1]


def quorum(arguments: Sequence[str | Path]) -> None:
    """Run a `quorum` command; its output is shown when it fails."""
    command = [sys.executable, "-m", "client.main", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: {ended.returncode}\n{ended.stdout}{ended.stderr}")


def make_base(folder: Path) -> Path:
    """Write a tiny model with random weights and the rehearsals' vocabulary."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    vocabulary = Path(vocabularies.__file__).parent / "qwen" / "tokenizer.json"
    tokens = json.loads(vocabulary.read_text())
    ends = {each["content"]: each["id"] for each in tokens["added_tokens"]}
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=len(tokens["model"]["vocab"]) + len(ends), hidden_size=HIDDEN,
        intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2, head_dim=HIDDEN // HEADS, tie_word_embeddings=False,
        max_position_embeddings=CONTEXT, bos_token_id=None,
        eos_token_id=ends["<|im_end|>"], pad_token_id=ends["<|endoftext|>"],
    )  # fmt: skip
    model = transformers.Qwen3ForCausalLM(config)
    model.lm_head.weight.data.mul_(LOUD)
    model.save_pretrained(folder)
    shutil.copyfile(vocabulary, folder / "tokenizer.json")
    return folder


@asynccontextmanager
async def serving(model: Path) -> AsyncIterator[str]:
    """Serve a model's folder by transformers, with a gateway before it; yields its URL."""
    command = [sys.executable, "-m", "client.main", "train", "serve", str(model), "--port", "0"]
    command += ["--context", str(CONTEXT)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    async with await anyio.open_process(command, env=environment, stderr=None) as process:
        try:
            lines = BufferedByteReceiveStream(process.stdout)  # type: ignore[arg-type]
            url = (await lines.receive_until(b"\n", 200)).decode().strip()
            arguments = [
                "--engine-kind", "openai", "--engine-urls", url, "--engine-model", str(model),
                "--engine-context-tokens", str(CONTEXT), "--solve-max-tokens", "256",
                "--solve-max-turns", "2", "--sandbox-kernels", "2",
            ]  # fmt: skip
            async with session(ServerChoice(arguments=arguments), lambda _: None) as client:
                yield client.url
        finally:
            process.terminate()


def evaluation(folder: Path) -> dict[str, Any]:
    """Return what an evaluation's attempts came to."""
    problems = _read(folder / "problems.jsonl")
    attempts = [
        each["report"] | {"id": each["problem"]} for each in _read(folder / "attempts.jsonl")
    ]
    right = {str(each["id"]): str(each["answer"]) for each in problems}
    return {
        "attempts": len(attempts),
        "right": sum(each["answer"] == right[each["id"]] for each in attempts),
        "boxed": sum(each["end"] == "answered" for each in attempts),
        "tokens": sum(each["tokens"]["sampled"] for each in attempts),
    }


def _shown(found: dict[str, Any]) -> list[str]:
    return [str(found[name]) for name in ("attempts", "right", "boxed", "tokens")]


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    typer.run(main)
