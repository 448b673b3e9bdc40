"""A small model on this machine as a policy: it samples, and learns by rewards."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import Diverged
from training.local.model import WHOLE, LoraModel, device_of, library, load, with_adapter
from training.rl.policy import Asked, Rollout, Sampled
from training.rl.recipe import RlRecipe


class LocalSampler:
    """A model of transformers as a `Sampler`; one continuation is made at a time.

    Log-probabilities are the model's own, of temperature 1, as vLLM tells them.
    """

    def __init__(self, model: Any, lock: "threading.Lock | None" = None) -> None:  # noqa: ANN401
        self._torch, self._model = library("torch"), model
        self._device = device_of(self._torch)
        self._lock = lock or threading.Lock()

    def sample(self, asked: Asked) -> Sampled:
        """Return a continuation; raises `Diverged` where the weights are no numbers."""
        torch, sampled = self._torch, Sampled([], [])
        source = torch.Generator().manual_seed(asked.seed)
        ids, past = torch.tensor([asked.prompt], device=self._device), None
        with self._lock, torch.no_grad():
            self._model.eval()
            while len(sampled.ids) < asked.max_tokens:
                out = self._model(ids, past_key_values=past, use_cache=True, logits_to_keep=1)
                past = out.past_key_values
                logits = out.logits[0, -1].float().cpu()
                token = self._pick(logits, asked, source)
                sampled.ids.append(token)
                sampled.logprobs.append(float(torch.log_softmax(logits, dim=-1)[token]))
                if token in asked.stop_ids:
                    break
                ids = torch.tensor([[token]], device=self._device)
        return sampled

    def _pick(self, logits: Any, asked: Asked, source: Any) -> int:  # noqa: ANN401
        """Return a token: temperature first, then the cuts."""
        torch = self._torch
        if logits.isnan().any():
            raise Diverged("what it writes")
        if asked.temperature == 0:
            return int(logits.argmax())
        shares, order = torch.softmax(logits / asked.temperature, dim=-1).sort(descending=True)
        if asked.top_k:
            shares[asked.top_k :] = 0
            shares /= shares.sum()  # the next cut is of what is left, as in vLLM
        # a token stays while those before it have not reached the share
        shares[(shares.cumsum(0) - shares) >= asked.top_p] = 0
        return int(order[torch.multinomial(shares, 1, generator=source)])

    def score(self, ids: Sequence[int]) -> list[float | None]:
        """Return the log-probability of each id given those before it; the first has none."""
        torch = self._torch
        known = torch.tensor(list(ids), device=self._device)
        with self._lock, torch.no_grad():
            self._model.eval()
            logits = self._model(known[None, :-1]).logits[0].float()
            logprobs = torch.log_softmax(logits, dim=-1).gather(1, known[1:, None])[:, 0]
        return [None, *logprobs.tolist()]


def open_sampler(folder: Path, adapter: Path | None = None) -> LocalSampler:
    """Return the sampler of a model's folder, with an adapter unmerged where one is given.

    Raises:
        BadBase: transformers cannot load it.
        BadAdapter: the adapter is none, or does not fit.
        MissingExtra: torch, transformers or peft is not installed.
    """
    model = load(folder)
    return LocalSampler(model if adapter is None else with_adapter(model, adapter))


class LocalLearner:
    """A small model as a `Learner`; checkpoints are in the run's folder."""

    def __init__(
        self,
        folder: Path,
        base: Path,
        recipe: RlRecipe,
        state_path: str | None,
        *,
        start: Path | None = None,
        bits: int = WHOLE,
    ) -> None:
        """Load the model and its adapter; raises `BadBase`, `BadAdapter` and `MissingExtra`."""
        self._folder, self._lock = folder, threading.Lock()
        self._model = LoraModel(
            base,
            recipe.rank,
            recipe.seed,
            checkpoint=None if state_path is None else folder / state_path,
            start=start,
            adam=(recipe.beta1, recipe.beta2, recipe.epsilon),
            bits=bits,
        )

    def sampler(self) -> LocalSampler:
        """Return the policy as it is at each time: there is one copy of the weights."""
        return LocalSampler(self._model.model, self._lock)

    def learn(
        self, rollouts: Sequence[Rollout], rate: float, recipe: RlRecipe
    ) -> list[NDArray[np.float64]]:
        """Take one step; return each rollout's log-probabilities before it.

        Raises:
            Diverged: the loss is no number; no step is taken.
        """
        before = []
        with self._lock:
            self._model.model.eval()  # no dropout: the ratio to sampling is to be one
            count = sum(int(each.mask[1:].sum()) for each in rollouts)
            for each in rollouts:
                own = self._model.logprobs(each.ids)
                self._model.backward(self._loss(own, each, recipe) / count)
                before.append(own.detach().cpu().numpy().astype(np.float64))
            self._model.step(rate)
        return before

    def _loss(self, logprobs: Any, rollout: Rollout, recipe: RlRecipe) -> Any:  # noqa: ANN401
        """Return the loss of one rollout, added up over its sampled ids."""
        model = self._model
        gain = model.tensor(rollout.mask[1:].astype(np.float32) * np.float32(rollout.advantage))
        ratio = (logprobs - model.tensor(rollout.logprobs[1:])).exp()
        if recipe.loss == "ppo":
            cut = ratio.clamp(recipe.clip_low, recipe.clip_high)
            return -model.torch.minimum(ratio * gain, cut * gain).sum()
        return -(ratio * gain).sum()

    def save(self, name: str) -> dict[str, str]:
        """Save adapter and optimiser in the run's folder; raises `Diverged` and `OutputFailed`."""
        place = f"checkpoint-{name}"
        with self._lock:
            self._model.save(self._folder / place)
        return {"state_path": place, "sampler_path": str(self._folder / place)}
