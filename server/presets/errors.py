"""Errors of presets.

PresetError (a QuorumServerError)
├── UnknownPreset      no preset of that name, or none for that machine; exit code 2
└── MalformedPresets   the file of presets is not as it must be: a developer acts
"""

from server.errors import QuorumServerError


class PresetError(QuorumServerError):
    """Base of what presets raise."""


class UnknownPreset(PresetError):
    """A model, or a machine for it, that no preset is about."""

    exit_code = 2


class MalformedPresets(PresetError):
    """`presets.toml` cannot be read, or a value in it is not allowed."""
