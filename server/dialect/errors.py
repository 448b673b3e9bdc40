"""Errors of dialects.

DialectError (a QuorumServerError)
└── UnknownDialect    no dialect of that name, or none fits the model
"""

from server.errors import QuorumServerError


class DialectError(QuorumServerError):
    """Base of what dialects raise.

    What a model writes never raises: it is parsed as far as it goes.
    """


class UnknownDialect(DialectError):
    """No dialect of that name, or none that fits the model's vocabulary."""
