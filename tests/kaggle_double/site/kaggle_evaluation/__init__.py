"""The contest's import name, in tests."""
