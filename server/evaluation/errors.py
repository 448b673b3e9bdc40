"""Errors of `quorum eval`.

::

    EvaluationError (QuorumServerError)
    ├── UnknownSet            no problem set of that name, nor a file (exit code 2)
    ├── SetUnreadable         a file of problems cannot be read, or holds none (exit code 2)
    ├── SetGone               a set can neither be fetched nor found in the cache
    ├── SetChanged            a set has another count or other contents than it must have
    ├── EvaluationUnusable    the folder of an evaluation is another one's, busy, or damaged
    ├── ServerProblem         the server cannot be reached, refuses, or serves another model
    ├── NothingRecorded       there are no attempts to score
    ├── MalformedArm          an arm is written in a way that names none (exit code 2)
    └── TrackerUnavailable    a tracker's package is not installed
"""

from server.errors import QuorumServerError


class EvaluationError(QuorumServerError):
    """An evaluation cannot do what it is asked to."""


class UnknownSet(EvaluationError):
    """There is no problem set of that name, nor a file."""

    exit_code = 2


class SetUnreadable(EvaluationError):
    """A file of problems cannot be read, or holds no problem that can be scored."""

    exit_code = 2


class SetGone(EvaluationError):
    """A set can neither be fetched nor found in the cache."""


class SetChanged(EvaluationError):
    """A set has another count or other contents than it must have."""


class EvaluationUnusable(EvaluationError):
    """The folder of an evaluation belongs to another one, is in use, or is damaged."""


class ServerProblem(EvaluationError):
    """The server cannot be reached, refuses, or serves another model."""


class NothingRecorded(EvaluationError):
    """There are no attempts to score."""


class MalformedArm(EvaluationError):
    """An arm of an evaluation is written in a way that names none."""

    exit_code = 2


class TrackerUnavailable(EvaluationError):
    """A tracker's package is not installed, or the tracker refuses."""
