"""The contest's entry: `predict()`, its notebook and its offline bundle (not yet)."""
