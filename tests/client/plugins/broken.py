"""A command whose module needs what is not there."""

raise ModuleNotFoundError("No module named 'sglang'", name="sglang")
