"""What a model's own chat template writes around the texts of a conversation.

The template (Jinja, from `tokenizer_config.json` or GGUF metadata) is rendered twice, in Jinja's
sandbox, with place-holders for the texts; what stands around them is the template's. So the texts
themselves are never read as control tokens, and nothing of an attempt is rendered again.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, NoReturn

from server.dialect.errors import UnusableTemplate
from server.vocabulary import Vocabulary

#: Stand for the texts. Letters only: templates strip, and some split at marks.
_SYSTEM, _USER, _ANSWER, _NEXT = (f"QuorumPlaceholder{name}" for name in "SUAN")
#: The date that is told, where none is set, to templates that insist on one.
_ANY_DAY = date(2025, 1, 1)
_REMEDY = "set solve.dialect to the model's family, or give the model a chat template"


@dataclass(frozen=True, slots=True)
class Turns:
    """What a template writes before, between and after the texts of a conversation.

    `before_user` follows the system's text, or begins the conversation where `before_system` is
    None: the family has no system turn. `between` joins the model's message to the next user's.
    """

    before_system: str | None
    before_user: str
    header: str
    between: str


def read_turns(vocabulary: Vocabulary, *, system: bool, today: str) -> Turns:
    """Return what the vocabulary's chat template writes; `system`: the system has something to say.

    Raises:
        UnusableTemplate: there is none, it is no valid template, or cannot write two turns.
    """
    user, answer = {"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}
    said = [{"role": "system", "content": _SYSTEM}] if system else []
    render = _Renderer(vocabulary, today)
    try:
        opening = render([*said, user])
    except UnusableTemplate:
        # Some templates refuse a system turn; without one they must work.
        opening, said = render([user]), []
    if said and _SYSTEM not in opening:
        opening, said = render([user]), []
    whole = render([*said, user, answer, {"role": "user", "content": _NEXT}])
    before, _, after = opening.partition(_USER)
    between, found, _ = whole.partition(_ANSWER)[2].partition(_NEXT)
    if _USER not in opening or not found:
        raise UnusableTemplate(
            f"chat template: leaves out the user's or the model's text; {_REMEDY}"
        )
    if not said:
        return Turns(None, before, after, between)
    before_system, _, before_user = before.partition(_SYSTEM)
    return Turns(before_system, before_user, after, between)


def read_header(vocabulary: Vocabulary, *, today: str) -> str:
    """Return what the template writes after the user's text where thinking is asked for.

    Raises:
        UnusableTemplate: as `read_turns`.
    """
    user = {"role": "user", "content": _USER}
    _, found, header = _Renderer(vocabulary, today)([user], enable_thinking=True).partition(_USER)
    if not found:
        raise UnusableTemplate(f"chat template: leaves out the user's text; {_REMEDY}")
    return header


class _Renderer:
    """The vocabulary's template, compiled."""

    def __init__(self, vocabulary: Vocabulary, today: str) -> None:
        try:
            from jinja2 import TemplateError  # noqa: PLC0415 - most families do without
            from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415
        except ImportError:
            raise UnusableTemplate(
                "chat template: jinja2 must be installed to read it; install jinja2, "
                "or set solve.dialect to the model's family"
            ) from None
        if not vocabulary.chat_template:
            raise UnusableTemplate(f"chat template: the model has none; {_REMEDY}")
        self._error = TemplateError
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        day = date.fromisoformat(today) if today else _ANY_DAY
        if today or "strftime_now is defined" not in vocabulary.chat_template:
            environment.globals["strftime_now"] = day.strftime
        # No tools: templates are used to being told so, and take what is undefined for some.
        self._values: dict[str, Any] = {
            "bos_token": vocabulary.begin_name,
            "eos_token": vocabulary.end_name,
            "tools": None,
            "documents": None,
        }
        try:
            self._template = environment.from_string(vocabulary.chat_template)
        except TemplateError as error:
            raise UnusableTemplate(f"chat template: not valid ({error}); {_REMEDY}") from None

    def __call__(self, messages: list[dict[str, str]], **asked: bool) -> str:
        values = {**self._values, **asked, "messages": messages}
        try:
            return self._template.render(**values, add_generation_prompt=True)
        except UnusableTemplate:
            raise
        except (
            self._error, TypeError, ValueError, ArithmeticError, LookupError, RecursionError,
        ) as error:  # fmt: skip
            raise UnusableTemplate(f"chat template: fails ({error}); {_REMEDY}") from None


def _refuse(message: object) -> NoReturn:
    """Be the template's `raise_exception`."""
    raise UnusableTemplate(f"chat template: refuses ({str(message)[:200]}); {_REMEDY}")
