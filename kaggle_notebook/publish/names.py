"""Names on Kaggle, checked before anything is sent."""

import re

from kaggle_notebook.errors import PublishError

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
#: Kaggle's bounds on a data set's name.
_SLUG_CHARACTERS = (6, 50)
PLACEHOLDER = "OWNER"


def split_name(name: str, parts: int, form: str) -> tuple[str, ...]:
    """Return the parts of a name such as OWNER/NAME.

    Raises:
        PublishError: it is not of that form, or the owner is still the placeholder.
    """
    found = tuple(name.split("/"))
    if len(found) != parts or not _OWNER.fullmatch(found[0]) or not all(found):
        raise PublishError(f"name {name!r}: must be {form}, as in the address on kaggle.com")
    if found[0] == PLACEHOLDER:
        raise PublishError(
            f"name {name!r}: {PLACEHOLDER} stands for your name on Kaggle; put it there"
        )
    return found


def dataset_name(name: str) -> tuple[str, str]:
    """Return owner and name of a data set. Raises `PublishError`."""
    owner, slug = split_name(name, 2, "OWNER/NAME")
    least, most = _SLUG_CHARACTERS
    if not _SLUG.fullmatch(slug) or not least <= len(slug) <= most:
        raise PublishError(
            f"data set {name!r}: its name must have {least} to {most} small letters, digits "
            "and dashes"
        )
    return owner, slug


def title_of(slug: str) -> str:
    """Return a title from which Kaggle makes this name."""
    return slug.replace("-", " ").capitalize()
