"""The embedded engine with a cache for each slot, llama.cpp's own choice: `slot_gaps` starts it."""

from typing import Any

from server.engine.llamacpp_child import ChildConfig, common_parameters, main


def separate(config: ChildConfig) -> Any:  # noqa: ANN401 - the extension module has no types
    """Return the gateway's parameters, but for the caches."""
    parameters = common_parameters(config)
    parameters.kv_unified = False
    parameters.kv_unified_per_slot = 0
    return parameters


if __name__ == "__main__":
    main(separate)
