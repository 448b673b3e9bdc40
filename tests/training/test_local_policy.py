"""A small model as a policy, served and trained by rewards; stages; needs torch."""

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.training.test_corpus import row, write
from tests.training.tiny_qwen import save_tiny
from training import errors
from training.corpus.build import build
from training.corpus.rules import Rules
from training.local.model import LoraModel
from training.local.policy import LocalLearner, LocalSampler, open_sampler
from training.local.stages import Inputs, train_stages
from training.local.train import train_here
from training.rl.bridge import open_bridge
from training.rl.policy import Asked, Rollout
from training.tuning.recipe import load_recipe, load_rl_recipe

torch: Any = pytest.importorskip("torch", reason="needs torch: install the extra `train`")
pytest.importorskip("peft", reason="needs peft: install the extra `train`")
transformers: Any = pytest.importorskip("transformers", reason="install the extra `train`")

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
]
RECIPE = load_rl_recipe("rl").model_copy(update={"rank": 4, "learning_rate": 0.01})
PROMPT = (1, 2, 3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "base", torch, transformers)


def rollouts(sampler: LocalSampler) -> list[Rollout]:
    """Return continuations that are rewarded for even ids."""
    made = []
    for seed in range(12):
        sampled = sampler.sample(Asked(PROMPT, 6, 1.0, seed=seed))
        ids = np.array([*PROMPT, *sampled.ids], np.uint32)
        mask = np.array([0, 0, 0, *[1] * len(sampled.ids)], np.uint8)
        logprobs = np.array([0, 0, 0, *sampled.logprobs], np.float32)
        even = float(np.mean([token % 2 == 0 for token in sampled.ids]))
        made.append(Rollout(ids, mask, logprobs, even - 0.5))
    return made


@pytest.mark.parametrize("loss", ["importance_sampling", "ppo"])
def test_a_policy_samples_learns_and_goes_on_from_its_checkpoint(
    loss: str, base: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"loss": loss})
    learner = LocalLearner(tmp_path, base, recipe, None)
    made = rollouts(learner.sampler())
    first = learner.learn(made, 0.01, recipe)
    for rollout, logprobs in zip(made, first, strict=True):
        # with weights that have not moved, the trainer says what the sampler said
        assert np.allclose(logprobs[2:], rollout.logprobs[3:], atol=1e-4)
    second = learner.learn(made, 0.01, recipe)
    gains = [each.advantage for each in made]
    moved = [float((after - before)[2:].sum()) for before, after in zip(first, second, strict=True)]
    assert np.dot(gains, moved) > 0
    saved = learner.save("one")
    third = learner.learn(made, 0.0, recipe)
    again = LocalLearner(tmp_path, base, recipe, saved["state_path"])
    assert np.allclose(np.concatenate(again.learn(made, 0.0, recipe)), np.concatenate(third))


def test_sampling_follows_what_is_asked(base: Path) -> None:
    sampler = open_sampler(base)
    greedy = sampler.sample(Asked(PROMPT, 8, 0.0))
    assert sampler.sample(Asked(PROMPT, 8, 1.0, top_k=1, seed=5)).ids == greedy.ids
    assert sampler.sample(Asked(PROMPT, 8, 1.0, top_p=1e-6, seed=5)).ids == greedy.ids
    one, same, other = (sampler.sample(Asked(PROMPT, 8, 1.0, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one.ids != other.ids
    told = [float(sampler.score([*PROMPT, each])[-1] or 0) for each in range(64)]
    first = sorted(np.exp(told), reverse=True)
    # more than the likeliest has of all, and less than it has of the two likeliest
    between = float(first[0] + first[0] / (first[0] + first[1])) / 2
    asked = [Asked(PROMPT, 1, 1.0, top_k=2, top_p=between, seed=seed) for seed in range(40)]
    assert {sampler.sample(each).ids[0] for each in asked} == {greedy.ids[0]}
    scores = sampler.score([*PROMPT, *one.ids])
    assert scores[0] is None
    assert np.allclose([float(each or 0) for each in scores[3:]], one.logprobs, atol=1e-4)
    cut = sampler.sample(Asked(PROMPT, 8, 1.0, seed=1, stop_ids=(one.ids[2],)))
    assert cut.ids == one.ids[: one.ids.index(one.ids[2]) + 1]


async def test_a_model_is_served_in_parts_with_scores(base: Path) -> None:
    sampler = open_sampler(base)
    async with (
        open_bridge(sampler, "tiny", context=512, chunk=3) as bridge,
        httpx.AsyncClient(base_url=bridge.url, timeout=30) as http,
    ):
        listing = (await http.get("/v1/models")).json()
        assert listing["data"][0]["max_model_len"] == 512
        body: dict[str, Any] = {
            "prompt": list(PROMPT), "max_tokens": 7, "temperature": 0, "logprobs": 1,
            "prompt_logprobs": 1,
        }  # fmt: skip
        answer = (await http.post("/v1/completions", json=body)).json()["choices"][0]
        streamed = (await http.post("/v1/completions", json=body | {"stream": True})).text
        wrong = await http.post("/v1/completions", json={"prompt": [], "max_tokens": 1})
    assert wrong.status_code == 422
    assert answer["token_ids"] == sampler.sample(Asked(PROMPT, 7, 0.0)).ids
    assert answer["finish_reason"] == "length"
    assert len(answer["logprobs"]["token_logprobs"]) == 7
    assert [each is None for each in answer["prompt_logprobs"]] == [True, False, False]
    assert streamed.count('"token_ids"') == 3
    assert streamed.rstrip().endswith("data: [DONE]")


def test_full_goes_through_the_stages_that_there_is_a_corpus_for(
    base: Path, corpus: Path, tmp_path: Path
) -> None:
    told = train_stages("full", Inputs(base=base, corpus=corpus, bits=4), tmp_path / "run")
    assert "of kind cot" in told["cot"]["left_out"]
    assert told["tir"]["after"]["trained"] >= told["tir"]["before"]["trained"]
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
    config = (tmp_path / "run" / "tir" / "config.json").read_text()
    assert '"bits": 16' in config  # no four bits on a CPU
    words = [row(f"p{n}", [10 + n, 11, 12, 13, 14]) for n in range(6)]
    for number, each in enumerate(words):
        each["ids"][0] = number  # each problem has a prompt of its own
    build([write(tmp_path / "words.jsonl", words)], tmp_path / "words", Rules())
    more = Inputs(base=base, corpus=tmp_path / "words", start=tmp_path / "run" / "adapter")
    assert train_stages("cot", more, tmp_path / "more")["cot"]["steps"] == 3
    with pytest.raises(errors.BadFile, match="needs problems"):
        train_stages("rl", more, tmp_path / "rl")
    with pytest.raises(errors.BadFile, match="needs a corpus"):
        train_stages("sft", Inputs(base=base), tmp_path / "sft")


def test_a_learning_rate_is_that_of_all_stages(base: Path, corpus: Path, tmp_path: Path) -> None:
    given = Inputs(base=base, corpus=corpus)
    train_stages("full", given, tmp_path / "run", learning_rate=0.003)
    config = json.loads((tmp_path / "run" / "tir" / "config.json").read_text())
    assert config["recipe"]["learning_rate"] == 0.003
    with pytest.raises(errors.BadFile, match="above 0"):
        train_stages("full", given, tmp_path / "other", learning_rate=-0.003)


def test_a_full_disk_is_told_by_the_checkpoints_name(base: Path, tmp_path: Path) -> None:
    learner = LocalLearner(tmp_path, base, RECIPE, None)
    learner.learn(rollouts(learner.sampler()), 0.01, RECIPE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # the adapter's card, the adapter, and the optimiser's state are too much
        for most in (500, 10_000, 40_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
            with pytest.raises(errors.OutputFailed, match=r"checkpoint-one: .* free some space"):
                learner.save("one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert learner.save("two")["state_path"] == "checkpoint-two"


def test_folders_that_are_no_model_and_no_adapter_of_it_are_named(
    base: Path, tmp_path: Path
) -> None:
    with pytest.raises(errors.BadBase, match="none: is no folder"):
        open_sampler(tmp_path / "none")
    with pytest.raises(errors.BadAdapter, match=r"none: has no adapter_config.json"):
        open_sampler(base, tmp_path / "none")
    LoraModel(base, 4, 0).save(tmp_path / "adapter")
    with pytest.raises(errors.BadAdapter, match=r"(?s)adapter: peft cannot .*size mismatch"):
        open_sampler(save_tiny(tmp_path / "wider", torch, transformers, 64), tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(errors.BadAdapter, match="adapter: peft cannot put it on"):
        LocalLearner(tmp_path, base, RECIPE, None, start=tmp_path / "adapter")
    copy = save_tiny(tmp_path / "copy", torch, transformers)
    (copy / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(errors.BadBase, match="copy: transformers cannot load it"):
        open_sampler(copy)


def rewritten(source: Path, target: Path, names: tuple[str, str], **settings: object) -> Path:
    """Copy an adapter with other names of its tensors, and other settings; None takes one away."""
    target.mkdir()
    weights = load_file(source / "adapter_model.safetensors")
    renamed = {name.replace(*names): weight for name, weight in weights.items()}
    save_file(renamed, target / "adapter_model.safetensors")
    config = json.loads((source / "adapter_config.json").read_text()) | settings
    kept = {name: value for name, value in config.items() if name not in settings or value}
    (target / "adapter_config.json").write_text(json.dumps(kept))
    return target


@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
def test_adapters_of_which_peft_would_leave_something_out_are_refused(
    base: Path, tmp_path: Path
) -> None:
    LoraModel(base, 4, 0).save(tmp_path / "whole")
    open_sampler(base, tmp_path / "whole")
    cases: list[tuple[tuple[str, str], dict[str, object], str]] = [
        (("self_attn", "attn"), {}, r"16 of its tensors have no place .* and 16 are missing"),
        (("base_model.model.", ""), {}, "no place for"),  # as other tools name them
        (("", ""), {"target_modules": ["q_proj"]}, "24 of its tensors have no place"),
        (("", ""), {"peft_type": None}, "KeyError: 'peft_type'"),
        (("", ""), {"r": "4"}, "TypeError"),
    ]
    for number, (names, settings, told) in enumerate(cases):
        made = rewritten(tmp_path / "whole", tmp_path / str(number), names, **settings)
        with pytest.raises(errors.BadAdapter, match=told):
            open_sampler(base, made)
        with pytest.raises(errors.BadAdapter, match=told):
            LoraModel(base, 4, 0, start=made)


def test_a_model_with_no_layer_that_is_trained_is_refused(tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(errors.BadBase, match=r"GPT2LMHeadModel has no layer .* q_proj, k_proj, "):
        LoraModel(tmp_path / "gpt2", 4, 0)


def test_a_run_does_not_go_on_from_another_start(base: Path, corpus: Path, tmp_path: Path) -> None:
    recipe = load_recipe("tir").model_copy(update={"rank": 4})
    for seed, name in enumerate(("one", "other")):
        LoraModel(base, 4, seed).save(tmp_path / name / "adapter")
    run = tmp_path / "run"
    train_here(corpus, run, base, recipe, start=tmp_path / "one" / "adapter")
    config = json.loads((run / "config.json").read_text())
    assert [each["name"] for each in config["start"]] == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    with pytest.raises(errors.OutputExists, match="another configuration"):
        train_here(corpus, run, base, recipe, start=tmp_path / "other" / "adapter")


def test_weights_that_are_no_numbers_end_a_run_by_name(base: Path, tmp_path: Path) -> None:
    learner = LocalLearner(tmp_path, base, RECIPE, None)
    made = rollouts(learner.sampler())
    far = replace(made[0], logprobs=np.where(made[0].mask, -1e4, 0).astype(np.float32))
    with pytest.raises(errors.Diverged, match="its loss is no number"):
        learner.learn([far, *made[1:]], 0.01, RECIPE)
    weights = list(learner._model.model.parameters())
    assert all(bool(each.isfinite().all()) for each in weights)  # no step was taken
    weights[0].data.fill_(float("nan"))
    for temperature in (0.0, 1.0):
        with pytest.raises(errors.Diverged, match="what it writes is no number"):
            learner.sampler().sample(Asked(PROMPT, 4, temperature))


def test_problems_that_are_all_held_out_are_told(base: Path, tmp_path: Path) -> None:
    given = Inputs(base=base, corpus=None, files=[tmp_path / "problems.jsonl"])
    with pytest.raises(errors.EmptyCorpus, match="all problems are held out"):
        train_stages("rl", given, tmp_path / "run")
