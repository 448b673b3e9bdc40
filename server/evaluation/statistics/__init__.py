"""Statistics of right and wrong attempts, pure; docs/reference/statistics.md says which."""
