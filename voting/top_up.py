"""Attempts beyond those planned, where a run gives a problem more time than they took."""

from voting.launch import LaunchDecision, LaunchReason
from voting.state import SolveState

#: No solve has more attempts than this, as no request may ask for more.
MOST_ATTEMPTS = 256


def top_up(state: SolveState, share_left_s: float, agree: int) -> LaunchDecision:
    """Return how many attempts to add to a solve whose ballot is open and whose plan is used up.

    The plan is used up once the running attempts cannot bring ``agree`` equal answers any more,
    whichever they gave. As many run again as were planned then, while the time that is left, and
    what is left of the even share of the run's time (``share_left_s``), is enough for one more. So
    a problem that its own attempts have not settled goes on at nobody's cost, and the last one has
    all that is left. An attempt must have come to its own end before: how long one takes is not
    known otherwise, and where all fail, more of them do not help.
    """
    if state.launched < state.attempts or state.attempt_s <= 0:
        return LaunchDecision(0, LaunchReason.UNDECIDED)
    leader = state.ballot.most_votes
    if state.running and (leader.count if leader else 0) + state.running >= agree:
        return LaunchDecision(0, LaunchReason.UNDECIDED)
    if min(state.left_s, share_left_s) < state.attempt_s:
        return LaunchDecision(0, LaunchReason.NO_TIME)
    missing = min(state.attempts - state.running, MOST_ATTEMPTS - state.launched)
    if missing <= 0:
        return LaunchDecision(0, LaunchReason.ALL_LAUNCHED)
    slots = missing if state.free_slots is None else max(state.free_slots, not state.running)
    if slots <= 0:
        return LaunchDecision(0, LaunchReason.NO_SLOT)
    return LaunchDecision(min(missing, slots), LaunchReason.OPEN)
