"""The arms of an evaluation: what is asked of the server for each problem, under a name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from client.schema import SolveRequest
from server.evaluation.errors import MalformedArm
from server.prompts import variants
from server.solve.mix import parse_mix
from voting.catalogue import Context
from voting.errors import VotingError
from voting.policies import CATALOGUES, PolicyNames, make_policies
from voting.strategies import STRATEGIES, strategy

#: What an arm may set: the fields of a request that say how, not what.
NUMBERS: Mapping[str, Callable[[str], int | float]] = {
    "agree": int, "max_turns": int, "max_tokens": int, "top_k": int,
    "temperature": float, "top_p": float, "min_p": float,
}  # fmt: skip
TEXTS = ("strategy", *CATALOGUES, "recipe", "mix")
#: For a mix of one entry, and between the entries of a longer one, where ; parts an arm's own.
VARIANT, ENTRIES = "variant", "|"
#: Every attempt comes to its own end, so that any other vote, stop or budget can be scored later.
DEFAULT_ARM = "name=recorded; strategy=weighted_vote"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")


@dataclass(frozen=True, slots=True)
class Arm:
    """A name, and fields of `SolveRequest`."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def attempts(self, asked: int) -> int:
        """Return how many attempts a problem has: the strategy's own number, else those asked."""
        named = self.fields.get("strategy")
        own = strategy(named).attempts if named is not None else None
        return asked if own is None else min(own, asked)


def read_arm(text: str) -> Arm:
    """Return the arm that a text writes: `key=value` pairs with semicolons between, or a strategy.

    `name` names it, in a report and in what it is compared with; left out, it is the strategy's.
    `variant=chinese` is what every attempt is told besides; `mix` has one entry an attempt, in
    turn: `mix=temperature=0 | variant=chinese`.

    Raises:
        MalformedArm: the text is malformed, or names what there is not.
    """
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        if part in STRATEGIES:
            part = f"strategy={part}"  # noqa: PLW2901 - the same, written whole
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in given or key not in ("name", VARIANT, *TEXTS, *NUMBERS):
            raise MalformedArm(
                f"arm {text[:80]!r}: {part[:40]!r}: must be key=value, each key once, of name, "
                f"{', '.join((VARIANT, *TEXTS, *NUMBERS))}; for example "
                "'name=plain; strategy=majority_vote; temperature=0.7'"
            )
        given[key] = value
    _mixed(text, given)
    name = given.pop("name", given.get("strategy", "settings"))
    if not _NAME.fullmatch(name):
        raise MalformedArm(
            f"arm name {name[:60]!r}: must be 1 to 40 letters, digits, dots, dashes or pluses; "
            "shorten it"
        )
    arm = Arm(name, {key: _value(text, key, value) for key, value in given.items()})
    _check(text, arm)
    return arm


def _mixed(text: str, given: dict[str, str]) -> None:
    """Put a mix as a request has it."""
    variant = given.pop(VARIANT, None)
    if variant is not None:
        if "mix" in given:
            raise MalformedArm(f"arm {text[:80]!r}: must have a variant or a mix; leave one out")
        given["mix"] = f"{VARIANT}={variant}"
    if "mix" not in given:
        return
    given["mix"] = given["mix"].replace(ENTRIES, ";")
    try:
        parse_mix(given["mix"], variants())
    except ValueError as error:
        raise MalformedArm(f"arm {text[:80]!r}: mix: {error}") from error


def _value(text: str, key: str, value: str) -> str | int | float:
    if key not in NUMBERS:
        return value
    try:
        return NUMBERS[key](value)
    except ValueError:
        raise MalformedArm(
            f"arm {text[:80]!r}: {key} {value[:40]!r}: must be a number; correct it"
        ) from None


def _check(text: str, arm: Arm) -> None:
    """See that the server would take it, before anything is asked."""
    try:
        SolveRequest.model_validate({**arm.fields, "problem": "any"})
        names = PolicyNames()
        if "strategy" in arm.fields:
            names = strategy(arm.fields["strategy"]).policies
        own = {kind: arm.fields[kind] for kind in CATALOGUES if kind in arm.fields}
        merged = {kind: own.get(kind, getattr(names, kind)) for kind in CATALOGUES}
        make_policies(PolicyNames(**merged), Context(attempts=4, agree=3))
    except (ValidationError, VotingError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise MalformedArm(f"arm {text[:80]!r}: {reason}") from error


def read_arms(texts: list[str]) -> tuple[Arm, ...]:
    """Return arms of different names.

    Raises:
        MalformedArm: one is malformed, or two have the same name.
    """
    arms = tuple(read_arm(text) for text in texts or [DEFAULT_ARM])
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise MalformedArm(
            f"arms {', '.join(names)}: must have different names; name each, as in 'name=plain; …'"
        )
    return arms
