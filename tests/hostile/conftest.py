"""Assertions of the table's helpers are explained like those of tests."""

import pytest

pytest.register_assert_rewrite("tests.hostile.table")
