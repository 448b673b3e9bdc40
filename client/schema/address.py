"""The address of a server: whether it is one, and how much of it may be seen."""

import re

import httpx

_HIGHEST_PORT = 65_535
#: The user's name and password; of an address that cannot be read, all that may be such.
_CREDENTIALS = re.compile(r"^(\s*[a-z]+://)?.*@", re.IGNORECASE | re.DOTALL)


def without_password(url: str) -> str:
    """Return an address as it may be shown: `***` for a user's name and password."""
    return _CREDENTIALS.sub(r"\1***@", url)


def without_user(url: str) -> str:
    """Return an address as it may be written down and linked to: without a user's name."""
    return _CREDENTIALS.sub(r"\1", url)


def read_address(url: str) -> httpx.URL:
    """Return an address in its parts.

    Raises:
        ValueError: it is none, and why; some that are none would fail otherwise in mid-connection.
    """
    try:
        parsed = httpx.URL(url)
        # As the resolver will: no part of a name is empty, or longer than 63 characters.
        parsed.raw_host.decode("ascii").encode("idna")
        if (parsed.port or 0) > _HIGHEST_PORT:
            raise httpx.InvalidURL(f"port {parsed.port}: must be at most {_HIGHEST_PORT}")
    except (httpx.InvalidURL, UnicodeError) as error:
        # What the error names may be a piece of the password.
        hidden = "cannot be read; percent-encode its password"
        raise ValueError(str(error) if without_password(url) == url else hidden) from None
    return parsed
