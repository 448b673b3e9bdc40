"""A problem as a request to solve it many times."""

from typing import Any

from pydantic import ValidationError

from client.schema import SolveRequest
from training.errors import BadTraces
from training.problems.read import Problem


def to_request(problem: Problem, settings: dict[str, Any]) -> SolveRequest:
    """Return the request for attempts that no vote stops, with their tokens.

    Raises:
        BadTraces: no server takes it: the statement is too long, or a setting out of its bounds.
    """
    asked = {
        "problem": problem.statement, "problem_id": problem.id[:256], "early_stop": "none",
        "agree": settings["attempts"], "tokens": True, **settings,
    }  # fmt: skip
    try:
        return SolveRequest.model_validate(asked)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadTraces(
            f"problem {problem.id}: cannot be asked ({told}); leave it out, or correct it"
        ) from None
