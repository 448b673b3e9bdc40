"""One line of a file of attempts, in any of the forms that are read, as a recorded attempt.

The journal's export (`quorum journal export`) and plain tables of attempts differ in the names of
their columns, not in what they say. Of a journal's row the tokens are counted by its mask, and its
confidences are summed up as the server does while an attempt runs.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.schema import AttemptEnd
from server.replay.errors import RecordsUnreadable
from voting.answers import Answer, AnswerKind, parse_answer
from voting.equivalence import compare
from voting.errors import VotingError
from voting.exact import Comparison
from voting.replay.records import Dip, RecordedAttempt
from voting.scores import TokenScores

Row = Mapping[str, Any]
#: Of an attempt, in tables that keep its cells apart: problem, state and action.
CellsName = tuple[str, str, str]

#: What a column is called, the first that is there counts.
ANSWER = ("attempt_answer", "answer")
TRUTH = ("correct_answer", "expected_answer", "truth")
TOKENS = ("n_tokens", "tokens", "completion_tokens")
CALLS = ("n_tool_calls", "tool_calls", "python_calls")
ERRORS = ("n_tool_errors", "tool_errors", "python_errors")
ENTROPY = ("mean_entropy", "entropy")
RIGHT = ("correct", "reward")
NUMBER, OFFSET = "attempt", "offset"
#: What a further engine wrote for attempts is none.
PLAN = "plan"
#: Ends of a journal's attempt that are its own. Others were cut: what they would have answered, and
#: at what cost, is not known.
OWN_ENDS = frozenset(
    {AttemptEnd.ANSWERED, AttemptEnd.FORCED, AttemptEnd.NO_ANSWER, AttemptEnd.REPETITION}
)
#: DeepConf's window, in tokens, and the share of its windows that `bottom_tenth` is the mean of.
WINDOW = 2_048
BOTTOM = 10


@dataclass(frozen=True, slots=True)
class ReadAttempt:
    """An attempt with its problem. ``truth`` is the right answer that its row tells, if it does."""

    problem_id: str
    attempt: RecordedAttempt
    truth: Answer | None = None


def read_row(
    row: Row, truths: Mapping[str, str], outputs: Mapping[CellsName, Sequence[str]]
) -> ReadAttempt | None:
    """Return the attempt of a row; None where it was cut, so that its own end is not known.

    `truths` are answers by problem, which take the place of the row's own; `outputs` are what
    attempts' cells printed.

    Raises:
        RecordsUnreadable: the row lacks what is needed, or contradicts itself.
    """
    problem_id = _text(row, ("problem_id",))
    if problem_id is None:
        raise RecordsUnreadable("no problem_id: must name the attempt's problem; add the column")
    if "end" in row and _text(row, ("end",)) not in OWN_ENDS:
        return None
    answer = _answer(_text(row, ANSWER))
    try:
        scores, dips = read_confidence(row)
        attempt = RecordedAttempt(
            answer=answer,
            right=_is_right(problem_id, row, answer, truths),
            tokens=_tokens(row),
            tool_calls=_count(row, CALLS, 0),
            # Recorders that count a time-out both ways may count more errors than calls.
            tool_errors=min(_count(row, ERRORS, 0), _count(row, CALLS, 0)),
            scores=scores,
            printed=_printed(row, answer, outputs),
            dips=dips,
            step_scores=_step_scores(row),
            took_s=_seconds(row),
            number=_made_as(row),
        )
    except VotingError as error:
        raise RecordsUnreadable(f"problem {problem_id[:40]!r}: {error}") from error
    own = None if problem_id in truths else _answer(_text(row, TRUTH))
    # Judges take many spellings of an answer for right, but no two whole numbers.
    judged = answer if attempt.right and answer and answer.key.lstrip("-").isdecimal() else None
    return ReadAttempt(problem_id, attempt, own or judged)


def _is_right(problem_id: str, row: Row, answer: Answer | None, truths: Mapping[str, str]) -> bool:
    truth = truths.get(problem_id, _text(row, TRUTH))
    told = next((row[name] for name in RIGHT if row.get(name) is not None), None)
    if truth is not None:
        expected = _answer(truth)
        if answer is None or expected is None:
            return False
        verdict = compare(answer, expected)
        # What arithmetic leaves open, whoever recorded the attempt may have settled.
        if verdict is not Comparison.UNKNOWN or told is None:
            return verdict is Comparison.SAME
    if told is None:
        raise RecordsUnreadable(
            f"problem {problem_id[:40]!r}: no right answer: must have one, in the column "
            f"{TRUTH[0]} or in a file of problems; name that with --answers"
        )
    right = _number(row, RIGHT)
    return answer is not None and right is not None and right > 0


def _answer(written: str | None) -> Answer | None:
    return None if written is None else parse_answer(written, AnswerKind.TEXT)


def cells_name(row: Row) -> CellsName | None:
    """Return the name that an attempt's row shares with those of its cells; None without one."""
    problem_id, state, action = (
        _text(row, (name,)) for name in ("problem_id", "state_hash", "action_hash")
    )
    if problem_id is None or state is None or action is None:
        return None
    return problem_id, state, action


def _printed(
    row: Row, answer: Answer | None, outputs: Mapping[CellsName, Sequence[str]]
) -> bool | None:
    """Return whether an attempt's cells printed its answer; None where there is no knowing."""
    name = cells_name(row)
    if answer is None or name is None or name not in outputs:
        return None
    # The answer by itself: 12 is not in 3125, nor in 12.5.
    alone = re.compile(rf"(?<![\w.]){re.escape(answer.key)}(?!\w|\.\w)")
    return any(alone.search(output) for output in outputs[name])


def _tokens(row: Row) -> int:
    mask = _mask(row)
    return _count(row, TOKENS, None) if mask is None else int(np.count_nonzero(mask))


def _mask(row: Row) -> NDArray[np.bool_] | None:
    """Return which tokens were sampled; None of a row that does not say it."""
    if not isinstance(row.get("mask"), list):
        return None
    return _numbers("mask", row["mask"]) > 0


def _numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    """Return a column's list as numbers, NaN for null."""
    try:
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    except (ValueError, TypeError):
        numbers = np.empty((0, 0))
    if numbers.ndim != 1:
        raise RecordsUnreadable(f"{name}: must be a list of numbers, one a token; correct it")
    return numbers


def read_confidence(row: Row) -> tuple[TokenScores | None, tuple[Dip, ...]]:
    """Return scores and new lows of a journal's confidences, or the entropy of a table.

    Raises:
        RecordsUnreadable: these columns have something else.
        OutcomeError: a number is out of its range.
    """
    entropy = _number(row, ENTROPY)
    values, sampled = row.get("confidence"), _mask(row)
    if not isinstance(values, list) or sampled is None:
        return (None if entropy is None else TokenScores(mean_entropy=entropy)), ()
    numbers = _numbers("confidence", values)
    if len(numbers) > len(sampled):
        raise RecordsUnreadable(
            f"confidence of {len(numbers)} tokens: must be at most {len(sampled)}, as many as mask "
            "has; correct it"
        )
    confidences = numbers[sampled[: len(numbers)]]
    known = ~np.isnan(confidences)
    confidences = confidences[known]
    if not len(confidences):
        return None, ()
    places = np.flatnonzero(known) + 1
    return _summed_up(confidences, places, entropy)


def _summed_up(
    confidences: NDArray[np.float64], places: NDArray[np.int64], entropy: float | None
) -> tuple[TokenScores, tuple[Dip, ...]]:
    mean, tail = float(confidences.mean()), float(confidences[-WINDOW:].mean())
    if len(confidences) < WINDOW:
        scores = TokenScores(
            tokens=len(confidences), mean_entropy=entropy, mean_confidence=mean, tail=tail,
            lowest_group=mean, bottom_tenth=mean,
        )  # fmt: skip
        return scores, ()
    sums = np.concatenate([[0.0], np.cumsum(confidences)])
    groups = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    tenth = np.sort(groups)[: max(1, len(groups) // BOTTOM)]
    scores = TokenScores(
        tokens=len(confidences), mean_entropy=entropy, mean_confidence=mean, tail=tail,
        lowest_group=max(0.0, float(groups.min())), bottom_tenth=max(0.0, float(tenth.mean())),
    )  # fmt: skip
    lows = np.minimum.accumulate(groups)
    new = np.concatenate([[True], lows[1:] < lows[:-1]])
    dips = tuple(
        Dip(int(places[index + WINDOW - 1]), max(0.0, float(groups[index])))
        for index in np.flatnonzero(new)
    )
    return scores, dips


def _step_scores(row: Row) -> tuple[float, ...] | None:
    scores = row.get("step_scores")
    if scores is None:
        return None
    if not isinstance(scores, list) or not all(isinstance(each, int | float) for each in scores):
        raise RecordsUnreadable("step_scores: must be a list of numbers; correct it")
    return tuple(float(each) for each in scores)


def _seconds(row: Row) -> float | None:
    """Return how long the attempt ran; None where nobody took the time, which some write as 0."""
    seconds = _number(row, ("seconds",))
    if seconds is not None and not 0 <= seconds < math.inf:
        raise RecordsUnreadable(
            f"seconds {seconds:g}: must be finite and at least 0; correct it, or leave it out"
        )
    return seconds or None


def _made_as(row: Row) -> int | None:
    """Return what the attempt was made as: its number in its solve, and those had before it."""
    number, offset = row.get(NUMBER), row.get(OFFSET) or 0
    if type(number) is not int or type(offset) is not int or number < 0 or offset < 0:
        return None
    return offset + number


def _text(row: Row, names: tuple[str, ...]) -> str | None:
    """Return the first of these columns that has something, as text; booleans are none."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
    return None


def _number(row: Row, names: tuple[str, ...]) -> float | None:
    """Return the first of these columns that has something, as a number; None without one."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    try:
        return None if value is None else float(value)
    except (ValueError, TypeError):
        raise RecordsUnreadable(
            f"{names[0]} {str(value)[:40]!r}: must be a number; correct it"
        ) from None


def _count(row: Row, names: tuple[str, ...], default: int | None) -> int:
    value = next((row[name] for name in names if row.get(name) is not None), default)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        return int(value)
    raise RecordsUnreadable(
        f"{names[0]} {value!r}: must be a whole number; give it in a column {' or '.join(names)}"
    )
