"""The address of a server: whether it is one, and how much of it may be seen."""

import re

import httpx

from server.evaluation.errors import ServerProblem

HIGHEST_PORT = 65_535
#: The user's name and password; of an address that cannot be read, all that may be such.
_CREDENTIALS = re.compile(r"^(\s*[a-z]+://)?.*@", re.IGNORECASE | re.DOTALL)


def shown(url: str) -> str:
    """Return an address as it may be shown: `***` for a user's name and password."""
    return _CREDENTIALS.sub(r"\1***@", url)


def without_user(url: str) -> str:
    """Return an address as it may be written down and linked to: without a user's name."""
    return _CREDENTIALS.sub(r"\1", url)


def host_of(url: str) -> str:
    """Return the host of an address.

    Raises:
        ServerProblem: it is none; some that are none would fail otherwise in mid-connection.
    """
    try:
        address = httpx.URL(url)
        # As the resolver will: no part of a name is empty, or longer than 63 characters.
        address.raw_host.decode("ascii").encode("idna")
        if (address.port or 0) > HIGHEST_PORT:
            raise httpx.InvalidURL(f"port {address.port}: must be at most {HIGHEST_PORT}")
    except (httpx.InvalidURL, UnicodeError) as error:
        # What httpx names may be a piece of the password.
        reason = str(error) if shown(url) == url else "cannot be read; percent-encode its password"
        raise ServerProblem(
            f"the server's address {shown(url)[:200]!r}: {reason}; give --url as `quorum serve` "
            "prints it, such as http://127.0.0.1:8642"
        ) from None
    return address.host
