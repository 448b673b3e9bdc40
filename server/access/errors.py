"""Errors of access, each one sentence with its remedy.

::

    AccessError (QuorumServerError)
    ├── NoKeys               an address for others, and no key that they could use
    ├── KeysUnusable         the file of keys cannot be read or written
    ├── UnknownKey           no key of that id or name
    └── MalformedKey         a name, scope or age on the command line is malformed; exit code 2
"""

from server.errors import QuorumServerError


class AccessError(QuorumServerError):
    """Something about keys; the message says what to do."""


class NoKeys(AccessError):
    """The server would be open to others without a key."""


class KeysUnusable(AccessError):
    """The file of keys cannot be read or written."""


class UnknownKey(AccessError):
    """There is no such key."""


class MalformedKey(AccessError):
    """What was given for a key is not as it should be."""

    exit_code = 2
