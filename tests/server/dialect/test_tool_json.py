"""Tool calls as JSON: generous in what is read, and the model is told about the rest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialect.tool_json import read_call

CODE = "x = 1\nprint(x)"


def call(arguments: object, name: object = "python") -> str:
    return json.dumps({"name": name, "arguments": arguments})


GOOD = {
    "plain": call({"code": CODE}),
    "surrounded": f"\n  {call({'code': CODE})}\n",
    "parameters": json.dumps({"name": "python", "parameters": {"code": CODE}}),
    "another argument's name": call({"input": CODE}),
    "an unknown argument's name": call({"snippet": CODE}),
    "the known one is taken": call({"comment": "why", "code": CODE}),
    "arguments are the code": call(CODE),
    "arguments are JSON in a string": call(json.dumps({"code": CODE})),
    "raw newlines": call({"code": CODE}).replace("\\n", "\n"),
    "capital name": call({"code": CODE}, name="Python"),
    "another name": call({"code": CODE}, name="code_interpreter"),
    "fenced code": call({"code": f"```python\n{CODE}\n```"}),
    "fenced code, not closed": call({"code": f"```py\n{CODE}"}),
    "fenced code, indented": call({"code": f"\n  ````\n{CODE}\n  ````\n"}),
    "fenced code, beside the fence": call({"code": "```python x = 1\nprint(x)\n```"}),
    "fenced code is all": call(f"```python\n{CODE}\n```"),
    "fenced JSON": f"```json\n{call({'code': CODE})}\n```",
    "a namespace": call({"code": CODE}, name="functions.python"),
}
BAD = {
    "not JSON": ("{name: python}", "not valid JSON"),
    "empty": ("", "not valid JSON"),
    "cut": (call({"code": CODE})[:-3], "not valid JSON"),
    "a list": ("[1]", "must be"),
    "a number": ("1", "must be"),
    "no name": (json.dumps({"arguments": {"code": CODE}}), "must be"),
    "no arguments": (json.dumps({"name": "python"}), "must be"),
    "another tool": (call({"q": "x"}, name="web_search"), "no tool named 'web_search'"),
    "a tool without a name": (call({"code": CODE}, name=None), "no tool named"),
    "arguments are a list": (call([CODE]), "arguments must be"),
    "no code": (call({}), "arguments must be"),
    "code is a number": (call({"code": 1}), "arguments must be"),
    "arguments are nested": (call({"arguments": {"code": CODE}}), "arguments must be"),
    "nested too deep": ("[" * 100_000, "not valid JSON"),
    "fenced and empty": ("```json\n```", "not valid JSON"),
    "a huge number": ("1" * 10_000, "not valid JSON"),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_calls(case: str) -> None:
    found = read_call(GOOD[case])
    assert found.error is None
    assert found.code == CODE


@pytest.mark.parametrize("case", BAD)
def test_bad_calls_are_explained_to_the_model(case: str) -> None:
    text, reason = BAD[case]
    found = read_call(text)
    assert found.code == ""
    assert found.error is not None
    assert reason in found.error
    assert len(found.error) < 300


def test_a_long_name_is_cut_in_the_error() -> None:
    error = read_call(call({"code": CODE}, name="x" * 10_000)).error
    assert error is not None
    assert len(error) < 200


def test_code_that_is_no_text_becomes_text() -> None:
    """A lone surrogate is valid JSON, and could be sent to no kernel."""
    found = read_call('{"name": "python", "arguments": {"code": "x = \'\\ud800\'"}}')
    assert found.error is None
    assert found.code == "x = '\N{REPLACEMENT CHARACTER}'"


@given(st.text(max_size=60) | st.sampled_from(list(GOOD.values())).map(lambda text: text[:-1]))
def test_nothing_raises(text: str) -> None:
    found = read_call(text)
    assert (found.error is None) or found.code == ""
    (found.error or "").encode()
