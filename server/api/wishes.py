"""What a request's headers ask for: kinds of content, and preferences."""

from collections.abc import Iterator

from starlette.requests import Request

EVENTS = "text/event-stream"


def wants_events(request: Request) -> bool:
    """Whether `Accept` names a stream of events (RFC 9110, 12.5.1); `*/*` does not."""
    for kind, parameters in _members(request, "accept"):
        if kind == EVENTS:
            return _weight(parameters) > 0
    return False


def prefers(request: Request, preference: str) -> bool:
    """Whether `Prefer` has a preference that has no value (RFC 7240)."""
    return any(name == preference for name, _ in _members(request, "prefer"))


def _members(request: Request, header: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the members of a list, in lower case, with their parameters.

    Lines of the same header are one list (RFC 9110, 5.3).
    """
    for member in ",".join(request.headers.getlist(header)).lower().split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        yield name, parameters


def _weight(parameters: list[str]) -> float:
    """Return the weight of a kind of content; a malformed one counts as none given."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0
