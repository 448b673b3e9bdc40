"""The real SGLang with gpt-oss-120b's shape on made-up weights: harmony, solves, aborts.

All 36 layers take 65 GB; `SGLANG_TEST_LAYERS` takes fewer of them on a smaller GPU.
"""

import importlib.util
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import pytest

from benchmarks.gpu_models import write_gpt_oss
from client.schema import AttemptEnd, SolveRequest
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.dialect.catalogue import open_dialect
from server.engine.base import Sampling
from server.engine.sglang import SglangEngine, SglangLimits
from server.engine.sglang_process import SglangOptions, open_sglang
from server.sections.solve import SolveSettings
from server.solve.events import EventLog
from server.solve.plan import make_plan
from server.solve.solver import Solver, SolverParts
from server.vocabulary import Vocabulary

START_S = 570
PATIENCE_S = 100
ATTEMPTS = 16
LAYERS = int(os.environ.get("SGLANG_TEST_LAYERS", "36"))

pytestmark = [
    pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs an NVIDIA GPU"),
    pytest.mark.skipif(
        importlib.util.find_spec("sglang") is None, reason="needs SGLang (extra: sglang)"
    ),
]


@dataclass(frozen=True, slots=True)
class Served:
    """The engine and its vocabulary."""

    engine: SglangEngine
    vocabulary: Vocabulary


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("gpt-oss")
    vocabulary = write_gpt_oss(folder, LAYERS)
    options = SglangOptions(
        model_path=folder,
        limits=SglangLimits(slots=ATTEMPTS, context_tokens=16_384, start_timeout_s=START_S),
        log_path=folder / "engine.log",
        memory_fraction=0.85,
        extra=("--load-format", "dummy"),
    )
    async with open_sglang(options, vocabulary) as engine:
        with anyio.fail_after(START_S):
            await engine.wait_ready()
        yield Served(engine, vocabulary)


@pytest.mark.timeout(START_S + 120)
async def test_sixteen_attempts_are_sampled_recorded_and_freed(served: Served) -> None:
    request = SolveRequest(
        problem="Which number is it?", strategy="majority_vote", attempts=ATTEMPTS, agree=ATTEMPTS,
        time_limit_s=60.0, max_tokens=256, seed=1,
    )  # fmt: skip
    plan = make_plan(request, SolveSettings(), cell_timeout_s=1.0)
    dialect = open_dialect("auto", served.vocabulary)
    assert dialect.name == "harmony"
    log = EventLog("gpu", itertools.count(1).__next__)
    # Nothing is computed: the pool is never opened.
    parts = SolverParts(served.engine, dialect, served.vocabulary, KernelPool(PoolSettings()))
    result = await Solver(parts, plan, log).run()
    assert len(result.attempts) == ATTEMPTS
    assert all(report.token_exact for report in result.attempts)
    # What random weights say is no message: all end, by themselves or by the limit.
    wrong = {AttemptEnd.ENGINE_ERROR, AttemptEnd.ENGINE_LOST, AttemptEnd.FAILED}
    assert not wrong & {report.end for report in result.attempts}
    assert sum(report.tokens.sampled for report in result.attempts) > ATTEMPTS
    with anyio.fail_after(PATIENCE_S):
        while await served.engine.sweep():
            await anyio.lowlevel.checkpoint()


async def test_a_prompt_that_grows_is_found_in_the_cache(served: Served) -> None:
    """All of the earlier turn but less than a page, by the server's own count."""
    ids = served.vocabulary.encode("The quick brown fox jumps over the lazy dog. " * 40)
    sampling = Sampling(max_tokens=200, temperature=1, seed=5)
    with anyio.fail_after(PATIENCE_S):
        async with served.engine.generate(ids, sampling, session="s") as stream:
            sampled = [i async for chunk in stream for i in chunk.token_ids]
        grown = [*ids, *sampled]
        more = [*grown, *served.vocabulary.encode(" And so on.")]
        body = {"input_ids": more, "sampling_params": {"max_new_tokens": 1}}
        answer = await served.engine.server.post("/generate", body, PATIENCE_S)
    assert answer["meta_info"]["cached_tokens"] > len(grown) - 64


async def test_log_probabilities_come_with_every_token(served: Served) -> None:
    sampling = Sampling(max_tokens=64, temperature=1, seed=7, top_logprobs=5)
    ids = served.vocabulary.encode("One, two")
    with anyio.fail_after(PATIENCE_S):
        async with served.engine.generate(ids, sampling, session="p") as stream:
            chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        assert len(chunk.logprobs) == len(chunk.top_logprobs) == len(chunk.token_ids)
        assert all(len(top) == 5 for top in chunk.top_logprobs)
