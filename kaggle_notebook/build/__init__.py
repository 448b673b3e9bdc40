"""The notebook: what its cells do, and how it is generated."""
