"""Entries of a mix, of recorded attempts that are launched in another order."""

from collections import defaultdict, deque
from collections.abc import Sequence

from voting.errors import ReplayError
from voting.replay.records import RecordedAttempt


def require_numbers(attempts: Sequence[RecordedAttempt]) -> None:
    """See that every attempt tells what it was made as.

    Raises:
        ReplayError: one does not.
    """
    silent = sum(attempt.number is None for attempt in attempts)
    if silent:
        raise ReplayError(
            f"weight entries(…): {silent} of {len(attempts)} attempts do not tell their entry: "
            "each must have its number in the solve; add the column attempt (a journal's export "
            "has it), or leave this weight out"
        )


def in_turn(attempts: Sequence[RecordedAttempt], entries: int) -> list[RecordedAttempt]:
    """Return attempts so that the one at place i was made as entry i modulo `entries`.

    Those of one entry keep their order. Where an entry has no more, the next attempt that is left
    takes its place.

    Raises:
        ReplayError: an attempt does not tell its number.
    """
    require_numbers(attempts)
    left: dict[int, deque[int]] = defaultdict(deque)
    for place, attempt in enumerate(attempts):
        left[(attempt.number or 0) % entries].append(place)
    order = []
    for turn in range(len(attempts)):
        own = left.get(turn % entries)
        # One more of an entry that has some, rather than none: a solve has that many attempts.
        chosen = own or min((each for each in left.values() if each), key=lambda each: each[0])
        order.append(attempts[chosen.popleft()])
    return order
