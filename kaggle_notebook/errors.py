"""Errors of the contest's session.

    KaggleError
    ├── SettingsError      a setting of the first cell is malformed
    ├── ServerUnreachable  no answer from the server in time, or a cut connection
    ├── ServerRefused      the server answered, with a refusal
    ├── InputError         the notebook's inputs lack something, or have it twice
    ├── BundleError        a bundle cannot be made, or is damaged, or cannot be installed
    ├── NotebookError      the notebook cannot be written, or is stale
    └── PublishError       Kaggle cannot be reached, or refuses, or there are no credentials

None of them leaves `predict`: it always answers.
"""


class KaggleError(Exception):
    """Base of all errors of this package; its text is one sentence for a person."""

    is_user_error = True
    """The command line prints the sentence, without a traceback."""


class SettingsError(KaggleError):
    """A setting of the notebook's first cell cannot be used."""


class ServerUnreachable(KaggleError):
    """The server cannot be reached, went away, or fell silent."""


class ServerRefused(KaggleError):
    """The server refused a request with `status`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the server answered {status}: {text[:300]}")
        self.status = status


class InputError(KaggleError):
    """The notebook's input folder lacks a bundle or a model, or holds several."""


class BundleError(KaggleError):
    """A bundle cannot be made, is damaged, or cannot be installed."""


class NotebookError(KaggleError):
    """The notebook cannot be written, or is not what the builder makes."""


class PublishError(KaggleError):
    """What was to be published, or asked, was not: the sentence says what to do."""
