"""GenSelect as a tournament: the model reads solutions and says which one is right."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from voting.ballot import BallotLine
from voting.errors import PolicyError
from voting.requests import Compare, Judgment
from voting.selectors import (
    Ask,
    Selection,
    SelectionReason,
    SelectionState,
    WeightedVote,
    representative,
)

#: The most solutions shown at once, as in GenSelect (arXiv 2504.16891, section 4.3).
MOST_SHOWN = 8
#: Lines that enter: beyond these an answer has a vote or two of very many.
DEFAULT_MOST_LINES = 16
#: Series of comparisons in a group, at most: sixteen answers two by two are then 512 in the first
#: round. Without a bound a request could ask for more than fit into memory.
MOST_REPEATS = 32
#: Below this time, in seconds, no round begins: reading two solutions takes a small model on a CPU
#: some ten seconds, a large one on a GPU less.
DEFAULT_ROUND_S = 10.0

Group = Sequence[BallotLine]


@dataclass(frozen=True, slots=True)
class Tournament:
    """The answer whose representative wins a knock-out of the ballot's lines.

    Each of the `most` heaviest lines is represented by one attempt. Groups of `size` lines play in
    rounds, drawn like a cup so that heavy lines meet late. Within a group the solutions are shown
    `size` times, rotated by one each time, so that every one stands in every place once, and
    `repeats` such series are played; who is taken most often goes on, the heavier line of equals:
    a judge that always takes the first place changes nothing. A comparison that failed counts for
    none. When less than `round_s` seconds are left, the heaviest line still in the cup wins.

    Raises:
        PolicyError: the size is not from 2 to 8, the repeats are not from 1 to 32, or another
            number is below its least.
    """

    size: int = 2
    repeats: int = 1
    most: int = DEFAULT_MOST_LINES
    round_s: float = DEFAULT_ROUND_S

    def __post_init__(self) -> None:
        if not 2 <= self.size <= MOST_SHOWN:
            raise PolicyError(
                f"tournament of {self.size} at once: must be from 2 to {MOST_SHOWN}; "
                "2 compares pairs"
            )
        if not 1 <= self.repeats <= MOST_REPEATS:
            raise PolicyError(
                f"tournament of {self.repeats} repeats: must be from 1 to {MOST_REPEATS}; "
                "leave it out for 1"
            )
        if self.most < 2 or not self.round_s >= 0:
            raise PolicyError(
                f"tournament of {self.most} answers, rounds of {self.round_s} s: must be at least "
                "2 and 0; leave them out for ours"
            )

    def decide(self, state: SelectionState) -> Selection | Ask:
        """Return the winner, or the comparisons of the round to play."""
        if len(state.ballot.lines) < 2:
            return WeightedVote().decide(state)
        standing: Group = state.ballot.lines[: self.most]
        leader = WeightedVote().decide(state)
        while len(standing) > 1:
            groups = draw(standing, self.size)
            wanted = [each for group in groups for each in self._comparisons(group, state)]
            missing = tuple(each for each in wanted if each not in state.replies)
            if missing:
                return leader if state.left_s < self.round_s else Ask(missing, leader)
            winners = [self._winner(group, state) for group in groups]
            standing = [line for line in standing if line in winners]
            leader = _selection(standing[0], state)
        judged = any(isinstance(reply, Judgment) for reply in state.replies.values())
        return leader if judged else WeightedVote().decide(state)

    def _comparisons(self, group: Group, state: SelectionState) -> list[Compare]:
        attempts = tuple(representative(line, state) for line in group)
        if len(attempts) < 2:
            return []
        return [
            Compare(attempts[turn:] + attempts[:turn], repeat)
            for repeat in range(self.repeats)
            for turn in range(len(attempts))
        ]

    def _winner(self, group: Group, state: SelectionState) -> BallotLine:
        """Return the line taken most often, the first in the ballot's order of equals."""
        replies = [state.replies.get(each) for each in self._comparisons(group, state)]
        taken = Counter(reply.attempt for reply in replies if isinstance(reply, Judgment))
        return max(group, key=lambda line: taken[representative(line, state)])


def draw(standing: Group, size: int) -> list[list[BallotLine]]:
    """Return groups of at most `size` lines, each in the ballot's order.

    The lines are dealt to and fro (1 2 3 3 2 1 1 …), so that the first and the second meet only
    when all others are out.
    """
    groups: list[list[BallotLine]] = [[] for _ in range(-(-len(standing) // size))]
    for number, line in enumerate(standing):
        lap, place = divmod(number, len(groups))
        groups[-1 - place if lap % 2 else place].append(line)
    return groups


def _selection(line: BallotLine, state: SelectionState) -> Selection:
    return Selection(line.answer, SelectionReason.TOURNAMENT, line.weight, state.ballot.weight)
