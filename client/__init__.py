"""The wire schema, the HTTP client and the `quorum` command."""
