"""Plain lines and the summary."""

import io

import pytest
from rich.console import Console

from client.plain import line_of, plain_reporter, verdict
from client.schema import (
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    AttemptWaiting,
    SolveRequest,
    SolveResult,
)
from client.solving import result_json
from client.summary import large, summary
from tests.client.recordings import result_of, solve_events
from tests.client.test_frame import HOSTILE

REQUEST = SolveRequest(problem="sum")
RESULT = result_of(REQUEST)


def test_one_line_an_event_of_interest() -> None:
    lines: list[str] = []
    observe = plain_reporter(lines.append)
    events = solve_events(REQUEST)
    for event in events:
        observe(event)
    assert lines[0] == "[    0.0 s] accepted"
    assert "stops at 3 equal answers, 240 s, tir" in lines[1]
    assert "[    8.0 s] attempt 0 runs code: print(sum(squares(1764)))" in lines
    assert "[    8.3 s] attempt 0 ok in 0.21 s: 42" in lines
    assert "[   11.0 s] attempt 2 answer 41 (answered, 1,202 tokens)" in lines
    assert "[   11.5 s] ballot 42: 3, 41: 1 (3 of 3 equal)" in lines
    assert lines[-1].endswith(verdict(RESULT))
    assert len(lines) == 2 + 2 * 4 + 2 * 4 + 1


def test_a_lost_engine_is_told() -> None:
    event = AttemptWaiting(solve_id="s", at=1.0, attempt=2, reason="restart", kept_tokens=1234)
    assert line_of(event) == "[    1.0 s] attempt 2 waits, keeping 1,234 tokens: restart"


def test_an_attempt_without_an_answer_says_why() -> None:
    report = AttemptReport(attempt=1, seed=1, end=AttemptEnd.NO_ANSWER, detail="no room is left")
    event = AttemptFinished(solve_id="s", at=1.0, attempt=1, report=report)
    told = "[    1.0 s] attempt 1 no answer (no_answer, 0 tokens): no room is left"
    assert line_of(event) == told


def test_lines_are_safe_and_bounded() -> None:
    event = AttemptCall(solve_id="s", at=1.0, attempt=0, turn=1, call=1, code=HOSTILE * 100)
    line = line_of(event)
    assert line is not None
    assert line.isprintable()
    assert len(line) < 130


def test_verdict_without_an_answer() -> None:
    assert verdict(result_of(REQUEST, answer=None)).startswith("no answer: 0 of 4 votes")


def shown(result: SolveResult, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(summary(result, width, "utf-8"))
    return capture.get()


def test_summary_shows_the_answer_large_and_how_it_came_about() -> None:
    text = shown(RESULT)
    assert "╻ ╻ ╺━┓\n" in text
    assert "3 of 4 votes · 4,800 tokens · 12.5 s · 384 tok/s" in text
    assert "agreement: three equal answers" in text


def test_summary_without_an_answer() -> None:
    text = shown(result_of(REQUEST, answer=None))
    assert "no answer" in text
    assert "all finished: no attempt found an answer" in text


@pytest.mark.parametrize("answer", ["\\frac{3}{7}", "x" * 50, "1" * 30, "٤٢", ""])
def test_other_answers_are_shown_as_they_are(answer: str) -> None:
    assert large(answer, 76, "utf-8").plain == answer


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no-such-encoding"])
def test_a_terminal_that_lacks_the_strokes_shows_plain_digits(encoding: str) -> None:
    assert large("42", 76, encoding).plain == "42"


def test_every_digit_has_three_rows() -> None:
    rows = large("-0123456789", 76, "utf-8").plain.split("\n")
    assert len(rows) == 3
    assert {len(row) for row in rows} == {11 * 4 - 1}


def test_summary_is_safe() -> None:
    hostile = RESULT.model_copy(update={"answer": HOSTILE, "detail": HOSTILE})
    assert not set(shown(hostile)) & set("\x1b\x07\x9b\u202e\x08")


def test_json_is_one_line_of_ascii() -> None:
    hostile = RESULT.model_copy(update={"detail": HOSTILE + "\x7fπ"})
    line = result_json(hostile)
    assert line.isascii()
    assert line.isprintable()
    assert SolveResult.model_validate_json(line) == hostile
