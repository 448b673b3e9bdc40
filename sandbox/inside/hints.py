"""What helps to correct an error beside its place: values, and where missing names are.

A model cannot look at its program's variables but by another call, and a small one often writes the
same program again instead. So the values of the names in the expression that failed are shown with
it, as `cgitb` did for people, and a name that nothing binds with the module that has it.
"""

import ast
import difflib
import linecache
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from types import FrameType, ModuleType, TracebackType
from typing import Any

from sandbox.inside.places import line_of
from sandbox.inside.remedies import ITERATORS, LIST_OF_ITERATOR, remedies
from sandbox.inside.short_values import short_value

_NAMES = 4
#: How many keys of a dict are looked at.
_KEYS = 8
#: A generated line can be as long as it likes.
_SEGMENT_CHARS = 2_000
_CLOSE = 0.75
#: Names longer than this, in characters, are nobody's variables.
_LONG = 60
_CANDIDATES = 5_000

#: Where names are looked for, in this order. Loaded ones only: an import here would cost time.
_MODULES = (
    "math",
    "itertools",
    "functools",
    "collections",
    "fractions",
    "decimal",
    "random",
    "sympy",
    "numpy",
    "mpmath",
    "scipy.special",
    "scipy.optimize",
)
_PLACES = 2
#: What a missing method may be of.
_KINDS = (list, set, dict, str)
#: Those that are made from each other.
_COLLECTIONS = (list, set, tuple)


def hints(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    """Yield lines without newlines: values at `trace`, the last frame in a cell, and names.

    Raises whatever a model's own objects raise.
    """
    if trace is not None:
        yield from _values(trace)
    yield from remedies(error)
    if isinstance(error, NameError) and isinstance(error.name, str):
        frame = trace.tb_frame if trace is not None else None
        told = list(_missing_name(error.name, frame))
        yield from told
        if not told and type(error) is NameError and _is_plain(error.name):
            yield f"    {error.name}: no cell has defined it; {_remedy(error.name)}"
    elif isinstance(error, AttributeError) and isinstance(error.name, str):
        yield from _missing_attribute(error.name, error.obj)
    elif type(error) is KeyError and trace is not None:
        yield from _no_list(error.args, trace)


def _remedy(name: str) -> str:
    """Return what to do about a name that nothing has.

    Models take what a problem tells, a table, for variables that are there; and its unknowns, which
    have one letter.
    """
    if len(name) > 1:
        return "write its value into the program"
    return f'give it a value, or: from sympy import symbols; {name} = symbols("{name}")'


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_") and len(name) <= _LONG


def _values(trace: TracebackType) -> Iterator[str]:
    """Yield `name = value` for the names of the expression that failed, else for its line's."""
    frame = trace.tb_frame
    line = linecache.getline(frame.f_code.co_filename, line_of(trace)).strip()
    for source in (_segment(trace), line):
        told = (_line(name, frame) for name in _names_in(source))
        if found := list(islice((line for line in told if line), _NAMES)):
            yield from found
            return


def _line(name: str, frame: FrameType) -> str:
    scope = frame.f_locals if name in frame.f_locals else frame.f_globals
    value = short_value(scope[name]) if name in scope else None
    return "" if value is None else f"    {name} = {value}"


def _segment(trace: TracebackType) -> str:
    """Return the source of the expression that failed; empty where it is not known."""
    code = trace.tb_frame.f_code
    place = next(islice(code.co_positions(), trace.tb_lasti // 2, None), None)
    if place is None or None in place:
        return ""
    first, last, begin, end = (int(number or 0) for number in place)
    lines = [line.encode() for line in linecache.getlines(code.co_filename)[first - 1 : last]]
    if not lines or sum(map(len, lines)) > _SEGMENT_CHARS:
        return ""
    # Columns count bytes. The end goes first: on one line it counts from the line's begin too.
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    return b"".join(lines).decode(errors="replace")


def _names_in(source: str) -> list[str]:
    """Return the names of an expression or a line, in the order of their first use."""
    if len(source) > _SEGMENT_CHARS:
        return []
    tree: ast.AST | None = None
    for whole in (f"({source}\n)", source):
        with suppress(SyntaxError, ValueError):
            tree = tree or ast.parse(whole)
    if tree is None:
        return []
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(node.id for node in found))


def _missing_name(name: str, frame: FrameType | None) -> Iterator[str]:
    """Say where a name could come from, or which of the cell's own is like it."""
    if places := _places(name):
        yield f"    {name}: {' or '.join(f'from {place} import {name}' for place in places)}"
    elif name in sys.stdlib_module_names or name in sys.modules:
        yield f"    {name}: import {name}"
    elif frame is not None:
        known = [*islice(frame.f_locals, _CANDIDATES), *islice(frame.f_globals, _CANDIDATES)]
        yield from _likely(name, known)


def _missing_attribute(name: str, owner: object) -> Iterator[str]:
    """Say which attribute is like one that is missing, or where a module's missing one is."""
    is_module = issubclass(type(owner), ModuleType)
    if is_module and (places := _places(name)):
        yield f"    {name}: {' or '.join(f'from {place} import {name}' for place in places)}"
    elif issubclass(type(owner), ITERATORS):
        yield f"    {LIST_OF_ITERATOR}"
    else:
        yield from _kinds_with(name, type(owner))
        # An object of the cell's own class could answer `dir` with anything, and never.
        known = vars(owner) if is_module else dir(type(owner))
        public = [each for each in islice(known, _CANDIDATES) if not each.startswith("_")]
        yield from _likely(name, public)


def _kinds_with(name: str, kind: type) -> Iterator[str]:
    """Say which kinds of Python's have an attribute, and how a list becomes one that has it."""
    for other in _KINDS:
        if hasattr(other, name):
            by_call = issubclass(kind, _COLLECTIONS) and other in _COLLECTIONS
            remedy = f": make one first, {other.__name__}(...)" if by_call else ""
            yield f"    a {other.__name__} has {name}{remedy}"


def _no_list(wanted: tuple[object, ...], trace: TracebackType) -> Iterator[str]:
    """Say what keys a dict has that was asked for another kind of key.

    `sympy.solve` returns a list, or a dict whose keys are symbols: programs expect the other one,
    or names in quotes.
    """
    frame = trace.tb_frame
    for name in _names_in(_segment(trace)):
        scope = frame.f_locals if name in frame.f_locals else frame.f_globals
        value: Any = scope.get(name)
        if not issubclass(type(value), dict):
            continue
        keys = list(islice(dict.keys(value), _KEYS))
        if keys and not {type(key) for key in keys} & {type(key) for key in wanted}:
            told = [short_value(key) for key in keys]
            if all(told):
                kind = type(keys[0]).__name__
                yield f"    {name} is a dict: its keys are of the kind {kind}, as {name}[{told[0]}]"
            return


def _places(name: str) -> list[str]:
    if name.startswith("_"):
        return []
    # Whoever misses the name of a module, as in `random.random()`, misses the module.
    loaded = [known for known in _MODULES if known in sys.modules and known != name]
    found = [(known, vars(sys.modules[known])) for known in loaded]
    return [known for known, own in found if name in own and _is_own(own[name], known)][:_PLACES]


def _is_own(value: object, place: str) -> bool:
    """Return whether a module has a value of its own: what it has only imported is no place."""
    if not issubclass(type(value), ModuleType):
        return True
    package, _, name = str(vars(value).get("__name__")).rpartition(".")
    return package == place and name not in sys.stdlib_module_names


def _likely(name: str, known: list[str]) -> Iterator[str]:
    close = difflib.get_close_matches(name[:100], [each[:100] for each in known], 1, _CLOSE)
    yield from (f"    is {each} meant?" for each in close if each != name)
