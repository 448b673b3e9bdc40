"""Known weights of language models: where they are, and how to get them."""

from server.weights.cache import model_name, resolve, weights_folder
from server.weights.errors import (
    CacheUnusable,
    DiskFull,
    PullFailed,
    PullInProgress,
    SourceUnavailable,
    UnknownModel,
    WeightsDamaged,
    WeightsError,
    WeightsMissing,
)
from server.weights.known import DEFAULT, KNOWN, HubFile, KnownWeights, PackagedParts
from server.weights.observer import Observer
from server.weights.pull import pull

__all__ = [
    "DEFAULT",
    "KNOWN",
    "CacheUnusable",
    "DiskFull",
    "HubFile",
    "KnownWeights",
    "Observer",
    "PackagedParts",
    "PullFailed",
    "PullInProgress",
    "SourceUnavailable",
    "UnknownModel",
    "WeightsDamaged",
    "WeightsError",
    "WeightsMissing",
    "model_name",
    "pull",
    "resolve",
    "weights_folder",
]
