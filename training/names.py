"""One name for what has several, such as a problem that two files have under other ids."""

import hashlib


def plain(statement: str) -> str:
    """Return a statement with its white space made one."""
    return " ".join(statement.split())


class Names:
    """Joins names by marks, such as a problem's statement: one that two have makes them one."""

    def __init__(self) -> None:
        self._marked: dict[bytes, str] = {}
        #: What a name was joined to, which may be joined itself.
        self._joined: dict[str, str] = {}

    def see(self, name: str, mark: str | bytes) -> None:
        """Take note that a name has a mark."""
        content = mark if isinstance(mark, bytes) else mark.encode("utf-8", "surrogatepass")
        known = self._marked.setdefault(hashlib.sha256(content).digest(), name)
        first, second = self.of(known), self.of(name)
        if first != second:
            self._joined[second] = first

    def of(self, name: str) -> str:
        """Return the name that stands for all that are joined to one; itself where none is."""
        while name in self._joined:
            further = self._joined[name]
            # halves the way for the next call
            self._joined[name] = self._joined.get(further, further)
            name = further
        return name
