"""Offline replay: recorded attempts in, what any policies would have made of them out; no I/O."""
