"""Errors of the preload.

PreloadError
└── NothingToPreload    the path is not there, cannot be read, or holds no file
"""


class PreloadError(Exception):
    """A preload that cannot be begun."""


class NothingToPreload(PreloadError):
    """The path is not there, cannot be read, or holds no file."""
