"""What an adapter's settings say of its arithmetic: ranks, scalings, and what cannot be merged."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from training.errors import BadAdapter, reading

#: What of PEFT's settings changes the arithmetic in a way that a merge does not follow.
_UNSUPPORTED = (
    "use_dora", "modules_to_save", "fan_in_fan_out", "lora_bias",
    "trainable_token_indices", "layer_replication", "use_qalora", "use_bdlora", "arrow_config",
    "alora_invocation_tokens", "velora_config", "monteclora_config", "kasa_config",
)  # fmt: skip
#: Ways to begin that change the base's own weights: what is trained belongs to those.
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


@dataclass(frozen=True, slots=True)
class Settings:
    """An adapter's settings; `rank` and `alpha` are those of modules that no pattern names."""

    path: Path
    config: dict[str, Any]
    rank: int
    alpha: float

    def of(self, *names: str) -> tuple[int, float]:
        """Return the rank of a module and the scaling of its delta; `names` are what it is called.

        Raises:
            BadAdapter: a pattern or what it gives is malformed.
        """
        try:
            rank = int(self._of("rank_pattern", names, self.rank))
            alpha = float(self._of("alpha_pattern", names, self.alpha))
        except (ValueError, TypeError, AttributeError, re.error) as error:
            raise BadAdapter(
                f"{self.path}: rank_pattern and alpha_pattern must give numbers by names or "
                f"patterns of modules ({error}); export the adapter again"
            ) from None
        _check_numbers(self.path, rank, alpha)
        return rank, alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)

    def _of(self, setting: str, names: tuple[str, ...], otherwise: Any) -> Any:  # noqa: ANN401
        """Return what the first pattern gives that fits the end of a name, as PEFT chooses it."""
        for pattern, value in (self.config.get(setting) or {}).items():
            if any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                return value
        return otherwise


def read_settings(path: Path) -> Settings:
    """Return an adapter's settings.

    Raises:
        BadAdapter: they cannot be read, or ask for what a merge does not do.
    """
    with reading(path, BadAdapter):
        content = path.read_bytes()
    try:
        config: dict[str, Any] = orjson.loads(content)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadAdapter(f"{path}: must have numbers r and lora_alpha ({error!r})") from None
    used = [name for name in _UNSUPPORTED if config.get(name)]
    begun = str(config.get("init_lora_weights")).lower()
    if begun.startswith(_CHANGES_BASE):
        raise BadAdapter(
            f"{path}: init_lora_weights {begun} changes the base's own weights, must be a way that "
            "leaves them: save the adapter with PEFT's conversion to a plain LoRA"
        )
    if used or config.get("bias", "none") != "none" or config.get("peft_type", "LORA") != "LORA":
        raise BadAdapter(
            f"{path}: {', '.join(used) or 'its kind or bias'} cannot be merged; train a plain LoRA"
        )
    _check_numbers(path, rank, alpha)
    return Settings(path, config, rank, alpha)


def _check_numbers(path: Path, rank: int, alpha: float) -> None:
    if rank < 1 or not math.isfinite(alpha):
        raise BadAdapter(f"{path}: r {rank} must be at least 1, lora_alpha {alpha} a number")
