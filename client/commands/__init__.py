"""Commands that the client adds to `quorum`."""
