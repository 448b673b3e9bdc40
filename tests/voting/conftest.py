"""Property tests of this folder: no deadline per example, for the machine may be busy."""

from hypothesis import settings

settings.register_profile("voting", deadline=None)
settings.load_profile("voting")
