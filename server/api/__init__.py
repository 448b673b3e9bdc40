"""HTTP routes, admission and error bodies."""
