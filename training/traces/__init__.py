"""Attempts as token ids: read from exports and from other tools, generated over the server."""
