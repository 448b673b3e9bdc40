r"""How a solution's steps are written for a process reward model, and which class means right.

Two published formats, both from the models' cards. Qwen2.5-Math-PRM (Qwen/Qwen2.5-Math-PRM-7B): a
ChatML conversation whose answer has the token ``<extra_0>`` after each step; there the model gives
the probabilities of two classes, the second being "right". math-shepherd
(peiyi9979/math-shepherd-mistral-7b-prm): plain text with the tag ``ки`` after each step; there the
next token is ``+`` or ``-``, and its first class is "right".

Texts rather than token ids are made, so that the server that runs the model tokenises with the
model's own tokeniser. What would be read as a mark is taken out of problems and solutions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

#: What Qwen2.5-Math-PRM is told as system message, as on its card.
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
QWEN_MARK = "<extra_0>"
SHEPHERD_TAG = "ки"
#: Ids of math-shepherd's tokens ``ки``, ``+`` and ``-``, as its card gives them.
SHEPHERD_TAG_ID = 12_902
SHEPHERD_SIGN_IDS = (648, 387)
#: Steps of one solution, at most; further ones are joined to the last.
MAX_STEPS = 64

_PARAGRAPHS = re.compile(r"\n[ \t]*\n+")
_CHATML = re.compile(r"<\|[A-Za-z0-9_]{1,40}\|>|<extra_[0-9]{1,4}>")
_MISTRAL = re.compile(r"</?s>|<unk>|\[/?INST\]|ки")


def _without(marks: re.Pattern[str], text: str) -> str:
    """Return a text with a space for each mark: what stood around one must not become another."""
    return marks.sub(" ", text)


def steps_of(solution: str) -> list[str]:
    """Return the paragraphs of a solution, `MAX_STEPS` of them at most; none of an empty one."""
    steps = [step.strip() for step in _PARAGRAPHS.split(solution) if step.strip()]
    if len(steps) > MAX_STEPS:
        steps[MAX_STEPS - 1 :] = ["\n\n".join(steps[MAX_STEPS - 1 :])]
    return steps


class RewardFormat(Protocol):
    """The format of one family of models."""

    @property
    def name(self) -> str:
        """What settings call it."""
        ...

    @property
    def right(self) -> int:
        """The class that means right, of two."""
        ...

    def text(self, problem: str, steps: Sequence[str]) -> str:
        """Return what the model reads, with one mark for each step."""
        ...


@dataclass(frozen=True, slots=True)
class QwenFormat:
    """Qwen2.5-Math-PRM-7B and 72B."""

    name: str = "qwen"
    right: int = 1

    def text(self, problem: str, steps: Sequence[str]) -> str:
        """Return the conversation, as the model's chat template writes it."""
        marked = "".join(f"{_without(_CHATML, step)}{QWEN_MARK}" for step in steps)
        messages = (
            ("system", QWEN_SYSTEM),
            ("user", _without(_CHATML, problem)),
            ("assistant", marked),
        )
        return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages)


@dataclass(frozen=True, slots=True)
class ShepherdFormat:
    """math-shepherd's reward model."""

    name: str = "shepherd"
    right: int = 0

    def text(self, problem: str, steps: Sequence[str]) -> str:
        """Return the problem and the numbered steps, each on a line and with its tag."""
        written = "\n".join(
            f"Step {number}: {_without(_MISTRAL, step)} {SHEPHERD_TAG}"
            for number, step in enumerate(steps, start=1)
        )
        return f"{_without(_MISTRAL, problem)} {written}"


FORMATS: dict[str, RewardFormat] = {each.name: each for each in (QwenFormat(), ShepherdFormat())}


def format_of(model: str) -> RewardFormat | None:
    """Return the format of a served model, by its name; None where that says nothing."""
    name = model.lower()
    if "shepherd" in name:
        return FORMATS["shepherd"]
    return FORMATS["qwen"] if "qwen" in name and "prm" in name else None
