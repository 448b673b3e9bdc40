"""Errors of training, each one sentence: constraint, value, remedy.

::

    TrainingError
    ├── BadFile            a file given is not there, or not what it must be
    │   ├── BadTensors     a safetensors file is cut, or its header is wrong
    │   ├── BadBase        the base model cannot be merged into
    │   ├── BadAdapter     the adapter does not fit the base model
    │   └── BadTraces      a file of traces, problems or corpus entries cannot be read
    ├── MergeRefused       quantising would erase what was trained
    ├── EmptyCorpus        nothing is left to train on
    ├── OutputExists       an output is there already, or another job works on it
    ├── OutputFailed       an output cannot be written
    ├── Diverged           weights or a loss are no numbers
    ├── RolloutsFailed     attempts came to nothing that can be learnt from
    ├── ServiceFailed      the training service refused or did not answer
    └── MissingExtra       a step needs a package that is not installed
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TrainingError(Exception):
    """Base of all errors of training."""

    is_user_error = True
    """The command line prints the sentence, without a traceback."""
    exit_code = 1


class BadFile(TrainingError):
    """A file given is not there, or not what it must be."""


class BadTensors(BadFile):
    """A safetensors file is cut short, or its header is wrong."""


class BadBase(BadFile):
    """The base model cannot be merged into."""


class BadAdapter(BadFile):
    """The adapter does not fit the base model."""


class BadTraces(BadFile):
    """A file of traces, problems or corpus entries cannot be read."""


class MergeRefused(TrainingError):
    """Quantising would erase what was trained."""


class EmptyCorpus(TrainingError):
    """Nothing is left to train on."""


class OutputExists(TrainingError):
    """An output is there already, or another job works on it."""


class OutputFailed(TrainingError):
    """An output cannot be written."""


class Diverged(TrainingError):
    """Weights or a loss are no numbers any more."""

    def __init__(self, what: str, whose: str = "the model here") -> None:
        super().__init__(
            f"{whose}: {what} is no number, as after too large a step; go on from an "
            "earlier adapter with a lower learning rate"
        )


class RolloutsFailed(TrainingError):
    """Attempts came to nothing that can be learnt from, for other reasons than the model's."""


class ServiceFailed(TrainingError):
    """The training service refused, or did not answer."""


class MissingExtra(TrainingError):
    """A step needs a package that is not installed."""


#: What the system says where nothing more can be written.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Raise `OutputFailed` in place of the system's errors while `target` is written."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        if error.errno in _FULL:
            raise OutputFailed(
                f"{target}: no room to write it ({what}); free some space and run the same command "
                "again: it goes on where it was"
            ) from error
        raise OutputFailed(
            f"{target}: cannot be written ({what}); name a path in a folder that can be written"
        ) from error


@contextmanager
def reading(path: Path, error_type: type[BadFile] = BadFile) -> Iterator[None]:
    """Raise `error_type` in place of the system's errors while `path` is read."""
    try:
        yield
    except OSError as error:
        raise error_type(
            f"{error.filename or path}: cannot be read ({error.strerror or error}); check the path"
        ) from error
