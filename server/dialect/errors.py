"""Errors of dialects.

DialectError (a QuorumServerError)
├── UnknownDialect    no dialect of that name, or none fits the model
└── UnusableTemplate  the model's chat template cannot be used to write turns
"""

from server.errors import QuorumServerError


class DialectError(QuorumServerError):
    """Base of what dialects raise.

    What a model writes never raises: it is parsed as far as it goes.
    """


class UnknownDialect(DialectError):
    """No dialect of that name, or none that fits the model's vocabulary."""


class UnusableTemplate(DialectError):
    """The model has no chat template, or one that cannot write what a conversation needs."""
