"""The texts that a model is given, one file each, chosen by name.

`{problem}` and `{answer}` in a file stand for the problem and for the sentence that says how to
answer; everything else, braces too, is meant as it stands.
"""

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
    variant = "tools" if tools else "plain"
    answer = text(f"answer_{answer_kind.value}")
    # The problem goes in last: what it says is never taken for a place-holder.
    user = text(f"user_{variant}").replace("{answer}", answer).replace("{problem}", problem, 1)
    return Prompt(system=text(f"system_{variant}"), user=user, force=text("force"))
