"""What is known to serve well with models that are known by name."""
