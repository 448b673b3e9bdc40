"""Errors of the vocabulary package.

::

    VocabularyError (ValueError)      a file that holds no usable vocabulary: the operator acts
    ├── UnknownControlToken           a control token that this model has not: the operator acts
    └── UnknownToken                  an id outside the vocabulary: the engine sent nonsense
"""


class VocabularyError(ValueError):
    """A vocabulary cannot be loaded or used; the message says what to do."""


class UnknownControlToken(VocabularyError):
    """A control token by a name that the vocabulary lacks."""


class UnknownToken(VocabularyError):
    """A token id that is negative or not below the vocabulary's size."""
