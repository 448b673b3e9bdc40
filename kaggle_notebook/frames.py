"""What the gateway hands over, and the frame that it takes back.

Read by shape, not by type: series of polars or pandas, frames, lists and plain values all do, so
that nothing the gateway may send is refused. polars and pandas are the image's own and are imported
only to build the answer.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

ID_NAMES = ("id", "ids", "problem_id", "row_id", "uuid", "index", "key")
PROBLEM_NAMES = ("problem", "question", "statement", "prompt", "text", "query")
ID, PROBLEM = "id", "problem"
#: A column that a local file may have: nobody looks at it.
ANSWER = "answer"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem as it was asked.

    ``id`` is the value as it came, None where there is none; ``text`` the statement, empty where
    there is none. ``library`` is `pandas` or `polars`; ``notes`` say what was odd, one kind each.
    """

    id: Any
    text: str
    library: str
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Column:
    name: str
    values: list[Any]
    library: str


@dataclass(slots=True)
class _Reading:
    columns: list[_Column] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_call(arguments: Sequence[Any], named: dict[str, Any]) -> tuple[Asked, ...]:
    """Return what a call of `predict` asks for, a problem a row; never raises an Exception.

    AIMO's gateway sends one row a call; others of the same package send more, and end the run where
    fewer answers come back. Where there is no row, it is one without id and statement.

    By their names the id and the problem, else by position. The answer of a local file is not read,
    wherever it stands, nor what comes third without a name that tells.
    """
    reading = _Reading()
    for name, value in [*(("", value) for value in _positional(arguments)), *named.items()]:
        if _is_answer(name):
            continue
        try:
            reading.columns += _columns(value, name)
        except Exception as error:  # noqa: BLE001 - an object of the gateway that cannot be read
            reading.notes.append(f"an argument could not be read ({type(error).__name__})")
    ids, statements = (each.values if each else [] for each in _chosen(reading))
    rows = len(ids) or len(statements)
    if rows != 1 or len(statements) > rows:
        reading.notes.append(f"{len(ids)} rows of id and {len(statements)} of problem")
    libraries = [each.library for each in reading.columns if each.library]
    pairs = list(islice(zip_longest(ids, statements), rows)) or [(None, None)]
    asked = [(identity, _as_text(statement, reading)) for identity, statement in pairs]
    library, notes = (*libraries, "polars")[0], tuple(dict.fromkeys(reading.notes))
    return tuple(
        Asked(None if is_missing(identity) else identity, text, library, notes)
        for identity, text in asked
    )


def is_missing(value: Any) -> bool:  # noqa: ANN401 - whatever the gateway sends
    """Tell whether a value is None, NaN of any type, or pandas' spelling of that."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - what NaN is known by
    except Exception:  # noqa: BLE001 - an object that cannot be compared
        return False


def _positional(arguments: Sequence[Any]) -> list[Any]:
    """Return those that may be the id or the problem: two, and what is named so after them."""
    others = [each for each in arguments if not _is_answer(_own_name(each))]
    known = (*ID_NAMES, *PROBLEM_NAMES)
    return others[:2] + [each for each in others[2:] if _plain_name(_own_name(each)) in known]


def _own_name(value: Any) -> str:  # noqa: ANN401 - whatever comes
    """Return the name of a series, empty where there is none; its values are not looked at."""
    try:
        name = getattr(value, "name", None)
    except Exception:  # noqa: BLE001 - an object of the gateway that cannot be read
        return ""
    return name if isinstance(name, str) else ""


def _plain_name(name: str) -> str:
    return name.strip().lower()


def _is_answer(name: object) -> bool:
    return _plain_name(str(name)) == ANSWER


def _columns(value: Any, name: str) -> list[_Column]:  # noqa: ANN401 - whatever comes
    library = _library(value)
    if hasattr(value, "columns") and hasattr(value, "__getitem__"):
        names = [each for each in value.columns if not _is_answer(each)]
        return [_Column(str(each), _listed(value[each]), library) for each in names]
    if isinstance(value, dict):
        names = [each for each in value if not _is_answer(each)]
        return [_Column(str(each), _listed(value[each]), library) for each in names]
    return [_Column(_own_name(value) or name, _listed(value), library)]


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - whatever comes
    for method in ("to_list", "tolist"):
        if hasattr(value, method):
            found = getattr(value, method)()
            return found if isinstance(found, list) else [found]
    return list(value) if isinstance(value, list | tuple) else [value]


def _library(value: Any) -> str:  # noqa: ANN401 - whatever comes
    root = type(value).__module__.partition(".")[0]
    return root if root in ("polars", "pandas") else ""


def _chosen(reading: _Reading) -> tuple[_Column | None, _Column | None]:
    """Return the columns of id and problem: by name where names tell, else by position."""
    columns = reading.columns
    first, second = _named(columns, ID_NAMES), _named(columns, PROBLEM_NAMES)
    rest = [each for each in columns if each is not first and each is not second]
    if first is None and second is None and len(rest) >= 2 and _look_swapped(rest[0], rest[1]):
        reading.notes.append("id and problem came swapped")
        return rest[1], rest[0]
    if first is None and rest and (second is not None or len(columns) > 1):
        first = rest.pop(0)
        _note_name(first, ID, reading)
    if second is None and rest:
        second = rest.pop(0)
        _note_name(second, PROBLEM, reading)
    if first is None:
        reading.notes.append("there is no id")
    elif second is not None and _place(columns, first) > _place(columns, second):
        reading.notes.append("id and problem came swapped")
    return first, second


def _named(columns: Sequence[_Column], names: Sequence[str]) -> _Column | None:
    """Return the first column of one of the names, the likelier names first."""
    by_name = {_plain_name(each.name): each for each in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _note_name(column: _Column, name: str, reading: _Reading) -> None:
    if column.name:
        reading.notes.append(f"the column of the {name} is named {column.name[:40]!r}")


def _place(columns: Sequence[_Column], column: _Column) -> int:
    return next(place for place, each in enumerate(columns) if each is column)


def _look_swapped(first: _Column, second: _Column) -> bool:
    """Tell whether a statement stands where the id should: words there, one short word here."""
    texts = [each.values[0] if each.values else "" for each in (first, second)]
    if not all(isinstance(text, str) for text in texts):
        return isinstance(texts[0], str) and " " in texts[0].strip()
    return " " in texts[0].strip() and " " not in texts[1].strip() and len(texts[1]) <= 64


def _as_text(value: Any, reading: _Reading) -> str:  # noqa: ANN401 - whatever comes
    if is_missing(value):
        reading.notes.append("the problem is null")
        return ""
    if isinstance(value, str):
        if not value.strip():
            reading.notes.append("the problem is empty")
        return value
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    reading.notes.append(f"the problem is of type {type(value).__name__}")
    return text_of(value)


def answer_frame(ids: Sequence[Any], answers: Sequence[int], library: str) -> Any:  # noqa: ANN401 - of either library
    """Return the frame of `id` and `answer`, without nulls, in the library of the input.

    Ids of several types become texts. Where the image has neither library it is a dictionary of two
    lists. Never raises an Exception.
    """
    told = [_id_value(each) for each in ids]
    if len({type(each) for each in told}) > 1:
        told = [text_of(each) for each in told]
    values = {ID: told, ANSWER: [int(each) for each in answers]}
    other = "pandas" if library == "polars" else "polars"
    for name in (library, other):
        try:
            module = sys.modules.get(name) or __import__(name)
            return module.DataFrame(values)
        except Exception:  # noqa: BLE001, S112 - a library that is missing or broken
            continue
    return values


def text_of(value: Any) -> str:  # noqa: ANN401 - whatever the gateway sends
    """Return a value as text that can be written and sent; empty where it has none."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - an object of the gateway that has no text
        return ""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _id_value(identity: Any) -> Any:  # noqa: ANN401 - whatever came
    """Return an id that both libraries can hold and the gateway's encoding can write."""
    if is_missing(identity):
        return ""
    if type(identity) in (bool, float) or (type(identity) is int and abs(identity) < 2**63):
        return identity
    return text_of(identity)
