"""How policies are written in settings: `name`, `name(0.9, most=3)`, `one*other`, `one | other`.

    text     = call { operator call }
    call     = name [ "(" [ argument { "," argument } ] ")" ]
    argument = [ name "=" ] ( number [ ":" number ] | call )

Spaces mean nothing. Which operator joins calls, `*` or `|`, is for the kind of policy to say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from voting.errors import PolicyNameError

#: The longest text read: a cascade of every selector with all arguments is a third of it.
MAX_CHARACTERS = 400
#: Calls within calls, at most: a cascade of cascades of a tournament is three.
MAX_DEPTH = 8

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>[(),:=*|]))"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two numbers joined by a colon, as in `8:4`."""

    first: float
    second: float


@dataclass(frozen=True, slots=True)
class Call:
    """A name with arguments; `text` is how it was written, without spaces."""

    name: str
    positional: tuple["Value", ...] = ()
    named: tuple[tuple[str, "Value"], ...] = ()

    def __str__(self) -> str:
        arguments = [_written(each) for each in self.positional]
        arguments += [f"{name}={_written(value)}" for name, value in self.named]
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name


Value = float | Pair | Call


def read_calls(text: str, operator: str) -> tuple[Call, ...]:
    """Return the calls that a text joins by an operator.

    Raises:
        PolicyNameError: the text is not of the form above.
    """
    if len(text) > MAX_CHARACTERS:
        raise PolicyNameError(
            f"policy of {len(text)} characters: must be at most {MAX_CHARACTERS}; shorten it"
        )
    reader = _Reader(text)
    calls = [reader.call()]
    while reader.take(operator):
        calls.append(reader.call())
    reader.require_end()
    return tuple(calls)


def _written(value: Value) -> str:
    if isinstance(value, Pair):
        return f"{value.first:g}:{value.second:g}"
    return str(value) if isinstance(value, Call) else f"{value:g}"


class _Reader:
    """Reads a text from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces = self._split()
        self._depth = 0
        self._kind, self._piece = next(self._pieces)

    def call(self) -> Call:
        """Read a name and its arguments."""
        if self._kind != "name":
            raise self._error("a policy's name")
        name = self._advance()
        if not self.take("("):
            return Call(name)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"at most {MAX_DEPTH} policies within each other")
        positional: list[Value] = []
        named: list[tuple[str, Value]] = []
        while not self.take(")"):
            self._argument(positional, named)
            if not self.take(",") and self._piece != ")":
                raise self._error('"," or ")"')
        self._depth -= 1
        return Call(name, tuple(positional), tuple(named))

    def take(self, mark: str) -> bool:
        """Take a mark if it is next."""
        if self._kind != "mark" or self._piece != mark:
            return False
        self._advance()
        return True

    def require_end(self) -> None:
        """Refuse what follows."""
        if self._kind != "end":
            raise self._error("nothing more")

    def _argument(self, positional: list[Value], named: list[tuple[str, Value]]) -> None:
        value = self._value()
        if isinstance(value, Call) and value == Call(value.name) and self.take("="):
            named.append((value.name, self._value()))
        elif named:
            raise self._error("arguments without a name before those with one")
        else:
            positional.append(value)

    def _value(self) -> Value:
        if self._kind != "number":
            return self.call()
        number = float(self._advance())
        if not self.take(":"):
            return number
        if self._kind != "number":
            raise self._error("a number after the colon")
        return Pair(number, float(self._advance()))

    def _advance(self) -> str:
        token = self._piece
        self._kind, self._piece = next(self._pieces)
        return token

    def _split(self) -> Iterator[tuple[str, str]]:
        position = 0
        while match := _TOKEN.match(self._text, position):
            yield str(match.lastgroup), match[match.lastgroup or 0]
            position = match.end()
        rest = self._text[position:].strip()
        while True:
            yield ("other", rest[0]) if rest else ("end", "the end")

    def _error(self, wanted: str) -> PolicyNameError:
        return PolicyNameError(
            f"policy {self._text!r}: must have {wanted} where it has {self._piece!r}; "
            "write name(argument, …)"
        )
