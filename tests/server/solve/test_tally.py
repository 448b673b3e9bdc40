"""What the policies are told of a ballot whose answers are still being compared."""

import pytest

from client.schema import AnswerKind, AttemptEnd, AttemptReport, SolveRequest
from server.sections.solve import SolveSettings
from server.solve.plan import make_plan
from server.solve.tally import Tally
from tests.voting.outcomes import outcome
from voting.early_stop import CannotBeOvertaken
from voting.requests import Same, Sameness


def tally_of(*written: str, symbolic: bool = True) -> Tally:
    request = SolveRequest(problem="?", answer_kind=AnswerKind.TEXT, attempts=8)
    plan = make_plan(request, SolveSettings(symbolic=symbolic), cell_timeout_s=1.0)
    tally = Tally(plan, "s")
    for attempt, answer in enumerate(written):
        report = AttemptReport(attempt=attempt, seed=1, end=AttemptEnd.ANSWERED, answer=answer)
        tally.close(outcome(attempt, answer, tool_calls=1, printed=True), report)
    return tally


def test_a_vote_that_may_join_another_does_not_end_the_solve_before_that_is_known() -> None:
    votes = ("x+1", "x+1", "x+1", "x+1", "a+b", "a+b", "b+a")
    tally, policy = tally_of(*votes), CannotBeOvertaken()
    assert not policy.decide(tally.state(running=1, slots=8, left_s=9.0)).stop
    rivals = Same(tally.ballot().lines[1].answer, tally.ballot().lines[2].answer)
    for equal in (False, True):
        told = tally_of(*votes)
        asked = told.classes.questions()
        told.classes.learn({each: Sameness(equal and each == rivals) for each in asked})
        assert policy.decide(told.state(running=1, slots=8, left_s=9.0)).stop is not equal


@pytest.mark.parametrize("symbolic", [True, False])
def test_a_ballot_is_unsettled_only_while_somebody_compares(symbolic: bool) -> None:
    unsettled = tally_of("a+b", "b+a", symbolic=symbolic)
    assert unsettled.state(running=0, slots=8, left_s=9.0).unsettled is symbolic
    assert not tally_of("1/2", "0.5").state(running=0, slots=8, left_s=9.0).unsettled
