"""Supervised training on this machine, for small models: transformers and peft."""
