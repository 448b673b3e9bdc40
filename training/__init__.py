"""From traces to a better model: corpus, SFT, RL and merge (not yet)."""
