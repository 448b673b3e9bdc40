"""The locks of heavy extras against the package index, without downloading a package."""
