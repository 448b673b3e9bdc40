"""A recipe: the settings of a training run, from a file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import BadFile, reading
from training.rl.recipe import RlRecipe

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Loaded = TypeVar("Loaded", bound=BaseModel)


class Recipe(BaseModel):
    """How to train. Lengths are in tokens; a held-out problem is never trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sft"]
    rank: int = Field(32, ge=1)
    batch: int = Field(16, ge=1, description="Examples of a step.")
    epochs: int = Field(1, ge=1)
    learning_rate: Positive = 2e-4
    sweep: tuple[Positive, ...] = ()
    kinds: tuple[str, ...] = Field((), description="Of the corpus's entries, cot or tir; () all.")
    longest: int = Field(32_768, ge=2, description="Longer examples are cut at the end.")
    held_out: float = Field(0.1, ge=0, lt=1, description="Share of the problems.")
    save_every: int = Field(20, ge=1, description="Steps between checkpoints.")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    epsilon: Positive = 1e-8
    seed: int = Field(0, ge=0)


def names() -> list[str]:
    """Return the names of the recipes that come with Quorum."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """Return a recipe of supervised training by name, or from a file whose name ends in `.toml`.

    Raises:
        BadFile: there is none, a value is wrong, or it is of another kind.
    """
    return _load(name, Recipe)


def load_rl_recipe(name: str) -> RlRecipe:
    """Return a recipe of reinforcement learning; as `load_recipe`."""
    return _load(name, RlRecipe)


def load_any(name: str) -> Recipe | RlRecipe:
    """Return a recipe of either kind; as `load_recipe`."""
    if _read(name).get("kind") == "rl":
        return load_rl_recipe(name)
    return load_recipe(name)


def with_rate(recipe: Loaded, learning_rate: float | None) -> Loaded:
    """Return a recipe, of any kind, with another learning rate; None: with its own.

    Raises:
        BadFile: the learning rate is not a positive number.
    """
    if learning_rate is None:
        return recipe
    try:
        return recipe.model_validate({**recipe.model_dump(), "learning_rate": learning_rate})
    except ValidationError:
        raise BadFile(
            f"learning rate {learning_rate}: must be a number above 0; give another"
        ) from None


def _load(name: str, model: type[Loaded]) -> Loaded:
    try:
        return model.model_validate(_read(name))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadFile(f"recipe {name}: {told}; correct it") from None


def _read(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise BadFile(f"recipe {name!r}: must be one of {', '.join(names())}, or a .toml file")
    with reading(path):
        content = path.read_bytes()
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: not TOML ({error})") from None
