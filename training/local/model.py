"""A small model on this machine with a LoRA, by transformers and peft."""

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import (
    BadAdapter,
    BadBase,
    Diverged,
    MissingExtra,
    OutputFailed,
    reading,
    writing,
)
from training.merge.base import SETTINGS

#: Every linear layer of attention and feed-forward, as transformers names them; some models have
#: several as one.
TARGETS = r".*\.(q_proj|k_proj|v_proj|qkv_proj|o_proj|gate_proj|up_proj|gate_up_proj|down_proj)"
OPTIMIZER = "optimizer.pt"
#: What an adapter's folder has, in PEFT's form; the weights under one of two names.
CONFIG, WEIGHTS = "adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin")
#: How the files of a model's weights end, and of their index.
_OF_WEIGHTS = (".safetensors", ".bin", ".index.json")
#: Bits of a weight that the base can be loaded with.
WHOLE, BYTE, NIBBLE = 16, 8, 4
#: What is no number where weights have diverged.
_MEASURED = "a log-probability"
log = logging.getLogger(__name__)


def library(name: str) -> Any:  # noqa: ANN401 - not installed where the checks run
    """Return a package.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(
            f'training here needs {name}: `pip install "quorum-aimo[train]" torch`'
        ) from None


def device_of(torch: Any) -> str:  # noqa: ANN401
    """Return where models run: CUDA or MPS where there is one, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def bits_here(bits: int) -> int:
    """Return the bits that weights are loaded with: fewer than 16 only where the platform can."""
    torch = library("torch")
    if bits == WHOLE or (device_of(torch) == "cuda" and _is_there("bitsandbytes")):
        return bits
    log.warning("%d-bit weights need CUDA and bitsandbytes: 16 bits are used", bits)
    return WHOLE


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def load(base: Path, bits: int = WHOLE) -> Any:  # noqa: ANN401 - transformers' own
    """Return a model: in BF16 on CUDA and MPS, in float32 on the CPU.

    Raises:
        BadBase: transformers cannot load it.
        MissingExtra: torch or transformers is not installed.
    """
    torch, transformers = library("torch"), library("transformers")
    _check_folder(base)
    device = device_of(torch)
    more: dict[str, Any] = {}
    if bits != WHOLE:
        more["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=bits == NIBBLE, load_in_8bit=bits == BYTE
        )
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **more)
    except _refusals() as error:
        raise BadBase(f"{base}: transformers cannot load it ({error})") from None
    return model if more else model.to(device)


def _check_folder(base: Path) -> None:
    if not base.is_dir():  # transformers would ask the hub for a model of that name
        raise BadBase(f"{base}: is no folder; name that of a model")


def base_files(base: Path) -> list[Path]:
    """Return the files that make a model what it is: its settings and its weights.

    Raises:
        BadBase: it is no folder.
    """
    _check_folder(base)
    with reading(base, BadBase):
        found = [path for path in sorted(base.iterdir()) if path.is_file()]
    return [path for path in found if path.name == SETTINGS or path.name.endswith(_OF_WEIGHTS)]


def with_adapter(model: Any, folder: Path, *, trainable: bool = False) -> Any:  # noqa: ANN401
    """Return a model of `load` with the adapter of a folder, in PEFT's form.

    Raises:
        BadAdapter: there is none, or it does not fit the model; all of it must.
        MissingExtra: peft is not installed.
    """
    peft = library("peft")
    if not (folder / CONFIG).is_file():  # peft would ask the hub for it
        raise BadAdapter(f"{folder}: has no {CONFIG}; name an adapter's folder")
    names = getattr(model, "_checkpoint_conversion_mapping", {})
    # the last two: settings that are missing, or of another type
    failed: tuple[type[Exception], ...] = (*_refusals(), KeyError, TypeError)
    try:
        adapted = peft.PeftModel.from_pretrained(model, folder, is_trainable=trainable)
        # once more, for what the first does not tell
        told = adapted.load_adapter(folder, "default", is_trainable=trainable, key_mapping=names)
    except failed as error:
        raise BadAdapter(
            f"{folder}: peft cannot put it on the model ({type(error).__name__}: {error}); give an "
            "adapter of this model"
        ) from None
    _check_all_fits(folder, told.unexpected_keys, told.missing_keys)
    return adapted


def _check_all_fits(folder: Path, unexpected: Sequence[str], missing: Sequence[str]) -> None:
    """Raise `BadAdapter` where names of an adapter are not the model's: peft leaves them out."""
    if unexpected or missing:
        which = f"no place for {unexpected[0]}" if unexpected else f"nothing for {missing[0]}"
        raise BadAdapter(
            f"{folder}: {len(unexpected)} of its tensors have no place in the model and "
            f"{len(missing)} are missing, all must fit: {which}; give an adapter whose {CONFIG} "
            "and names are PEFT's for this model, or merge it first"
        )


def _with_new_adapter(peft: Any, model: Any, base: Path, rank: int) -> Any:  # noqa: ANN401
    settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS)
    try:
        return peft.get_peft_model(model, settings)
    except ValueError:
        raise BadBase(
            f"{base}: a {type(model).__name__} has no layer that is trained here, must have some "
            f"of {TARGETS.partition('(')[2].rstrip(')').replace('|', ', ')}; take another model"
        ) from None


def adapter_files(folder: Path | None) -> list[Path]:
    """Return the files of an adapter, which say what a run began with; no folder has none."""
    names = () if folder is None else (CONFIG, *WEIGHTS)
    return [folder / name for name in names if folder is not None and (folder / name).is_file()]


def _refusals() -> tuple[type[Exception], ...]:
    """Return what the libraries raise where a file is missing, damaged, or of another model."""
    return OSError, ValueError, RuntimeError, library("safetensors").SafetensorError


class LoraModel:
    """A model with an adapter and its optimiser.

    `checkpoint` is a folder that `save` wrote; `start` one with an adapter to begin with.
    """

    def __init__(
        self,
        base: Path,
        rank: int,
        seed: int,
        *,
        checkpoint: Path | None = None,
        start: Path | None = None,
        adam: tuple[float, float, float] = (0.9, 0.95, 1e-8),
        bits: int = WHOLE,
    ) -> None:
        """Load everything; raises `BadBase`, `BadAdapter` and `MissingExtra`."""
        self.torch, peft = library("torch"), library("peft")
        self.torch.manual_seed(seed)
        self.device = device_of(self.torch)
        self._last: NDArray[Any] | None = None
        model = load(base, bits)
        kept = checkpoint or start
        if kept is None:
            self.model = _with_new_adapter(peft, model, base, rank)
        else:
            self.model = with_adapter(model, kept, trainable=True)
        beta1, beta2, epsilon = adam
        self.optimizer = self.torch.optim.AdamW(
            [weight for weight in self.model.parameters() if weight.requires_grad],
            lr=0.0, betas=(beta1, beta2), eps=epsilon, weight_decay=0.0,
        )  # fmt: skip
        if checkpoint is not None:
            state = self.torch.load(
                checkpoint / OPTIMIZER, map_location=self.device, weights_only=True
            )
            self.optimizer.load_state_dict(state)

    def logprobs(self, ids: NDArray[Any]) -> Any:  # noqa: ANN401 - torch's own
        """Return the log-probability of each id after the first, with its gradient."""
        self._last = ids
        known = self.torch.tensor(ids.astype(np.int64), device=self.device)
        logits = self.model(known[None, :-1]).logits[0].float()
        return self.torch.log_softmax(logits, dim=-1).gather(1, known[1:, None])[:, 0]

    def tensor(self, values: NDArray[Any]) -> Any:  # noqa: ANN401
        """Return an array on the model's device."""
        return self.torch.tensor(values, device=self.device)

    def backward(self, loss: Any) -> None:  # noqa: ANN401
        """Add a loss's gradients; raises `Diverged` where it is no number: no step is to follow."""
        if not loss.isfinite():
            raise Diverged("its loss")
        loss.backward()

    def step(self, rate: float) -> None:
        """Take a step along the gradients that have been added up."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def save(self, place: Path) -> None:
        """Save adapter and optimiser; raises `Diverged` and `OutputFailed`.

        Weights of which nothing comes but what is no number would be gone on from in vain.
        """
        self._check_whole()
        failed = (RuntimeError, library("safetensors").SafetensorError)
        try:
            with writing(place):
                self.model.save_pretrained(place)
                self.torch.save(self.optimizer.state_dict(), place / OPTIMIZER)
        except failed as error:  # both write by themselves, and do not say what the system said
            raise OutputFailed(
                f"{place}: cannot be written ({error}); free some space, and run the same command "
                "again: it goes on from its last checkpoint"
            ) from error

    def _check_whole(self) -> None:
        """Raise `Diverged` where the last ids that were looked at have no log-probabilities now."""
        if self._last is not None:
            with self.torch.no_grad():
                if not self.logprobs(self._last).isfinite().all():
                    raise Diverged(_MEASURED)


def mean_logprob(model: LoraModel, ids: NDArray[Any], weights: NDArray[np.float32]) -> float:
    """Return the mean log-probability of an example's trained ids; both of shape (count,).

    Raises:
        Diverged: it is no number.
    """
    with model.torch.no_grad():
        total = (model.logprobs(ids) * model.tensor(weights[1:])).sum()
    if not total.isfinite():
        raise Diverged(_MEASURED)
    return float(total) / float(weights[1:].sum())


def weights_of(examples: Sequence[Any]) -> float:
    """Return the sum of all examples' weights."""
    return sum(float(each.weights[1:].sum()) for each in examples)
