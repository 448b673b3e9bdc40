"""The ways to write given bytes with a given number of tokens."""

from collections.abc import Iterator, Mapping, Sequence


class Speller:
    """Finds spellings over a fixed set of pieces; built once per vocabulary."""

    def __init__(self, pieces: Mapping[bytes, Sequence[int]]) -> None:
        """Take the ids of each non-empty piece."""
        self._pieces = pieces
        self._longest = max(map(len, pieces), default=0)

    def spellings(self, data: bytes, count: int) -> Iterator[tuple[int, ...]]:
        """Yield each way to write `data` with exactly `count` tokens, longest tokens first.

        Takes O(len(data) x count x longest token) to prepare, then O(count x longest token)
        for each way: meant for some tens of bytes.
        """
        if not 0 < count <= len(data):
            if not data and count == 0:
                yield ()
            return
        possible = self._possible(data, count)
        # Depth first without recursion: a path of chosen ids, and what is left to try at each step.
        path: list[int] = []
        open_choices = [self._choices(data, 0, count, possible)]
        while open_choices:
            step = next(open_choices[-1], None)
            if step is None:
                open_choices.pop()
                if path:
                    path.pop()
                continue
            token_id, end = step
            path.append(token_id)
            if len(path) == count:
                yield tuple(path)
                path.pop()
            else:
                open_choices.append(self._choices(data, end, count - len(path), possible))

    def _possible(self, data: bytes, count: int) -> list[set[int]]:
        """Return for each number of tokens from where on they can write the rest of `data`."""
        possible = [{len(data)}]
        for _ in range(count):
            ends = possible[-1]
            possible.append({start for end in ends for start in self._starts(data, end)})
        return possible

    def _starts(self, data: bytes, end: int) -> Iterator[int]:
        for start in range(max(0, end - self._longest), end):
            if data[start:end] in self._pieces:
                yield start

    def _choices(
        self, data: bytes, start: int, count: int, possible: list[set[int]]
    ) -> Iterator[tuple[int, int]]:
        """Yield the tokens that can come at `start` where `count` are left, with their ends."""
        for end in range(min(len(data), start + self._longest), start, -1):
            if end in possible[count - 1]:
                for token_id in self._pieces.get(data[start:end], ()):
                    yield token_id, end
