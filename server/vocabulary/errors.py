"""Errors of the vocabulary package.

::

    VocabularyError (QuorumServerError)   no usable vocabulary in a file: the operator acts
    ├── UnknownControlToken               a control token this model has not: the operator acts
    └── UnknownToken                      an id outside the vocabulary: the engine sent nonsense
"""

from server.errors import QuorumServerError


class VocabularyError(QuorumServerError):
    """A vocabulary cannot be loaded or used; the message says what to do."""


class UnknownControlToken(VocabularyError):
    """A control token by a name that the vocabulary lacks."""


class UnknownToken(VocabularyError):
    """A token id that is negative or not below the vocabulary's size."""
