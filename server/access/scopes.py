"""What a key may do, by route."""

from enum import StrEnum


class Scope(StrEnum):
    """What a key is for."""

    SOLVE = "solve"
    """Solves, runs, models, OpenAI's routes, the page."""
    SANDBOX = "sandbox"
    """Kernels over HTTP."""
    LABEL = "label"
    """Labels of attempts, to read and to give."""
    ADMIN = "admin"
    """Everything, the settings in force too."""


#: Routes that need no key: whether the process lives, and the way to log in.
OPEN_PATHS = frozenset({"/health", "/login", "/logout", "/favicon.ico"})
OPEN_FOLDERS = ("/static/",)
#: Routes that any key may use.
ANY_PATHS = frozenset({"/ready", "/metrics", "/openapi.json"})
ADMIN_PATHS = frozenset({"/v1/settings"})
SANDBOX_FOLDER = "/v1/sandbox/"
LABELS_PATH = "/v1/labels"


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def needed(path: str) -> frozenset[Scope]:
    """Return the scopes of which a key must have one for a path."""
    if path in ANY_PATHS:
        return frozenset(Scope)
    if path in ADMIN_PATHS:
        return frozenset({Scope.ADMIN})
    if path.startswith(SANDBOX_FOLDER):
        return frozenset({Scope.SANDBOX, Scope.ADMIN})
    if path == LABELS_PATH or path.startswith(f"{LABELS_PATH}/"):
        return frozenset({Scope.LABEL, Scope.ADMIN})
    return frozenset({Scope.SOLVE, Scope.ADMIN})
