"""A further engine with the language of its model: what recipes work with, by name."""

from dataclasses import dataclass
from pathlib import Path

from server.dialect.base import Dialect
from server.engine.base import Engine
from server.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """An engine under its name in the settings, and how its model reads and writes.

    Its vocabulary is its own: what it wrote crosses to another engine as text.
    """

    name: str
    engine: Engine
    dialect: Dialect
    vocabulary: Vocabulary
    model_path: Path
