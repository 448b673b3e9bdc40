import re

import pytest

from sandbox.errors import SettingsError
from sandbox.settings import PoolSettings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kernels", 0, "pool size 0: must be at least 1"),
        ("kernels", True, "pool size True: must be at least 1"),
        ("kernels", 1.5, "pool size 1.5: must be at least 1"),
        ("spares", -1, "spares -1: must be at least 0"),
        ("start_timeout_s", 0, "start_timeout_s 0: must be a positive number of seconds"),
        ("cell_timeout_s", float("nan"), "cell_timeout_s nan: must be a positive number"),
        ("interrupt_grace_s", -1.0, "interrupt_grace_s -1.0: must be a positive number"),
        ("max_output_chars", 10, "max_output_chars 10: must be at least 200"),
        ("max_output_chars", 10**9, "max_output_chars 1000000000: must be at most 1000000"),
        ("max_code_bytes", 0, "max_code_bytes 0: must be at least 1"),
        ("memory_limit_bytes", 1, "memory_limit_bytes 1: must be at least 1073741824"),
        ("file_limit_bytes", 1, "file_limit_bytes 1: must be at least 1048576"),
    ],
)
def test_out_of_range_is_refused_with_value_and_remedy(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        PoolSettings(**{name: value})  # type: ignore[arg-type]  # also of the wrong type
    assert f"set PoolSettings.{name}" in str(caught.value)


def test_the_pool_size_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="QUORUM_SANDBOX_KERNELS"):
        PoolSettings(kernels=0)
