"""llama.cpp beyond the contract: exact ids, prefixes prefilled once, deaths, damaged weights."""

import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from server.engine import llamacpp
from server.engine.base import EngineState, Sampling
from server.engine.errors import EngineFailed
from server.engine.llamacpp import LlamaCppEngine, LlamaCppOptions, open_llamacpp
from server.engine.llamacpp_child import ChildConfig, common_parameters
from server.engine.llamacpp_http import completion_body
from server.engine.prefixes import WORTH_TOKENS
from server.vocabulary import Vocabulary
from tests.server.engine.llamacpp_cases import (
    NEEDS_XLLAMACPP,
    PATIENCE_S,
    chunks_of,
    default_weights,
    generated,
    greedy,
    metric,
    ready_engine,
    until_idle,
)
from tests.server.engine.tiny_llama import CONTEXT_TOKENS

#: Emoji and rare characters, whose bytes are tokens of their own in every small vocabulary.
RARE = "😀鱻🧮"


@pytest.fixture(scope="module")
async def tiny(tiny_path: Path, tiny_vocabulary: Vocabulary) -> AsyncIterator[LlamaCppEngine]:
    async with ready_engine(tiny_path, tiny_vocabulary, slots=4) as engine:
        yield engine


@pytest.fixture(scope="module")
async def default() -> AsyncIterator[LlamaCppEngine]:
    path = default_weights()
    async with ready_engine(path, Vocabulary.load(path), context_tokens=512) as engine:
        yield engine


@pytest.fixture(
    params=[
        pytest.param("tiny", id="tiny"),
        pytest.param("default", id="default", marks=pytest.mark.model),
    ]
)
def engine(request: pytest.FixtureRequest) -> LlamaCppEngine:
    engine: LlamaCppEngine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def grammar(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes llama.cpp sample nothing but this text."""
    plain = completion_body

    def write_only(text: str) -> None:
        def body(prompt: list[int], sampling: Sampling, slot: int) -> dict[str, Any]:
            return {**plain(prompt, sampling, slot), "grammar": f'root ::= "{text}"'}

        monkeypatch.setattr(llamacpp, "completion_body", body)

    return write_only


def test_the_child_sends_no_comments_where_it_makes_no_tokens() -> None:
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    config = ChildConfig("a.gguf", "k", 1, 512, 1, 0, "/nowhere")
    # Older versions have none to switch off.
    assert getattr(common_parameters(config), "sse_ping_interval", -1) == -1


def truncated(whole: Path, path: Path) -> Path:
    """Write the first two thirds of a file, and return where."""
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


@pytest.mark.parametrize("text", [*RARE, RARE, f"a{RARE}b", "x = 1  # ≤ ∑ é"])
async def test_no_text_is_lost_inside_characters(
    engine: LlamaCppEngine, grammar: Callable[[str], None], text: str
) -> None:
    vocabulary = engine._vocabulary
    grammar(text)
    chunks = await chunks_of(engine, vocabulary.encode("Hello"), greedy(64, top_logprobs=1))
    *ids, end = [token_id for chunk in chunks for token_id in chunk.token_ids]
    assert end in vocabulary.eos_ids
    assert vocabulary.decode(ids) == text
    for chunk in chunks:
        assert len(chunk.logprobs) in (0, len(chunk.token_ids))


async def test_recovered_ids_are_the_sampled_ones(
    tiny: LlamaCppEngine, grammar: Callable[[str], None]
) -> None:
    """A character that has one spelling only, in three tokens: its ids are certain."""
    vocabulary = tiny._vocabulary
    ways = [vocabulary.spell("鱻".encode(), count) for count in (1, 2, 3)]
    assert list(map(len, ways)) == [0, 0, 1]
    grammar("鱻")
    chunks = await chunks_of(tiny, vocabulary.encode("Hello"), greedy(8))
    ids = [token_id for chunk in chunks for token_id in chunk.token_ids]
    assert tuple(ids[:-1]) == ways[2][0]
    assert all(chunk.exact for chunk in chunks)


async def test_every_kind_of_token_has_a_score(engine: LlamaCppEngine) -> None:
    vocabulary = engine._vocabulary
    prompt = vocabulary.encode("Hello")
    ((partial,), *_) = vocabulary.spell(b"\xf0", 1)
    for token_id in (partial, vocabulary.control("<|im_end|>"), vocabulary.encode(" a")[0]):
        with anyio.fail_after(PATIENCE_S):
            (logprob,) = await engine.score([*prompt, token_id], len(prompt))
        assert -100 < logprob < 0


async def test_scores_are_of_one_distribution(tiny: LlamaCppEngine) -> None:
    """All tokens' probabilities sum to one, those that only a wide look finds too."""
    prompt = tiny._vocabulary.encode("The quick")
    total = 0.0
    for token_id in range(tiny._vocabulary.size):
        (logprob,) = await tiny.score([*prompt, token_id], len(prompt))
        total += math.exp(logprob)
    assert total == pytest.approx(1, abs=1e-3)


async def test_a_prompt_is_prefilled_once_for_all_sessions(tiny: LlamaCppEngine) -> None:
    prompt = tiny._vocabulary.encode("A prompt that no other test has: " + "one two three " * 30)
    assert len(prompt) > 4 * WORTH_TOKENS
    before = await metric(tiny, "prompt_tokens_total")
    results: list[list[int]] = []

    async def run(session: str) -> None:
        results.append(await generated(tiny, prompt, 4, session))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(run, f"shared-{number}")
    for number in range(4):
        tiny.release(f"shared-{number}")
    prefilled = await metric(tiny, "prompt_tokens_total") - before
    # Each session computes the last token anew, for its logits.
    assert len(prompt) <= prefilled <= len(prompt) + 4
    assert results == results[:1] * 4


async def test_what_a_prompt_shares_with_an_earlier_one_is_not_prefilled(
    tiny: LlamaCppEngine,
) -> None:
    encode = tiny._vocabulary.encode
    system = encode("Another prompt of its own: " + "four five six " * 30)
    await generated(tiny, [*system, *encode(" first problem")], 4, "first")
    # The first session's slot is its own, so the second one starts from the saved state.
    before = await metric(tiny, "prompt_tokens_total")
    problem = encode(" second problem")
    await generated(tiny, [*system, *problem], 4, "second")
    prefilled = await metric(tiny, "prompt_tokens_total") - before
    tiny.release("first")
    tiny.release("second")
    assert prefilled <= len(problem) + 2


async def test_each_later_turn_computes_only_what_is_new(engine: LlamaCppEngine) -> None:
    encode = engine._vocabulary.encode
    ids = encode("Once upon a time there was a number, and its name was")
    ids += await generated(engine, ids, 8, "turns")
    for turn in range(3):
        appended = encode(f" (turn {turn})")
        ids += appended
        before = await metric(engine, "prompt_tokens_total")
        ids += await generated(engine, ids, 8, "turns")
        prefilled = await metric(engine, "prompt_tokens_total") - before
        # The last sampled token was never put into the slot.
        assert prefilled <= len(appended) + 1
    engine.release("turns")


async def test_damaged_weights_fail_soon_with_the_reason(
    tiny_path: Path, tiny_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    damaged = truncated(tiny_path, tmp_path / "damaged.gguf")
    others = set(psutil.Process().children())
    options = LlamaCppOptions(model_path=damaged, slots=1, context_tokens=512, threads=1)
    with anyio.fail_after(10):
        async with open_llamacpp(options, tiny_vocabulary) as engine:
            # llama.cpp writes its log on a thread of its own: the reason may not be out at its end.
            with pytest.raises(EngineFailed, match=r"corrupted or incomplete|did not start"):
                await engine.wait_ready()
            assert engine.status().state is EngineState.FAILED
            assert "damaged" in engine.status().detail
            assert set(psutil.Process().children()) <= others


async def test_a_context_that_the_model_does_not_have_is_refused_at_once(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    options = LlamaCppOptions(
        model_path=tiny_path, slots=1, context_tokens=CONTEXT_TOKENS + 1, threads=1
    )
    with anyio.fail_after(10):
        async with open_llamacpp(options, tiny_vocabulary) as engine:
            with pytest.raises(EngineFailed, match=r"context_tokens 4097: tiny .* 4096 tokens"):
                await engine.wait_ready()
            assert engine.status().restarts == 0


@pytest.mark.model
async def test_closing_a_stream_stops_the_decode_at_once(default: LlamaCppEngine) -> None:
    prompt = default._vocabulary.encode("1 2 3 4 5 6 7 8 9 10 11 12")
    before = await metric(default, "tokens_predicted_total")
    seen = 0
    async with default.generate(prompt, greedy(400), session="leaves") as stream:
        async for chunk in stream:
            seen += len(chunk.token_ids)
            if seen >= 8:
                break
    await until_idle(default, within_s=2)
    after = await metric(default, "tokens_predicted_total")
    assert after - before - seen <= 3
    default.release("leaves")
