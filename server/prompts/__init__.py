"""The texts that a model is given, one file each, chosen by name."""

from functools import cache
from importlib.resources import files

from client.schema import AnswerKind
from server.dialect.base import Prompt


@cache
def text(name: str) -> str:
    """Return the text of `NAME.md` in this folder, without the newline at its end."""
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8").rstrip("\n")


def compose(problem: str, answer_kind: AnswerKind, *, tools: bool) -> Prompt:
    """Return what an attempt at this problem opens with."""
    system = "\n".join(
        [text("system_tools" if tools else "system_plain"), text(f"answer_{answer_kind.value}")]
    )
    return Prompt(system=system, problem=problem, force=text("force"))
