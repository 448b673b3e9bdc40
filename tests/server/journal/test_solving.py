"""The real solve loop writes the journal: every event, every token, asked for or not."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import numpy as np
import pytest

from client.schema import (
    AttemptSegment,
    Event,
    SolveQueued,
    SolveRequest,
    SolveRequested,
    SolveResult,
    SolveStarted,
)
from sandbox.pool import KernelPool
from server.dialect.catalogue import open_dialect
from server.journal.check import check
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.journal.versions import versions_of
from server.settings import Settings
from server.solve.service import Recording, open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from tests.sandbox.pools import lean_settings
from tests.server.journal.stories import options
from tests.server.solve.rehearsal import PROBLEM, Part, Play, boxed, lines, make_engine, python
from tests.server.vocabulary import tiny_models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    return path


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[KernelPool]:
    async with KernelPool(lean_settings(kernels=2, spares=2)) as opened:
        yield opened


async def solve(
    journal: Journal, model: Path, pool: KernelPool, play: Play, **request: object
) -> tuple[SolveResult, list[Event], dict[int, list[int]]]:
    """Return the result, the events that a follower saw, and each attempt's ids by the engine."""
    vocabulary = Vocabulary.load(model)
    dialect = open_dialect("auto", vocabulary)
    engine = make_engine(vocabulary, dialect, play)
    settings = Settings()
    recording = Recording(journal, versions_of(settings, model))
    wanted = {"problem": PROBLEM, "attempts": 2, "agree": 2, "time_limit_s": 20.0, **request}
    parts = SolverParts(engine, dialect, vocabulary, pool)
    async with open_service(settings, parts, recording) as service:
        handle = service.submit(SolveRequest.model_validate(wanted))
        seen: list[Event] = []
        with anyio.fail_after(30):
            async for event in handle.events.follow():
                seen.append(event)  # noqa: PERF401 - read as they come
            result = await handle.result()
    last_prompts = {int(r.session.rsplit("-", 1)[1]): list(r.prompt) for r in engine.requests}
    return result, seen, last_prompts


async def test_events_tokens_and_votes_of_a_solve(
    tmp_path: Path, model: Path, pool: KernelPool
) -> None:
    play = lines([python("print(6 * 7)")], boxed("42"))
    async with Journal(options(tmp_path)) as journal:
        result, seen, prompts = await solve(journal, model, pool, play, seed=5)
        assert await journal.flush()
        assert not [event for event in seen if isinstance(event, AttemptSegment)]
        with JournalReader(tmp_path / "journal.sqlite") as reader:
            stored = list(reader.events())
            untold = [event for event in stored if isinstance(event, AttemptSegment)]
            assert [event for event in stored if event not in untold] == seen
            assert untold
            assert list(check(reader)) == []
            for report in result.attempts:
                tokens = reader.tokens(result.solve_id, report.attempt)
                prompt = prompts[report.attempt]
                assert tokens.ids.tolist()[: len(prompt)] == prompt
                assert int(tokens.sampled.sum()) == report.tokens.sampled
                for numbers in (tokens.logprobs, tokens.confidence):
                    assert (np.isfinite(numbers) == tokens.sampled).all()
                assert reader.attempts(result.solve_id)[report.attempt].answer == "42"
            assert reader.solve(result.solve_id).answer == result.answer == "42"


async def test_the_request_and_what_worked_on_it_are_recorded(
    tmp_path: Path, model: Path, pool: KernelPool
) -> None:
    async with Journal(options(tmp_path)) as journal:
        await solve(journal, model, pool, lines(boxed("42")), seed=5, temperature=0.3)
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        queued, requested, started, *_ = reader.events()
    assert isinstance(queued, SolveQueued)
    assert isinstance(requested, SolveRequested)
    assert isinstance(started, SolveStarted)
    again = SolveRequest.model_validate(requested.request)
    assert (again.problem, again.seed, again.temperature) == (PROBLEM, 5, 0.3)
    assert requested.request.keys() == {
        "problem", "answer_kind", "attempts", "again", "agree", "time_limit_s", "seed", "offset",
        "temperature", "tokens",
    }  # fmt: skip
    versions = requested.versions
    assert versions.model_file == "tiny.gguf"
    assert versions.model_bytes == len(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "qwen2"))
    assert len(versions.prompts) == 64
    solve_settings = versions.settings["solve"]
    assert isinstance(solve_settings, dict)
    assert solve_settings["top_p"] == Settings().solve.top_p


async def test_a_long_turn_is_recorded_while_it_is_sampled(
    tmp_path: Path, model: Path, pool: KernelPool
) -> None:
    """What a kill in mid-turn would lose is bounded: the tokens do not wait for the turn's end."""
    gate = anyio.Event()
    path = tmp_path / "journal.sqlite"

    def play(_attempt: int, _stream: int) -> list[Part]:
        return ["a line of thought. " * 20, gate, *boxed("42")]

    async with Journal(options(tmp_path)) as journal, anyio.create_task_group() as group:
        group.start_soon(solve_quietly, journal, model, pool, play)
        with JournalReader(path) as reader, anyio.fail_after(20):
            while not len(reader.query("SELECT 1 FROM segments WHERE kind = 'sampled'")):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        gate.set()


async def solve_quietly(journal: Journal, model: Path, pool: KernelPool, play: Play) -> None:
    await solve(journal, model, pool, play, strategy="majority_vote", attempts=1, agree=1)
