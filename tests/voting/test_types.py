import math
from dataclasses import replace
from typing import Any

import pytest

from tests.voting.outcomes import outcome
from voting.errors import OutcomeError


def test_an_outcome_ends_when_it_started_and_ran() -> None:
    assert outcome(0, 42, started_s=3.0, seconds=4.5).ended_s == 7.5


@pytest.mark.parametrize("name", ["attempt", "tokens", "turns", "tool_calls", "tool_errors"])
def test_a_negative_count_is_refused(name: str) -> None:
    changes: dict[str, Any] = {name: -1}
    with pytest.raises(OutcomeError, match=f"{name} -1: must be at least 0; "):
        replace(outcome(0, None), **changes)


@pytest.mark.parametrize("name", ["seconds", "started_s"])
@pytest.mark.parametrize("value", [-0.5, math.inf, -math.inf, math.nan])
def test_a_time_that_is_no_duration_is_refused(name: str, value: float) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(OutcomeError, match=f"{name} {value}: must be finite and at least 0; "):
        replace(outcome(0, None), **changes)


def test_more_errors_than_calls_are_refused() -> None:
    with pytest.raises(OutcomeError, match="3 tool errors: must be at most the 2 tool calls"):
        outcome(0, 42, tool_calls=2, tool_errors=3)
