"""The stage of the solve's tests."""

from tests.server.solve.conftest import logs, stage, vocabulary

__all__ = ["logs", "stage", "vocabulary"]
