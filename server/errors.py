"""Errors of the server.

    QuorumServerError
    ├── SettingsError            a setting is malformed or unknown; exit code 2
    ├── EngineError              (server.engine.errors) the engine
    ├── DialectError             (server.dialect.errors) tokens that do not parse
    ├── WeightsError             (server.weights.errors) weights missing or damaged
    ├── VocabularyError          (server.vocabulary.errors) a tokenizer cannot be read
    ├── JournalError             (server.journal.errors) the record of solves
    ├── AccessError              (server.access.errors) keys, and who may do what
    ├── EvaluationError          (server.evaluation.errors) an evaluation
    ├── NamedEngineError         a further engine cannot be opened
    ├── NoEngineError            a problem to solve, and no engine to solve it
    ├── LeaseServiceError        (server.leases.errors) a lease of a kernel over HTTP
    ├── AdmissionError           (server.solve.service) too much work at once
    │   └── ShuttingDownError    the server ends and takes no more
    └── ListenError              (server.commands.serve) the port cannot be had

Each is worded as constraint, value, remedy, and shown to people without a traceback.
"""


class QuorumServerError(Exception):
    """Base of all errors that the server raises on purpose."""

    is_user_error = True
    """The command line prints the sentence, without a traceback."""
    exit_code = 1
    """What the command exits with: 2 where the user's words cannot work; nothing was started."""


class SettingsError(QuorumServerError):
    """A setting is malformed or unknown."""

    exit_code = 2


class NamedEngineError(QuorumServerError):
    """A further engine cannot be opened, as it is set."""


class NoEngineError(QuorumServerError):
    """This server has no engine: it serves the sandbox alone."""
