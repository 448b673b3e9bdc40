"""The sections of the settings: one module each, with names, defaults, units and meanings."""
