"""Tests of the contest's session."""
