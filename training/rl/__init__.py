"""Reinforcement learning: groups of attempts on our own server, rewarded and trained on."""
