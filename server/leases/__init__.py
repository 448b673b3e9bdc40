"""Leases of kernels for callers of the API: waiting, heartbeats, expiry, cells."""
