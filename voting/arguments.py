"""The arguments of a policy as written, read one by one and with errors that name them."""

from voting.errors import PolicyNameError
from voting.notation import Call, Pair, Value
from voting.stages import Stage


class Arguments:
    """Arguments of one call: by name, or by place in the order in which they are asked for."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._positional = list(call.positional)
        self._named = dict(call.named)
        self._known: list[str] = []

    def number(self, name: str, default: float) -> float:
        """Return the number of this name.

        Raises:
            PolicyNameError: it is not a number.
        """
        value = self._next(name, default)
        if isinstance(value, float | int):
            return float(value)
        raise self._error(name, value, "a number")

    def named_number(self, name: str, default: float) -> float:
        """Return the number of this name, which must be written out. Errors as for `number`."""
        places, self._positional = self._positional, []
        value = self.number(name, default)
        self._positional = places
        return value

    def whole(self, name: str, default: int) -> int:
        """Return the whole number of this name.

        Raises:
            PolicyNameError: it is not a whole number.
        """
        value = self._next(name, float(default))
        if isinstance(value, float) and value.is_integer():
            return int(value)
        raise self._error(name, value, "a whole number")

    def word(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Return the word of this name.

        Raises:
            PolicyNameError: it is none of the choices.
        """
        value = self._next(name, Call(default))
        if isinstance(value, Call) and value == Call(value.name) and value.name in choices:
            return value.name
        raise self._error(name, value, f"one of {', '.join(choices)}")

    def stages(self) -> tuple[Stage, ...]:
        """Return all arguments without a name, as stages.

        Raises:
            PolicyNameError: one is not of the form attempts:agree.
        """
        stages = []
        for value in self._positional:
            if not isinstance(value, Pair) or not (
                value.first.is_integer() and value.second.is_integer()
            ):
                raise self._error("stage", value, "attempts:agree, such as 8:4")
            stages.append(Stage(int(value.first), int(value.second)))
        self._positional.clear()
        return tuple(stages)

    def numbers(self) -> tuple[float, ...]:
        """Return all arguments without a name, as numbers.

        Raises:
            PolicyNameError: one is not a number.
        """
        self._known.append("numbers without a name")
        numbers = []
        for value in self._positional:
            if not isinstance(value, float | int):
                raise self._error("weight", value, "a number")
            numbers.append(float(value))
        self._positional.clear()
        return tuple(numbers)

    def calls(self) -> tuple[Call, ...]:
        """Return all arguments without a name, as policies.

        Raises:
            PolicyNameError: one is a number.
        """
        calls = []
        for value in self._positional:
            if not isinstance(value, Call):
                raise self._error("policy", value, "the name of a policy")
            calls.append(value)
        self._positional.clear()
        return tuple(calls)

    def finish(self) -> None:
        """Refuse arguments that nobody asked for.

        Raises:
            PolicyNameError: there are some, or one is given twice.
        """
        known = ", ".join(self._known) or "no arguments"
        names = [name for name, _ in self._call.named]
        twice = [name for name in names if names.count(name) > 1]
        left = [*twice, *self._named, *map(str, self._positional)]
        if left:
            raise PolicyNameError(
                f"{self._call}: {left[0]}: {self._call.name} takes {known}, each once; "
                "correct or remove it"
            )

    def _next(self, name: str, default: Value) -> Value:
        self._known.append(name)
        if name in self._named:
            return self._named.pop(name)
        return self._positional.pop(0) if self._positional else default

    def _error(self, name: str, value: Value, wanted: str) -> PolicyNameError:
        return PolicyNameError(
            f"{self._call}: {name} {value}: must be {wanted}; correct or remove it"
        )
