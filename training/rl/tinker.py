"""A policy on Tinker: samples and learns by the real SDK."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinker import types

from training.errors import ServiceFailed
from training.rl.policy import Asked, Rollout, Sampled
from training.rl.recipe import RlRecipe
from training.tuning.service import TIMEOUT_S, open_trainer, wait


class TinkerSampler:
    """A sampling client as a `Sampler`."""

    def __init__(self, client: Any, timeout_s: float) -> None:  # noqa: ANN401 - the SDK's own
        self._client, self._timeout_s = client, timeout_s

    def sample(self, asked: Asked) -> Sampled:
        """Return a continuation; raises `ServiceFailed`."""
        parameters = types.SamplingParams(
            max_tokens=asked.max_tokens,
            seed=asked.seed,
            # without ids the service stops at the ends that it knows
            stop=list(asked.stop_ids) or None,
            temperature=asked.temperature,
            top_k=asked.top_k or -1,
            top_p=asked.top_p,
        )
        prompt = types.ModelInput.from_ints(list(asked.prompt))
        sent = self._client.sample(prompt=prompt, num_samples=1, sampling_params=parameters)
        (sequence,) = wait(sent, "sampling", self._timeout_s).sequences
        ids, logprobs = list(map(int, sequence.tokens)), sequence.logprobs
        if not ids or logprobs is None or len(logprobs) != len(ids):
            told = "no" if logprobs is None else len(logprobs)
            raise ServiceFailed(
                f"Tinker, sampling: {len(ids)} tokens with {told} log-probabilities; must be at "
                "least one, with one each: use a model that the service can train and sample"
            )
        return Sampled(ids, list(map(float, logprobs)))

    def score(self, ids: Sequence[int]) -> list[float | None]:
        """Return the log-probability of each id given those before it; raises `ServiceFailed`."""
        sent = self._client.compute_logprobs(types.ModelInput.from_ints(list(ids)))
        scores: list[float | None] = list(wait(sent, "scoring", self._timeout_s))
        return scores


class TinkerLearner:
    """A training client as a `Learner`."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - the SDK's service client
        model: str,
        recipe: RlRecipe,
        state_path: str | None,
        *,
        start: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Make the adapter, or go on from the state of a checkpoint; raises `ServiceFailed`.

        `start` is the state of another run, as of supervised training, to begin with.
        """
        self._timeout_s = timeout_s
        self._trainer = open_trainer(
            client, model, recipe.rank, recipe.seed, state_path, start=start, timeout_s=timeout_s
        )

    def sampler(self) -> TinkerSampler:
        """Return the policy as it is now; the weights are saved for as long as the run."""
        made = self._trainer.save_weights_and_get_sampling_client()
        client = wait(made, "bringing weights to sampling", self._timeout_s)
        return TinkerSampler(client, self._timeout_s)

    def learn(
        self, rollouts: Sequence[Rollout], rate: float, recipe: RlRecipe
    ) -> list[NDArray[np.float64]]:
        """Take one step; return each rollout's log-probabilities before it."""
        bounds = {
            "clip_low_threshold": recipe.clip_low, "clip_high_threshold": recipe.clip_high,
        }  # fmt: skip
        passed = self._trainer.forward_backward(
            [to_datum(each) for each in rollouts],
            recipe.loss,
            bounds if recipe.loss == "ppo" else None,
        )
        adam = types.AdamParams(
            learning_rate=rate, beta1=recipe.beta1, beta2=recipe.beta2, eps=recipe.epsilon
        )
        stepped = self._trainer.optim_step(adam)
        output = wait(passed, "learning", self._timeout_s)
        wait(stepped, "learning", self._timeout_s)
        return [np.asarray(each["logprobs"].data, np.float64) for each in output.loss_fn_outputs]

    def save(self, name: str) -> dict[str, str]:
        """Save a checkpoint to go on from, and the weights to sample from."""
        state = wait(self._trainer.save_state(name), f"saving {name}", self._timeout_s)
        weights = self._trainer.save_weights_for_sampler(name)
        sampler = wait(weights, f"saving {name}", self._timeout_s)
        return {"state_path": state.path, "sampler_path": sampler.path}


def to_datum(rollout: Rollout) -> types.Datum:
    """Return a rollout as the service takes it: inputs, and the targets one id later."""
    own = rollout.mask[1:].astype(np.float32)
    return types.Datum(
        model_input=types.ModelInput.from_ints(rollout.ids[:-1].tolist()),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(rollout.ids[1:].astype(np.int64)),
            "logprobs": types.TensorData.from_numpy(rollout.logprobs[1:] * own),
            "advantages": types.TensorData.from_numpy(own * np.float32(rollout.advantage)),
        },
    )
