"""Commands that the server adds to `quorum`."""
