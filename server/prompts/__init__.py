"""The texts that a model is given, one file each, chosen by name.

The files in this folder are for every model; a folder in it is a set of its own texts for those
that are named after its dialect, or chosen by `solve.prompts`. What a set has not is taken from
here. A variant (`variant_NAME.md`) is said to single attempts, after the system's text; where there
is a `start_NAME.md` beside it, the model's message begins with that, to its last newline.

`{problem}` and `{answer}` in a file stand for the problem and for the sentence that says how to
answer; everything else, braces too, is meant as it stands.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from client.schema import AnswerKind
from server.dialect.base import Prompt

_ENDING = ".md"
_VARIANT = "variant_"
_START = "start_"


@cache
def text(name: str, chosen: str = "") -> str:
    """Return the text of `NAME.md` in the chosen set, else in this folder; no newline at its end.

    Raises:
        FileNotFoundError: neither has it.
    """
    own = _folder() / chosen / f"{name}{_ENDING}"
    found = own if chosen and own.is_file() else _folder() / f"{name}{_ENDING}"
    return found.read_text(encoding="utf-8").rstrip("\n")


@cache
def start(variant: str, chosen: str = "") -> str:
    """Return what a variant has the model's message begin with, in the chosen set; empty: nothing.

    It belongs to the variant of the same folder: a set's own variant has its own start or none.
    """
    folder = _folder() / chosen
    if not (folder / f"{_VARIANT}{variant}{_ENDING}").is_file():
        folder = _folder()
    file = folder / f"{_START}{variant}{_ENDING}"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@cache
def sets() -> tuple[str, ...]:
    """Return the names of the sets."""
    return tuple(sorted(entry.name for entry in _folder().iterdir() if _has_texts(entry)))


@cache
def variants() -> tuple[str, ...]:
    """Return the names of the variants."""
    return tuple(
        sorted(
            name.removeprefix(_VARIANT).removesuffix(_ENDING)
            for name in _names(_folder())
            if name.startswith(_VARIANT)
        )
    )


def compose(
    problem: str, answer_kind: AnswerKind, *, tools: bool, chosen: str = "", variant: str = ""
) -> Prompt:
    """Return what an attempt at this problem opens with.

    `chosen` names a set, `variant` one of `variants()`; empty is none.
    """
    kind = "tools" if tools else "plain"
    answer = text(f"answer_{answer_kind.value}", chosen)
    # The problem goes in last: what it says is never taken for a place-holder.
    user = text(f"user_{kind}", chosen).replace("{answer}", answer).replace("{problem}", problem, 1)
    system = text(f"system_{kind}", chosen).replace("{answer}", answer)
    if variant:
        said = (system, text(f"{_VARIANT}{variant}", chosen))
        system = "\n\n".join(part for part in said if part)
    return Prompt(
        system=system,
        user=user,
        force=text("force", chosen),
        tool=text("tool", chosen) if tools else "",
        start=start(variant, chosen) if tools and variant else "",
    )


def _folder() -> Traversable:
    return files(__name__)


def _names(folder: Traversable) -> Iterable[str]:
    return (entry.name for entry in folder.iterdir())


def _has_texts(entry: Traversable) -> bool:
    return entry.is_dir() and any(name.endswith(_ENDING) for name in _names(entry))
