"""Completions of text and token ids: the engine itself, for alternates, selectors and RL."""
