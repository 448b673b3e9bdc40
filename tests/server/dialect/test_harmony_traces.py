"""Recorded attempts of gpt-oss-120b, token by token: every call, every result, the same ids."""

from dataclasses import dataclass, field
from typing import Any

from server.dialect.base import Prompt, ToolCall
from server.dialect.harmony import HarmonyDialect
from server.vocabulary import Vocabulary
from tests.server.dialect.published_harmony import needs_traces, published, traces

pytestmark = needs_traces


@dataclass(slots=True)
class Replay:
    """What reading an attempt again brought."""

    calls: list[ToolCall] = field(default_factory=list)
    results: int = 0
    same: int = 0


def replay(vocabulary: Vocabulary, ids: list[int]) -> Replay:
    """Feed an attempt; frame each result again from the text that the record has of it."""
    conversation = HarmonyDialect(vocabulary).open(Prompt("", "", ""))
    message, end = vocabulary.control("<|message|>"), vocabulary.control("<|end|>")
    found = Replay()
    place = 0
    while place < len(ids):
        calls = [event for event in conversation.feed(ids[place]) if isinstance(event, ToolCall)]
        place += 1
        for call in calls:
            found.calls.append(call)
            start = ids.index(message, place) + 1
            text = vocabulary.decode(ids[start : ids.index(end, start)])
            framed = conversation.result(text)
            found.results += 1
            found.same += ids[place : place + len(framed)] == framed
            place += len(framed)
    return found


def calls_in(vocabulary: Vocabulary, row: dict[str, Any]) -> list[str]:
    """Return the code of every call, found in the text without our parser."""
    text = vocabulary.decode(row["completion_tokens"])
    parts = text.split("<|call|>")[:-1]
    return [part.rpartition("<|message|>")[2] for part in parts]


def test_every_call_and_result_of_the_recorded_attempts() -> None:
    vocabulary = published()
    rows = traces()
    assert rows
    for row in rows:
        found = replay(vocabulary, row["completion_tokens"])
        assert [call.code for call in found.calls] == calls_in(vocabulary, row)
        assert all(call.error is None for call in found.calls)
        assert found.same == found.results == len(found.calls)


def test_the_recorded_openings_are_written_again() -> None:
    """From their texts alone: the same ids."""
    vocabulary = published()
    for row in traces():
        text = vocabulary.decode(row["prompt_tokens"])
        tool = text.split("## python\n\n")[1].split("\n\n# Valid channels")[0]
        system = text.split("# Instructions\n\n")[1].split("<|end|>")[0]
        user = text.split("<|start|>user<|message|>")[1].split("<|end|>")[0]
        prompt = Prompt(system=system, user=user, force="", tool=tool)
        assert list(HarmonyDialect(vocabulary).open(prompt).opening) == row["prompt_tokens"]


def test_results_that_stand_in_the_stream_are_no_words_of_the_models() -> None:
    """A whole record read in one go: the same calls, and no result taken for an answer."""
    vocabulary = published()
    for row in traces():
        conversation = HarmonyDialect(vocabulary).open(Prompt("", "", ""))
        events = [event for ident in row["completion_tokens"] for event in conversation.feed(ident)]
        calls = [event.code for event in events if isinstance(event, ToolCall)]
        assert calls == calls_in(vocabulary, row)
        text = vocabulary.decode(row["completion_tokens"])
        finals = [
            part.split("<|")[0]
            for part in text.split("<|start|>assistant<|channel|>final<|message|>")[1:]
        ]
        assert conversation.answer_text == "".join(finals)
