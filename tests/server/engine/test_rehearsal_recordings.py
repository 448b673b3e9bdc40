"""Recorded attempts are played to the token, from exports and from Harmony's flat lists."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from server.engine.base import Sampling
from server.engine.errors import EngineFailed
from server.engine.rehearsal.likely import NEUTRAL
from server.engine.rehearsal.machine import Habits
from server.engine.rehearsal.player import Player
from server.engine.rehearsal.problems import right_answer
from server.engine.rehearsal_process import OWN_VOCABULARIES, RehearsalOptions, open_rehearsal
from server.engine.sglang import SglangLimits
from server.vocabulary import Vocabulary
from tests.contract.dialects import family
from tests.server.engine.test_rehearsal_player import HABITS, SURE, Talk, player, talk

#: Nothing like what is recorded, so that a mix-up is seen.
OTHER = Habits(tokens_median=200, tokens_sigma=0, tokens_most=300, calls_median=1)
KEYS = ["harmony", "qwen", "deepseek", "gemma 3"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An attempt that was held, as a row of an export."""

    held: Talk
    row: dict[str, Any]


def record(key: str, seed: int = 1, **changes: Any) -> Recorded:  # noqa: ANN401
    """Hold an attempt with the synthetic player, and write down what a journal would."""
    held = talk(key)
    held.hold(player(key), seed)
    mask, place = [0] * len(held.ids), len(held.conversation.opening)
    for turn in held.turns:
        while held.ids[place : place + len(turn)] != turn:
            place += 1
        mask[place : place + len(turn)] = [1] * len(turn)
        place += len(turn)
    row = {
        "problem": SURE,
        "dialect": held.dialect.name,
        "ids": held.ids,
        "mask": mask,
        "logprobs": [-0.001 * n if sampled else None for n, sampled in enumerate(mask)],
        "answer": right_answer(SURE),
    }
    return Recorded(held, row | changes)


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "traces.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def replayed(key: str, path: Path, **options: Any) -> Player:  # noqa: ANN401
    return player(key, habits=OTHER, traces=path, **options)


@pytest.mark.parametrize("key", KEYS)
def test_an_export_is_played_to_the_token(key: str, tmp_path: Path) -> None:
    recorded = record(key)
    played = replayed(key, written(tmp_path, recorded.row), seed=99)
    again = talk(key)
    # What the tools say now changes nothing.
    again.run = lambda code: f"something else: {len(code)}"
    again.hold(played, seed=12)
    assert again.turns == recorded.held.turns
    assert len(again.turns) > 1


def test_log_probabilities_are_those_that_were_recorded(tmp_path: Path) -> None:
    recorded = record("qwen")
    played = replayed("qwen", written(tmp_path, recorded.row))
    opening = list(recorded.held.conversation.opening)
    said = recorded.held.turns[0]
    reply = played.reply([*opening, *said[:10]], 1)
    first = len(opening) + 10
    assert reply.ids[: len(said) - 10] == said[10:]
    assert [reply.mood.logprob(first + n) for n in range(3)] == pytest.approx(
        [-0.001 * (first + n) for n in range(3)]
    )
    (entry, *others) = reply.mood.likeliest(said[10], first, 3, 1000)
    assert entry[:2] == (reply.mood.logprob(first), said[10])
    assert all(p <= entry[0] for p, _, _ in others)


def test_attempts_take_recordings_in_turn_and_keep_to_theirs(tmp_path: Path) -> None:
    both = [record("harmony", seed) for seed in (1, 2)]
    played = replayed("harmony", written(tmp_path, *(each.row for each in both)))
    attempts = [talk("harmony") for _ in range(3)]
    begun = [played.reply(attempt.ids, 5).ids for attempt in attempts]
    firsts = [each.held.turns[0] for each in both]
    assert begun == [firsts[0], firsts[1], firsts[0]]
    # The engine dies: another player goes on with each attempt's own.
    fresh = replayed("harmony", tmp_path / "traces.jsonl")
    for attempt, first in zip(attempts, [*firsts, firsts[0]], strict=True):
        assert fresh.reply([*attempt.ids, *first[:40]], 7).ids == first[40:]


def test_problems_without_a_recording_are_made_up(tmp_path: Path) -> None:
    played = replayed("harmony", written(tmp_path, record("harmony").row))
    other = talk("harmony", problem="Another one? [rehearsal: right=1]")
    assert right_answer(other.problem) in other.hold(played)


@pytest.mark.parametrize("key", KEYS)
def test_what_stops_in_mid_text_is_ended_with_its_answer(key: str, tmp_path: Path) -> None:
    recorded = record(key)
    cut = len(recorded.row["ids"]) - len(recorded.held.turns[-1]) // 2
    changes = {name: recorded.row[name][:cut] for name in ("ids", "mask", "logprobs")}
    played = replayed(key, written(tmp_path, recorded.row | changes | {"answer": "777"}))
    final = talk(key).hold(played)
    assert final.endswith("The answer is \\boxed{777}.")


def test_an_answer_that_is_forced_is_the_recorded_one(tmp_path: Path) -> None:
    recorded = record("harmony", answer="4242")
    played, attempt = replayed("harmony", written(tmp_path, recorded.row)), talk("harmony")
    attempt.feed(played.reply(attempt.ids, 1).ids[:20])
    attempt.ids += attempt.conversation.force_answer()
    attempt.feed(played.reply(attempt.ids, 2).ids)
    assert attempt.conversation.answer_text.strip().endswith("{4242}.")


@pytest.mark.parametrize("key", ["statement", "problem"])
def test_a_flat_list_of_harmonys_is_cut_at_calls_and_returns(tmp_path: Path, key: str) -> None:
    recorded = record("harmony")
    opening = len(recorded.held.conversation.opening)
    row = {
        key: SURE,
        "prompt_tokens": recorded.held.ids[:opening],
        "completion_tokens": recorded.held.ids[opening:],
        "attempt_answer": 5,
    }
    again = talk("harmony")
    again.hold(replayed("harmony", written(tmp_path, row)))
    assert again.turns == recorded.held.turns
    made = family("harmony")
    returned = made.ids("<|channel|>final<|message|>five<|return|>")
    more = made.ids("<|start|>user<|message|>In a box.<|end|><|start|>assistant")
    row["completion_tokens"] = [*returned, *more, *returned]
    attempt = talk("harmony")
    attempt.hold(replayed("harmony", written(tmp_path, row)))
    assert attempt.turns == [returned]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ids": [10**6], "mask": [1], "logprobs": None}, r"line 1: token id 1000000 is none"),
        ({"ids": [-1], "mask": [1], "logprobs": None}, "OverflowError"),
        ({"ids": [1, 2], "mask": [1]}, "ValueError"),
        ({"dialect": "gemma"}, "in the dialect gemma, not harmony"),
        ({"mask": None}, "TypeError"),
        ({"problem": None}, "TypeError"),
    ],
)
def test_rows_that_cannot_be_played_are_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, record("harmony").row | changes)
    with pytest.raises(EngineFailed, match=said) as caught:
        replayed("harmony", path)
    assert "rehearsal.traces" in str(caught.value)


def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\xff\n")
    for name in ("missing", "broken"):
        with pytest.raises(EngineFailed, match=r"rehearsal\.traces"):
            replayed("harmony", tmp_path / name)
    nothing: dict[str, Any] = {name: [] for name in ("ids", "mask", "logprobs")}
    empty = replayed("harmony", written(tmp_path, record("harmony").row | nothing))
    assert talk("harmony").hold(empty)


def test_a_program_first_prompt_gets_a_program_that_runs() -> None:
    attempt = talk("qwen", chosen="qwen", variant="literal")
    ran: list[str] = []

    def run(code: str) -> str:
        ran.append(code)
        return attempt.execute(code)

    attempt.run = run
    final = attempt.hold(player("qwen", habits=HABITS))
    assert final.endswith(f"\\boxed{{{right_answer(SURE)}}}.")
    for code in ran:
        compile(code, "a cell", "exec")
    assert ran[0].startswith("# Rehearsal ")


async def test_the_process_plays_them(tmp_path: Path) -> None:
    path = OWN_VOCABULARIES["harmony"]
    vocabulary = Vocabulary.load(path)
    ids = vocabulary.encode("We know it by heart: it is forty-two, and nothing else.")
    asked = vocabulary.encode("What is asked here, in words of its own?")
    row = {"problem": vocabulary.decode(asked), "ids": [*asked, *ids],
           "mask": [0] * len(asked) + [1] * len(ids), "answer": "42"}  # fmt: skip
    options = RehearsalOptions(
        model_path=path,
        limits=SglangLimits(slots=2, context_tokens=4096, start_timeout_s=20),
        traces=str(written(tmp_path, row)),
    )
    async with open_rehearsal(options, vocabulary) as engine:
        with anyio.fail_after(30):
            await engine.wait_ready()
            sampling = Sampling(max_tokens=500, temperature=1, seed=3, top_logprobs=2)
            async with engine.generate(asked, sampling, session="s") as stream:
                said = [i async for chunk in stream for i in chunk.token_ids]
    assert said[: len(ids)] == ids
    assert "\\boxed{42}" in vocabulary.decode(said)


def test_a_mood_without_recorded_probabilities_is_as_others(tmp_path: Path) -> None:
    row = record("harmony").row | {"logprobs": None}
    reply = replayed("harmony", written(tmp_path, row)).reply(talk("harmony").ids, 1)
    assert reply.mood is NEUTRAL
