"""The errors of the package, all the caller's to fix: no policy fails on a model's text.

VotingError
├── OutcomeError            an attempt's record contradicts itself
├── WeightError             a vote whose weight cannot be counted
├── DuplicateVoteError      an attempt that votes twice
├── PolicyError             a policy built or asked with a value that it cannot work with
├── ReplayError             recorded attempts that cannot be replayed
├── ClockError              a time that is no number
├── PolicyNameError         a policy written in a way that names none; exit code 2
└── UnknownStrategyError    a strategy name that is not in the table; exit code 2
"""


class VotingError(Exception):
    """Base of every error of this package. Its text is constraint, value, remedy."""

    is_user_error = True
    """The command line prints the sentence, without a traceback."""
    exit_code = 1
    """What the command exits with: 2 where a name that the user gave is none."""


class OutcomeError(VotingError):
    """An attempt's record contradicts itself: a negative count, more tool errors than calls."""


class WeightError(VotingError):
    """A vote's weight is negative, infinite or not a number."""


class DuplicateVoteError(VotingError):
    """One attempt voted twice in one ballot."""


class PolicyError(VotingError):
    """A policy's parameter, or a number that it is asked with, is outside its range."""


class ReplayError(VotingError):
    """A recorded attempt contradicts itself, or there are too few for what is asked."""


class ClockError(VotingError):
    """A time given to a budget is infinite or not a number."""


class PolicyNameError(VotingError):
    """A policy's text is malformed, names what there is not, or has a value out of its range.

    ``kind`` is the kind of policy where it is known, as `PolicyNames` calls it.
    """

    exit_code = 2

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class UnknownStrategyError(VotingError):
    """No strategy has this name; the text lists those that exist."""

    exit_code = 2
