"""What is told while weights are fetched."""


class Observer:
    """Hears how a pull goes; this one says nothing. `server.weights.progress` shows a bar."""

    def note(self, sentence: str) -> None:
        """Hear one thing worth telling."""

    def begin(self, label: str, total_bytes: int, done_bytes: int) -> None:
        """Hear that a step begins, such as fetching from one source."""

    def at(self, done_bytes: int) -> None:
        """Hear how far the step is; may go back a little where a part is fetched again."""

    def end(self) -> None:
        """Hear that the step ended, well or not."""
