"""The texts that a model is given, one file each, chosen by name.

The files in this folder are for every model; a folder in it is a set of its own texts for those
that are named after its dialect, or chosen by `solve.prompts`. What a set has not is taken from
here. A variant (`variant_NAME.md`) is said to single attempts, after the system's text; where there
is a `start_NAME.md` beside it, the model's message begins with that, to its last newline, and where
there is a `problem_NAME.md`, that is how the problem is put. It may be all that there is of one.

`{problem}` and `{answer}` in a file stand for the problem and for the sentence that says how to
answer, `{guide}` in `guided_ROLE.md` for what another model wrote. In `start_NAME.md`, `{tables}`
stands for lines of a program that have the problem's tables, if any, and `{docstring}` for the
problem as a function's first lines. Everything else, braces too, is meant as it stands.
`system_ROLE.md` and `user_ROLE.md` are what that model is asked.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from client.schema import AnswerKind
from server.dialect.base import Prompt
from server.prompts.docstring import docstring
from server.prompts.tables import records

_ENDING = ".md"
_VARIANT = "variant_"
_START = "start_"
_PROBLEM = "problem_"
_GUIDED = "guided_"
#: What stands for code in the start of a message.
_CODE = {"{tables}": records, "{docstring}": docstring}
_PLACES = re.compile("|".join(map(re.escape, _CODE)))


@cache
def text(name: str, chosen: str = "") -> str:
    """Return the text of `NAME.md` in the chosen set, else in this folder; no newline at its end.

    Raises:
        FileNotFoundError: neither has it.
    """
    own = _folder() / chosen / f"{name}{_ENDING}"
    found = own if chosen and own.is_file() else _folder() / f"{name}{_ENDING}"
    return found.read_text(encoding="utf-8").rstrip("\n")


def start(problem: str, variant: str, chosen: str = "") -> str:
    """Return what a variant has the model's message begin with, in the chosen set; or nothing."""
    # In one go: what the problem says is never taken for a place-holder.
    return _PLACES.sub(lambda place: _CODE[place[0]](problem), _of_variant(_START, variant, chosen))


def put(problem: str, variant: str, chosen: str = "") -> str:
    """Return the problem as a variant puts it, in the chosen set."""
    around = _of_variant(_PROBLEM, variant, chosen).rstrip("\n") if variant else ""
    # Split before anything goes in: what the problem says is never taken for a place-holder.
    return problem.join(around.split("{problem}")) if around else problem


@cache
def _of_variant(kind: str, variant: str, chosen: str) -> str:
    """Return a variant's further text, from the folder that the variant is of: its own or none."""
    folder = _folder() / chosen
    if not any((folder / f"{each}{variant}{_ENDING}").is_file() for each in (_VARIANT, _PROBLEM)):
        folder = _folder()
    file = folder / f"{kind}{variant}{_ENDING}"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@cache
def sets() -> tuple[str, ...]:
    """Return the names of the sets."""
    return tuple(sorted(entry.name for entry in _folder().iterdir() if _has_texts(entry)))


@cache
def variants() -> tuple[str, ...]:
    """Return the names of the variants."""
    found = {
        name.removeprefix(kind).removesuffix(_ENDING)
        for name in _names(_folder())
        for kind in (_VARIANT, _PROBLEM)
        if name.startswith(kind)
    }
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Guidance:
    """What another model wrote for an attempt; `role` names the text around it, `guided_ROLE`.

    `plan` is the number under which it is recorded, below 0.
    """

    role: str
    text: str
    plan: int = -1


def compose(
    problem: str,
    answer_kind: AnswerKind,
    *,
    tools: bool,
    chosen: str = "",
    variant: str = "",
    guidance: Guidance | None = None,
) -> Prompt:
    """Return what an attempt at this problem opens with.

    `chosen` names a set, `variant` one of `variants()`; empty is none. Guidance stands after the
    problem, and a variant then after that: whatever attempts differ in, they begin with the same
    tokens up to the guidance's end.
    """
    kind = "tools" if tools else "plain"
    answer = text(f"answer_{answer_kind.value}", chosen)
    # The problem goes in last: what it says is never taken for a place-holder.
    asked = text(f"user_{kind}", chosen).replace("{answer}", answer)
    user = asked.replace("{problem}", put(problem, variant, chosen), 1)
    system = text(f"system_{kind}", chosen).replace("{answer}", answer)
    said = _of_variant(_VARIANT, variant, chosen).rstrip("\n") if variant else ""
    if guidance is not None:
        around = text(f"{_GUIDED}{guidance.role}", chosen)
        user = _joined(user, around.replace("{guide}", guidance.text, 1), said)
    else:
        system = _joined(system, said)
    return Prompt(
        system=system,
        user=user,
        force=text("force", chosen),
        tool=text("tool", chosen) if tools else "",
        start=start(problem, variant, chosen) if tools and variant else "",
    )


def compose_guide(problem: str, role: str, chosen: str = "") -> Prompt:
    """Return what a model is asked that is to write guidance of this role; it has no tool."""
    return Prompt(
        system=text(f"system_{role}", chosen),
        user=text(f"user_{role}", chosen).replace("{problem}", problem, 1),
        force=text("force", chosen),
    )


def guided_role(asked: str) -> str:
    """Return for which role a text asks for guidance, as `compose_guide` does; empty: for none."""
    return next((role for role in _roles() if _after_problem(role) in asked), "")


def without_guidance(user: str) -> str:
    """Return what a user's text says before the guidance that `compose` put into it."""
    for role in _roles():
        before = text(f"{_GUIDED}{role}").partition("{guide}")[0]
        user = user.partition(f"\n\n{before}")[0]
    return user


@cache
def _roles() -> tuple[str, ...]:
    names = (name for name in _names(_folder()) if name.startswith(_GUIDED))
    return tuple(sorted(name.removeprefix(_GUIDED).removesuffix(_ENDING) for name in names))


@cache
def _after_problem(role: str) -> str:
    return text(f"user_{role}").partition("{problem}")[2]


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _folder() -> Traversable:
    return files(__name__)


def _names(folder: Traversable) -> Iterable[str]:
    return (entry.name for entry in folder.iterdir())


def _has_texts(entry: Traversable) -> bool:
    return entry.is_dir() and any(name.endswith(_ENDING) for name in _names(entry))
