"""Annotation by a model behind a real endpoint of OpenAI's chat completions."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from client.schema import LabelTag as Tag
from tests.server.api.gateway import listening
from tests.training import letters
from tests.training.test_annotations import POSITION
from tests.training.test_corpus import read_json, write
from training import errors
from training.annotate import endpoint
from training.annotate.commands import check_command, write_command
from training.annotate.judged import read_comparison, read_reflection
from training.annotate.passages import Passages
from training.annotate.prompts import wording
from training.annotate.reflections import read_spans
from training.text import load_decoder
from training.traces.read import to_trace
from training.traces.trace import Trace

PROMPT = "Count."
PARTS = ("Let n be é prime.\n\n", "So n is 2.\n\n", "out: 3\n", "The answer is 2.")
MASK = (1, 1, 0, 1)


@dataclass
class Model:
    """Answers each request with the next text; the last one is said again."""

    replies: list[str | int | bytes]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    wait: str = "soon"
    refusal: str = "busy"


def served(model: Model) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        model.asked.append(await request.json())
        model.keys.append(request.headers.get("authorization", ""))
        reply = model.replies.pop(0) if len(model.replies) > 1 else model.replies[0]
        if isinstance(reply, int):
            again = {"retry-after": model.wait}
            return JSONResponse({"error": {"message": model.refusal}}, reply, again)
        if isinstance(reply, bytes):
            return Response(reply, media_type="application/json")
        message = {"role": "assistant", "content": reply}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return JSONResponse({"choices": [{"message": message}], "usage": usage})

    return app


@pytest.fixture
def model() -> Iterator[tuple[str, Model]]:
    answering = Model([])
    with listening(served(answering)) as url:
        yield f"{url}/v1", answering


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    letters.save(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def trace_row(tokenizer: Path, **more: object) -> dict[str, Any]:
    encode = load_decoder(tokenizer)._tokenizer.encode  # type: ignore[attr-defined]
    parts = [encode(part).ids for part in (PROMPT, *PARTS)]
    mask = [value for value, ids in zip((0, *MASK), parts, strict=True) for _ in ids]
    return {
        "solve_id": "s", "attempt": 1, "problem_id": "p", "problem": "How many?", "answer": "2",
        "truth": "2", "ids": [each for ids in parts for each in ids], "mask": mask, **more,
    }  # fmt: skip


@pytest.fixture
def passages(tokenizer: Path) -> tuple[Trace, Passages]:
    trace = to_trace(trace_row(tokenizer))
    return trace, Passages(trace, load_decoder(tokenizer).pieces(trace.ids.tolist()))


def test_passages_are_the_trace_and_quotes_are_found_in_them(
    passages: tuple[Trace, Passages], tokenizer: Path
) -> None:
    trace, made = passages
    decode = load_decoder(tokenizer).decode
    assert [each.text for each in made.list] == list(PARTS)
    assert [each.sampled for each in made.list] == [True, True, False, True]
    assert made.shown() == (
        "[1] Let n be é prime.\n[2] So n is 2.\n[3 output] out: 3\n[4] The answer is 2."
    )
    assert len(made.shown(10)) < 200

    def quoted(number: int, quote: str = "") -> str | None:
        found = made.place(number, quote)
        return None if found is None else decode(trace.ids[slice(*found)].tolist())

    assert quoted(1) == PARTS[0]
    assert quoted(1, "be é  prime") == "be é prime"
    # what begins with a character of several ids begins with the first of them
    assert quoted(1, "é prime") == "é prime"
    assert quoted(4, "The\nanswer") == "The answer"
    assert quoted(4, "prime") is None
    assert quoted(5) is None
    assert np.array_equal(trace.ids[made.list[0].begin :][: len(PARTS[0].encode())],
                          trace.ids[len(PROMPT) :][: len(PARTS[0].encode())])  # fmt: skip


GOOD: dict[str, Any] = {
    "summary": "It guessed.",
    "spans": [
        {"tag": "insight", "passage": 1, "quote": "", "reason": "it helps"},
        {"tag": "mistake", "passage": 2, "quote": "n is 2", "source": 1, "reason": "unproved"},
        {"tag": "final", "passage": 4, "reason": "it says so"},
    ],
}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"tag": "nonsense"}, "tag 'nonsense' is not one of those given"),
        ({"tag": "better"}, "tag 'better' is not one of those given"),
        ({"passage": 9}, "there is no passage 9"),
        ({"passage": None}, "there is no passage None"),
        ({"quote": "not there"}, "'not there' is not in passage 2"),
        ({"source": None}, "must have the number of the passage"),
        ({"source": 4}, "at or before its own"),
        ({"reason": " "}, "no reason"),
        ({"tag": "final"}, "2 final answers"),
    ],
)
def test_replies_about_traces_keep_the_rules(
    passages: tuple[Trace, Passages], change: dict[str, object], fault: str
) -> None:
    spans: list[dict[str, object]] = [dict(span) for span in GOOD["spans"]]
    spans[1] |= change
    reply = f"<think>{{no}}</think>```json\n{json.dumps({**GOOD, 'spans': spans})}\n```"
    judged = read_reflection(reply, *passages, "m", most=3)
    assert (fault in " ".join(judged.faults)) if fault else judged.faults == []
    if not fault:
        assert [span.tag for span in judged.spans] == [
            Tag.INSIGHT,
            Tag.MISTAKE,
            Tag.FINAL,
        ]
        assert judged.spans[1].source == judged.spans[0].begin


def test_replies_whose_thought_has_no_beginning_are_read(
    passages: tuple[Trace, Passages],
) -> None:
    for thought in ("A set {a} is open.</think>", "{a}</think>{b}</think>", "None.</think>"):
        judged = read_reflection(f"{thought}\n{json.dumps(GOOD)}", *passages, "m", most=3)
        assert judged.faults == []
        assert len(judged.spans) == 3
    # what is said of the attempt may have the end of a thought in it
    span = {"tag": "insight", "passage": 1, "reason": "</think> stands there"}
    judged = read_reflection(json.dumps({"spans": [span]}), *passages, "m", most=3)
    assert [each.reason for each in judged.spans] == ["</think> stands there"]


@pytest.mark.parametrize("reply", ["", "no", "{", "[1]", '{"spans": 3}', '{"spans": [3]}', "{}"])
def test_replies_that_are_no_reflection_are_told(
    passages: tuple[Trace, Passages], reply: str
) -> None:
    assert read_reflection(reply, *passages, "m", most=3).faults


def verdicts(*said: str) -> str:
    rows = [
        {"continuation": number, "verdict": verdict, "reason": "clearer"}
        for number, verdict in enumerate(said, 1)
    ]
    return json.dumps({"verdicts": rows})


def test_verdicts_are_on_all_continuations_and_go_together() -> None:
    judged = read_comparison(verdicts("worse", "better"), POSITION, (0, None), "m")
    assert judged.faults == []
    assert [(span.alternate, span.tag, span.end) for span in judged.spans] == [
        (0, Tag.WORSE, 5), (None, Tag.BETTER, 9),
    ]  # fmt: skip
    for reply, fault in (
        (verdicts("better"), "no verdict on continuation 2"),
        (verdicts("better", "neutral"), "go together"),
        (verdicts("better", "best"), "verdict: better, neutral or worse"),
        (verdicts("better", "worse", "worse"), "continuations 1 to 2"),
    ):
        told = read_comparison(reply, POSITION, (0, None), "m").faults
        assert fault in " ".join(told)


def test_a_model_is_asked_again_and_counted(
    model: tuple[str, Model], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answering = model
    monkeypatch.setenv("QUORUM_ANNOTATOR_KEY", " secret-key\n")
    traces = write(tmp_path / "t.jsonl", [trace_row(tokenizer), trace_row(tokenizer, attempt=2)])
    bad = json.dumps({"spans": [{"tag": "insight", "passage": 77, "reason": "x"}]})
    answering.replies = [bad, json.dumps(GOOD), "nothing"]

    def annotate(name: str) -> Path:
        write_command(
            [traces], target=tmp_path / name, endpoint=url, model="judge", tokenizer=tokenizer,
            parallel=1, tries=2, more='{"reasoning_effort": "low"}',
        )  # fmt: skip
        return tmp_path / name

    out = annotate("out")
    spans = read_spans(out / "reflections.csv")
    assert {(span.attempt, span.annotator) for span in spans} == {(1, "judge")}
    assert len(spans) == 3
    one, other = read_json(out / "replies.jsonl")
    assert (one["valid"], one["tries"], one["summary"]) == (True, 2, "It guessed.")
    assert (other["valid"], other["tries"], other["reply"]) == (False, 2, "nothing")
    told = json.loads((out / "reflections.json").read_text())
    assert told["figures"]["valid"] == 1
    assert told["figures"]["asked_again"] == 2
    assert told["figures"]["completion_tokens"] == 40
    assert told["settings"]["reflection_sha256"] == wording("reflection").sha256
    assert "secret-key" not in (out / "reflections.json").read_text()
    assert answering.keys[0] == "Bearer secret-key"
    assert answering.asked[0]["reasoning_effort"] == "low"
    prompt = answering.asked[0]["messages"][0]["content"]
    assert "[3 output] out: 3" in prompt
    assert "{passages}" not in prompt
    assert "there is no passage 77" in answering.asked[1]["messages"][2]["content"]
    # its spans keep the rules of people's
    check_command(out / "reflections.csv", [traces])
    with pytest.raises(errors.OutputExists):
        annotate("out")


def test_busy_endpoints_are_asked_when_they_say(
    model: tuple[str, Model], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answering = model
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(endpoint, "sleep", sleep)
    half = b'{"choices": [{"message": {"content": "half \\ud83d"}}]}'
    answering.replies = [429, half, json.dumps(GOOD)]
    answering.wait = "17"
    traces = write(tmp_path / "t.jsonl", [trace_row(tokenizer)])
    write_command([traces], target=tmp_path / "out", endpoint=url, model="m", tokenizer=tokenizer)
    assert slept == [17.0]
    assert answering.asked[2]["messages"][1]["content"] == "half ?"
    (line,) = read_json(tmp_path / "out" / "replies.jsonl")
    assert (line["valid"], line["tries"]) == (True, 2)


def test_what_was_done_is_not_asked_again(
    model: tuple[str, Model], tokenizer: Path, tmp_path: Path
) -> None:
    url, answering = model
    traces = write(tmp_path / "t.jsonl", [trace_row(tokenizer), trace_row(tokenizer, attempt=2)])
    answering.replies = [json.dumps(GOOD), 400]

    def annotate() -> None:
        write_command(
            [traces], target=tmp_path / "out", endpoint=url, model="m", tokenizer=tokenizer,
            parallel=1,
        )  # fmt: skip

    with pytest.raises(errors.ServiceFailed, match="answered with 400"):
        annotate()
    answering.replies = [json.dumps(GOOD)]
    annotate()
    assert len(answering.asked) == 3
    assert len(read_spans(tmp_path / "out" / "reflections.csv")) == 6


def test_continuations_are_compared_in_an_order_of_chance(
    model: tuple[str, Model], tmp_path: Path
) -> None:
    url, answering = model
    answering.replies = [verdicts("better", "worse")]
    rows = [
        POSITION.model_copy(update={"begin": begin, "end": begin + 5}).row()
        for begin in range(1, 9)
    ]
    alternates = write(tmp_path / "alternates.jsonl", rows)
    write_command(None, target=tmp_path / "out", endpoint=url, model="m", alternates=[alternates])
    with (tmp_path / "out" / "reflections.csv").open(newline="") as file:
        better = [row for row in csv.DictReader(file) if row["tag"] == "better"]
    assert len(better) == 8
    assert {row["alternate"] for row in better} == {"", "0"}
    with pytest.raises(errors.BadTraces, match="either traces or --alternates"):
        write_command(None, target=tmp_path / "no", endpoint=url, model="m")


def test_endpoints_that_fail_are_told(tmp_path: Path) -> None:
    alternates = write(tmp_path / "alternates.jsonl", [POSITION.row()])
    prompt = tmp_path / "prompt.md"
    prompt.write_text("Compare {problem}.")
    with pytest.raises(errors.BadFile, match=r"lacks \{before\}"):
        write_command(
            None, target=tmp_path / "out", endpoint="http://127.0.0.1:9/v1", model="m",
            alternates=[alternates], prompt=prompt,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("http://127.0.0.1:9/v1", "sec\nret", "printable ASCII"),
        ("http://127.0.0.1:9/v1", "schlüssel", "printable ASCII"),
        ("http://me:password@127.0.0.1:99999/v1", "", "port 99999|cannot be read"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_told_without_secrets(
    url: str, key: str, told: str
) -> None:
    with pytest.raises(errors.ServiceFailed, match=told) as caught:
        endpoint.ChatEndpoint(url, key, endpoint.Asked("m"))
    assert "password@" not in str(caught.value)
    assert not key or key[:3] not in str(caught.value)


def test_an_endpoint_that_repeats_the_key_does_not_have_it_shown(
    model: tuple[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answering = model
    monkeypatch.setenv("QUORUM_ANNOTATOR_KEY", "secret-key")
    # told at the place where the sentence is cut
    answering.refusal = f"{'x' * 250} no such key: secret-key"
    answering.replies = [401]
    alternates = write(tmp_path / "alternates.jsonl", [POSITION.row()])
    with pytest.raises(errors.ServiceFailed, match="answered with 401") as told:
        write_command(
            None, target=tmp_path / "out", endpoint=url, model="m", alternates=[alternates]
        )
    assert "secr" not in str(told.value)


@pytest.mark.parametrize("usage", ['"none"', '{"prompt_tokens": Infinity}', "[1]"])
def test_replies_that_count_in_another_form_are_told(
    usage: str, model: tuple[str, Model], tmp_path: Path
) -> None:
    url, answering = model
    answering.replies = [
        f'{{"choices": [{{"message": {{"content": "x"}}}}], "usage": {usage}}}'.encode()
    ]
    alternates = write(tmp_path / "alternates.jsonl", [POSITION.row()])
    with pytest.raises(errors.ServiceFailed, match="no chat completion"):
        write_command(
            None, target=tmp_path / "out", endpoint=url, model="m", alternates=[alternates]
        )
