"""The solve loop: attempts, kernels, votes, events."""
