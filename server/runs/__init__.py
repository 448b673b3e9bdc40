"""Runs: problems under one clock, each answered once, over restarts of the server."""
