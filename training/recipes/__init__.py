"""Recipes: how to train, one TOML file each."""
