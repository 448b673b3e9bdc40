"""How a caller runs a selector: ask, answer, ask again, within a bound of rounds."""

from collections.abc import Callable, Generator, Sequence

from voting.ballot import Ballot
from voting.requests import NO_REPLIES, Replies, Reply, Request
from voting.selectors import Ask, Selection, SelectionState, Selector
from voting.types import AttemptOutcome

#: Rounds of questions after which a selector must do with what it knows. A knock-out of 256 answers
#: two by two has eight; a cascade adds one or two a stage.
MAX_ROUNDS = 32

Round = Generator[tuple[Request, ...], Replies, Selection]


def rounds(
    selector: Selector,
    ballot: Ballot,
    outcomes: Sequence[AttemptOutcome],
    left_s: Callable[[], float],
) -> Round:
    """Yield the requests of each round, take their replies, and return the selection.

    `left_s` says how much time is left for selecting, at least 0; once that is none, or after
    `MAX_ROUNDS`, what the selector knows by then decides. A request without a reply counts as
    failed. For a caller that waits: ``requests = next(r)``, then ``r.send(replies)`` until
    `StopIteration`.
    """
    known: dict[Request, Reply | None] = {}
    for _ in range(MAX_ROUNDS):
        left = left_s()
        state = SelectionState(ballot=ballot, outcomes=outcomes, replies=known, left_s=left)
        decision = selector.decide(state)
        if isinstance(decision, Selection):
            return decision
        missing = tuple(each for each in decision.requests if each not in known)
        if left <= 0 or not missing:
            return decision.otherwise
        replies = yield missing
        known.update({each: replies.get(each) for each in missing})
    final = selector.decide(SelectionState(ballot=ballot, outcomes=outcomes, replies=known))
    return final.otherwise if isinstance(final, Ask) else final


def select(
    selector: Selector,
    ballot: Ballot,
    outcomes: Sequence[AttemptOutcome],
    answer: Callable[[Request], Reply | None] = NO_REPLIES.get,
) -> Selection:
    """Return the selection where every request can be answered at once, as a replay can.

    Without `answer` every request fails.
    """
    asking = rounds(selector, ballot, outcomes, lambda: float("inf"))
    try:
        requests = next(asking)
        while True:
            requests = asking.send({request: answer(request) for request in requests})
    except StopIteration as end:
        selection: Selection = end.value
        return selection
