"""Policies by name: the tables of what settings and requests may say, and what is made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from voting.arguments import Arguments
from voting.errors import PolicyNameError
from voting.notation import Call, read_calls
from voting.paths import RatedPath

Policy = TypeVar("Policy")


@dataclass(frozen=True, slots=True)
class Context:
    """What a solve asks for beside its policies: the most attempts, and equal answers wanted.

    ``paths`` are what a budget that learns knows before its run; ``offset`` is how many attempts
    were had before, so that attempt i is made as attempt offset + i.
    """

    attempts: int
    agree: int
    paths: tuple[RatedPath, ...] = ()
    offset: int = 0


Maker = Callable[[Arguments, Context], Policy]


@dataclass(frozen=True, slots=True)
class Entry(Generic[Policy]):
    """One name: how to write it with its arguments, what it means, and how it is made."""

    usage: str
    meaning: str
    make: Maker[Policy]

    @property
    def name(self) -> str:
        """The name without arguments."""
        return self.usage.partition("(")[0]


class Catalogue(Generic[Policy]):
    """The policies of one kind. `operator` joins several into one, made by `join`."""

    def __init__(
        self,
        kind: str,
        entries: tuple[Entry[Policy], ...],
        operator: str = "*",
        join: Callable[[tuple[Policy, ...]], Policy] | None = None,
    ) -> None:
        self.kind = kind
        self.operator = operator if join is not None else ""
        self.entries: Mapping[str, Entry[Policy]] = {entry.name: entry for entry in entries}
        self._join = join

    def usages(self) -> list[tuple[str, str]]:
        """Return how each policy is written and what it means, for people."""
        return [(entry.usage, entry.meaning) for entry in self.entries.values()]

    def make(self, text: str, context: Context) -> Policy:
        """Return the policy that a text writes.

        Raises:
            PolicyNameError: the text is malformed, or names what there is not.
            PolicyError: an argument is out of its range.
        """
        calls = read_calls(text, self.operator)
        policies = tuple(self.make_one(call, context) for call in calls)
        if len(policies) == 1 or self._join is None:
            return policies[0]
        return self._join(policies)

    def without(self, name: str, text: str) -> str:
        """Return a text without its policies of one name, empty if there are no others.

        Raises:
            PolicyNameError: the text is malformed.
        """
        calls = read_calls(text, self.operator)
        return self.operator.join(str(call) for call in calls if call.name != name)

    def make_one(self, call: Call, context: Context) -> Policy:
        """Return the policy of one call. Errors as for `make`."""
        entry = self.entries.get(call.name)
        if entry is None:
            raise PolicyNameError(
                f"{self.kind} {call.name[:40]!r}: must be one of {', '.join(self.entries)}; "
                "choose one of these"
            )
        arguments = Arguments(call)
        policy = entry.make(arguments, context)
        arguments.finish()
        return policy
