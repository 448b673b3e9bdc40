"""What a solve's end says about its problem."""

import pytest

from client.outcome import ABORTED, Outcome, outcome_of, outcome_of_row
from client.schema import SolveEnd, SolveRequest, TokenCounts
from server.runs.run import UNSETTLED
from tests.client.recordings import result_of


@pytest.mark.parametrize(
    ("end", "answer", "sampled", "replayed", "outcome"),
    [
        *((end, None, 9, False, Outcome.ABORTED) for end in sorted(ABORTED)),
        (SolveEnd.CANCELLED, "42", 9, False, Outcome.DONE),
        (SolveEnd.INTERRUPTED, "42", 9, False, Outcome.ABORTED),
        (SolveEnd.INTERRUPTED, "42", 9, True, Outcome.DONE),
        (SolveEnd.DEADLINE, None, 0, False, Outcome.NOT_REACHED),
        (SolveEnd.DEADLINE, None, 9, False, Outcome.DONE),
        (SolveEnd.DEADLINE, "42", 0, False, Outcome.DONE),
        (SolveEnd.ALL_FINISHED, None, 0, False, Outcome.DONE),
        (SolveEnd.AGREEMENT, "42", 9, False, Outcome.DONE),
    ],
)
def test_outcomes(
    end: SolveEnd, answer: str | None, sampled: int, replayed: bool, outcome: Outcome
) -> None:
    result = result_of(SolveRequest(problem="sum"), answer=answer).model_copy(
        update={"end": end, "tokens": TokenCounts(sampled=sampled), "replayed": replayed}
    )
    assert outcome_of(result) is outcome
    assert outcome_of_row(result.model_dump(mode="json")) is outcome


def test_rows_that_say_no_more_are_done() -> None:
    assert outcome_of_row({}) is Outcome.DONE
    assert outcome_of_row({"end": "deadline"}) is Outcome.DONE


def test_the_server_solves_the_same_ones_anew() -> None:
    assert ABORTED == UNSETTLED
