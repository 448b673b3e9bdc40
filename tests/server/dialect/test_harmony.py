"""The Harmony dialect: malformed streams, headers, results and the forced answer."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialect.base import DialectOptions, Effort, MessageEnd, Prompt, ToolCall
from server.dialect.harmony import HarmonyDialect
from server.dialect.harmony_header import Header, read_header
from server.vocabulary.errors import UnknownControlToken
from tests.contract.dialects import PROMPT, Family, Reading, family, read, vocabulary_of

HARMONY = family("harmony")
FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Row:
    """A stream with its right outcome; see `malformed_harmony.toml`."""

    stream: str
    final: str = ""
    thinking: str = ""
    call: str | None = None
    ended: bool = False


ROWS = {
    name: Row(**row)
    for name, row in tomllib.loads((FOLDER / "malformed_harmony.toml").read_text("utf-8")).items()
}


def outcome_of(reading: Reading) -> tuple[str, str, bool]:
    return reading.final, reading.thinking, reading.ended


def check(row: Row, reading: Reading) -> None:
    assert outcome_of(reading) == (row.final, row.thinking, row.ended)
    if row.call is None:
        assert reading.calls == ()
        return
    (call,) = reading.calls
    if row.call.startswith("!"):
        assert row.call[1:] in str(call.error)
        assert call.code == ""
    else:
        assert call == ToolCall(row.call)


@pytest.mark.parametrize("name", ROWS)
def test_what_is_malformed_is_read_all_the_same(name: str) -> None:
    check(ROWS[name], read(HARMONY.dialect.open(PROMPT), HARMONY.ids(ROWS[name].stream)))


@pytest.mark.parametrize("name", ROWS)
def test_a_malformed_stream_goes_on_validly(name: str) -> None:
    """After a result or a forced answer the list is a sequence of whole messages again."""
    stream = HARMONY.ids(ROWS[name].stream)
    called, forced = HARMONY.dialect.open(PROMPT), HARMONY.dialect.open(PROMPT)
    read(called, stream)
    assert HARMONY.vocabulary.decode(called.result("42")).endswith("<|end|><|start|>assistant")
    reading = read(called, HARMONY.ids("<|channel|>final<|message|>So 42.<|return|>"))
    assert outcome_of(reading) == ("So 42.", "", True)
    read(forced, stream)
    written = HARMONY.vocabulary.decode(forced.force_answer())
    assert written.removesuffix("The final answer is \\boxed{").endswith(("<|message|>", "\n\n"))
    assert outcome_of(read(forced, HARMONY.ids("42}<|return|>"))) == ("42}", "", True)


@given(data=st.data())
def test_the_table_holds_wherever_the_text_is_cut(data: st.DataObject) -> None:
    row = ROWS[data.draw(st.sampled_from(sorted(ROWS)))]
    size = data.draw(st.integers(1, 7))
    names = {token_id: name for name, token_id in HARMONY.vocabulary.controls.items()}
    ids: list[int] = []
    plain = ""
    for token_id in [*HARMONY.ids(row.stream), -1]:
        if token_id in names or token_id < 0:
            parts = [plain[at : at + size] for at in range(0, len(plain), size)]
            ids += [part_id for part in parts for part_id in HARMONY.vocabulary.encode(part)]
            ids += [token_id] if token_id >= 0 else []
            plain = ""
        else:
            plain += HARMONY.vocabulary.decode([token_id])
    check(row, read(HARMONY.dialect.open(PROMPT), ids))


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("", Header()),
        ("<|channel|>analysis", Header(channel="analysis")),
        ("<|channel|>final ", Header(channel="final")),
        ("<|channel|>commentary to=functions.python <|constrain|>json",
         Header(channel="commentary", recipient="functions.python", json=True)),
        (" to=python<|channel|>analysis code", Header(channel="analysis", recipient="python")),
        (" to=functions.python<|channel|>commentary<|constrain|>json",
         Header(channel="commentary", recipient="functions.python", json=True)),
        (" to=all<|channel|>final", Header(channel="final")),
    ],
)  # fmt: skip
def test_headers(text: str, header: Header) -> None:
    assert read_header(text, "assistant", whole=True) == header
    assert read_header(f"assistant{text}", None, whole=True) == header


@pytest.mark.parametrize(
    ("recipient", "name"),
    [
        ("python", "python"),
        ("functions.python", "functions.python"),
        ("container.exec", "container.exec"),
        ("x" * 65, "python"),
        ("../../etc", "python"),
    ],
)
def test_a_result_is_written_in_the_tools_name(recipient: str, name: str) -> None:
    conversation = HARMONY.dialect.open(PROMPT)
    read(conversation, HARMONY.ids(f"<|channel|>commentary to={recipient}<|message|>1<|call|>"))
    assert conversation.result("a<|end|>b") == [
        *HARMONY.ids(f"<|start|>{name} to=assistant<|channel|>commentary<|message|>"),
        *HARMONY.vocabulary.encode("a<|end|>b"),
        *HARMONY.ids("<|end|><|start|>assistant"),
    ]


_FINAL = "<|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("written", "forced"),
    [
        pytest.param("", "<|channel|>final<|message|>", id="at the start"),
        pytest.param("<|channel|>ana", f"<|message|><|end|>{_FINAL}", id="in a header"),
        pytest.param("<|message|>So", "\n\n", id="on no channel"),
        pytest.param("<|channel|>analysis<|message|>So", f"<|end|>{_FINAL}", id="in thinking"),
        pytest.param("<|channel|>analysis<|message|>So<|end|>", _FINAL, id="between messages"),
        pytest.param("<|end|><|start|>", _FINAL.removeprefix("<|start|>"), id="after a start"),
        pytest.param(" to=python<|message|>x = (", f"<|end|>{_FINAL}", id="in code"),
        pytest.param("<|channel|>final<|message|>So", "\n\n", id="in the final message"),
        pytest.param(
            "<|channel|>final<|message|>So<|return|>",
            f"<|start|>user<|message|>Answer now.<|end|>{_FINAL}",
            id="after the end",
        ),
    ],
)
def test_the_answer_is_forced_in_valid_messages(written: str, forced: str) -> None:
    conversation = HARMONY.dialect.open(PROMPT)
    read(conversation, HARMONY.ids(written))
    assert conversation.force_answer() == HARMONY.ids(f"{forced}The final answer is \\boxed{{")


def test_a_call_is_no_end_of_the_message() -> None:
    call = HARMONY.vocabulary.control("<|call|>")
    assert call not in HARMONY.dialect.end_ids
    assert call in HARMONY.vocabulary.eos_ids
    ids = HARMONY.ids("<|channel|>analysis to=python<|message|>1<|call|>")
    conversation = HARMONY.dialect.open(PROMPT)
    events = [event for token_id in ids for event in conversation.feed(token_id)]
    assert not any(isinstance(event, MessageEnd) for event in events)


@pytest.mark.parametrize("effort", Effort)
def test_effort_and_date_are_told(effort: Effort) -> None:
    teller: Family = family("harmony", DialectOptions(effort=effort, today="2026-01-31"))
    text = teller.vocabulary.decode(teller.dialect.open(PROMPT).opening)
    assert f"\n\nReasoning: {effort.value}\n\n" in text
    assert "\nCurrent date: 2026-01-31\n" in text


def test_without_a_tool_none_is_told_of() -> None:
    prompt = Prompt(system="Be exact.", user="What is 6 * 7?", force="")
    text = HARMONY.vocabulary.decode(HARMONY.dialect.open(prompt).opening)
    assert "# Tools" not in text
    assert "python" not in text


def test_another_familys_vocabulary_is_refused() -> None:
    with pytest.raises(UnknownControlToken, match="not in this vocabulary"):
        HarmonyDialect(vocabulary_of("qwen"))


PIECES = st.sampled_from(
    [*HARMONY.added, "assistant", "analysis", "final", " to=python", " code", "x = 1", "\n", "user"]
)


@given(pieces=st.lists(PIECES, max_size=14), asked=st.booleans())
def test_any_stream_goes_on_validly(pieces: list[str], asked: bool) -> None:
    """As in a solve: read until a call or an end, then a result or a forced answer."""
    conversation = HARMONY.dialect.open(PROMPT)
    for token_id in HARMONY.ids("".join(pieces)):
        events = conversation.feed(token_id)
        if any(isinstance(event, ToolCall | MessageEnd) for event in events):
            break
    if asked:
        assert HARMONY.vocabulary.decode(conversation.force_answer()).endswith("\\boxed{")
        reading = read(conversation, HARMONY.ids("42}<|return|>"))
        assert outcome_of(reading) == ("42}", "", True)
    else:
        framed = HARMONY.vocabulary.decode(conversation.result("42"))
        assert framed.endswith("<|message|>42<|end|><|start|>assistant")
        assert " to=assistant<|channel|>" in framed
        reading = read(conversation, HARMONY.ids("<|channel|>final<|message|>42<|return|>"))
        assert outcome_of(reading) == ("42", "", True)
