"""The key of a server, as a header carries it."""


def bearer(key: str) -> dict[str, str]:
    """Return the header that holds a key; none where there is none.

    White space around it is not part of it: files and variables end with a line.

    Raises:
        ValueError: no header can carry it. The error does not show it; those of httpx would.
    """
    found = key.strip()
    if not (found.isascii() and found.isprintable()):
        raise ValueError("must be printable ASCII")
    return {"Authorization": f"Bearer {found}"} if found else {}
