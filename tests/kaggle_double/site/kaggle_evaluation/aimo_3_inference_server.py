"""The contest's module that notebooks import, in tests."""

from tests.kaggle_double.server import AIMO3InferenceServer

__all__ = ["AIMO3InferenceServer"]
