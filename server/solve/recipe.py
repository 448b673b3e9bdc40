"""Recipes: how further engines take part in a solve, by name.

    plan_then_code(engine=planner, attempts=4, share=0.25, tokens=1024) | verify(engine=judge)

`plan_then_code`: an engine writes a plan of the problem, and attempts (all, or groups of so many)
have it in their prompts. `reason_then_act`: it reasons for each attempt by itself, and the attempt
makes programs of that. `verify`: it judges answers where a selector asks. A plan may take `share`
of the time that is left to think, and `tokens`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from voting.arguments import Arguments
from voting.catalogue import Catalogue, Context, Entry
from voting.errors import PolicyNameError, VotingError

#: What stands for the only further engine there is.
AUTO = "auto"
NONE = "none"
#: Of the time left to think, and in tokens: a plan of a page leaves most of both to the attempts.
DEFAULT_SHARE = 0.25
DEFAULT_TOKENS = 1024
#: What chooses in `verify` where nothing that asks a model is named.
VERIFYING_SELECTOR = "cascade(weighted, genselect)"
MOST_TOKENS = 65_536
_JOINED_BY = "|"


class Role(StrEnum):
    """What a further engine writes for attempts; prompt texts are named after it."""

    PLAN = "plan"
    THOUGHT = "thought"


@dataclass(frozen=True, slots=True)
class Guide:
    """Who writes what for how many attempts each time (0: all), and how much that may take."""

    role: Role
    engine: str
    attempts: int
    share: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe as written; without a guide attempts start at once, `judge` empty is their own."""

    text: str = NONE
    guide: Guide | None = None
    judge: str = ""


NO_RECIPE = Recipe()


def read_recipe(text: str, engines: Collection[str]) -> Recipe:
    """Return the recipe that a text writes, with the engines of these names.

    Raises:
        PolicyNameError: it is malformed, or names what there is not; of the kind `recipe`.
    """
    if text.strip() == NONE:
        return NO_RECIPE
    try:
        return _catalogue(tuple(engines), text).make(text, Context(attempts=1, agree=1))
    except VotingError as error:
        raise PolicyNameError(str(error), "recipe") from None


def can_be_followed(text: str, engines: Collection[str]) -> bool:
    """Tell whether these engines are what a recipe needs."""
    try:
        read_recipe(text, engines)
    except VotingError:
        return False
    return True


def usages() -> list[tuple[str, str]]:
    """Return how each recipe is written and what it means, for people."""
    return [("none", "the engine of section `engine` alone"), *_catalogue((), "").usages()]


def _catalogue(engines: tuple[str, ...], text: str) -> Catalogue[Recipe]:
    def guided(role: Role) -> "Entry[Recipe]":
        def make(given: Arguments, _: Context) -> Recipe:
            engine = _engine(given, engines)
            attempts = given.whole("attempts", 0) if role is Role.PLAN else 1
            share = given.number("share", DEFAULT_SHARE)
            tokens = given.whole("tokens", DEFAULT_TOKENS)
            _check(text, attempts, share, tokens)
            return Recipe(text, guide=Guide(role, engine, attempts, share, tokens))

        limits = f"share={DEFAULT_SHARE:g}, tokens={DEFAULT_TOKENS}"
        if role is Role.PLAN:
            usage = f"plan_then_code(engine=auto, attempts=0, {limits})"
            return Entry(
                usage, "it writes a plan, without tools, for all attempts or so many each", make
            )
        usage = f"reason_then_act(engine=auto, {limits})"
        return Entry(usage, "it reasons for each attempt, which makes programs of that", make)

    verify: Entry[Recipe] = Entry(
        "verify(engine=auto)",
        f"it judges answers for selectors that ask; alone it brings {VERIFYING_SELECTOR}",
        lambda given, _: Recipe(text, judge=_engine(given, engines)),
    )
    entries = (guided(Role.PLAN), guided(Role.THOUGHT), verify)
    return Catalogue("recipe", entries, operator=_JOINED_BY, join=_joined)


def _engine(given: Arguments, engines: tuple[str, ...]) -> str:
    name = given.word("engine", AUTO, (AUTO, *engines))
    if name != AUTO:
        return name
    if len(engines) != 1:
        known = ", ".join(engines) or "none"
        raise PolicyNameError(
            f"recipe: {len(engines)} further engines ({known}): must name one of them where there"
            " is not one alone; write engine=NAME, or give the server a section [engines.NAME]"
        )
    return engines[0]


def _check(text: str, attempts: int, share: float, tokens: int) -> None:
    for name, value, good, constraint in (
        ("attempts", attempts, attempts >= 0, "at least 0 (0: all)"),
        ("share", share, 0 < share <= 0.9, "above 0, at most 0.9"),
        ("tokens", tokens, 1 <= tokens <= MOST_TOKENS, f"from 1 to {MOST_TOKENS}"),
    ):
        if not good:
            raise PolicyNameError(f"recipe {text}: {name} {value:g}: must be {constraint}")


def _joined(recipes: tuple[Recipe, ...]) -> Recipe:
    guides = [each.guide for each in recipes if each.guide is not None]
    judges = [each.judge for each in recipes if each.judge]
    text = recipes[0].text
    if len(guides) > 1 or len(judges) > 1:
        raise PolicyNameError(
            f"recipe {text}: must have one of plan_then_code and reason_then_act, and verify once,"
            " at most; leave out the others"
        )
    return Recipe(text, guides[0] if guides else None, judges[0] if judges else "")
