"""A double of the contest's package: its gateway and its inference server, over real gRPC.

The folder `site` on `sys.path` gives it the contest's import name.
"""
