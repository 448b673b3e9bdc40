"""Errors of the weights package, each one sentence with its remedy.

::

    WeightsError (QuorumServerError)
    ├── UnknownModel          neither a file nor a known name; exit code 2
    ├── WeightsMissing        a known name, not fetched yet
    ├── WeightsDamaged        a file that is cut short or holds other bytes than published
    ├── CacheUnusable         the cache folder cannot be written
    ├── DiskFull              too little space, seen before or while writing
    ├── PullInProgress        another process fetches the same weights
    ├── SourceUnavailable     one source cannot give the weights; the next one is tried
    └── PullFailed            no source could give them
"""

import errno

from server.errors import QuorumServerError

#: What the system says when a file cannot grow: no space, no quota, the process's own size limit.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class WeightsError(QuorumServerError):
    """Weights cannot be found, fetched or trusted; the message says what to do."""


class UnknownModel(WeightsError):
    """A model that is neither a file nor a known name."""

    exit_code = 2


class WeightsMissing(WeightsError):
    """Known weights that are not in the cache."""


class WeightsDamaged(WeightsError):
    """A file that is cut short, or holds other bytes than published."""


class CacheUnusable(WeightsError):
    """The cache folder cannot be made or written."""


class DiskFull(WeightsError):
    """Too little space for the weights."""


class PullInProgress(WeightsError):
    """Another process fetches the same weights and has not ended in the time allowed."""


class SourceUnavailable(WeightsError):
    """One source cannot give the weights."""


class PullFailed(WeightsError):
    """No source could give the weights."""
