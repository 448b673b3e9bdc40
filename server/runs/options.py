"""What a problem is asked with that belongs to a run, and what its budget is called."""

from client.schema import RunRequest, SolveOptions, SolveRequest
from voting.budgets import BUDGETS
from voting.errors import PolicyNameError
from voting.notation import read_calls

#: The budget of a run that gives out nothing: each problem has what it asks for.
NO_BUDGET = "none"


def with_options(request: SolveRequest, run: RunRequest) -> SolveRequest:
    """Return a request with what it leaves out as the run says."""
    said = run.model_dump(exclude_unset=True, include=set(SolveOptions.model_fields))
    values = {**said, **request.model_dump(exclude_unset=True)}
    attempts, agree = values.get("attempts"), values.get("agree")
    if attempts is not None and agree is not None:
        # One may be the run's and one the problem's.
        values["agree"] = min(attempts, agree)
    return SolveRequest.model_validate(values)


def require_budget(text: str) -> None:
    """See that a text names budgets that there are; its arguments are not looked at.

    Raises:
        PolicyNameError: it is malformed, or names what there is not.
    """
    if text == NO_BUDGET:
        return
    if any(call.name not in BUDGETS.entries for call in read_calls(text, BUDGETS.operator)):
        known = ", ".join([*BUDGETS.entries, NO_BUDGET])
        raise PolicyNameError(
            f"budget {text[:40]!r}: must be one of {known}; choose one of these", "budget"
        )
