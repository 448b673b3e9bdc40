"""What a cell displays, as plain text on lines of its own among its output."""

from typing import Any

from IPython.core.display import TextDisplayObject
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher


class PlainDisplayHook(DisplayHook):
    """Shows a cell's last expression as one plain text among its output."""

    def set_parent(self, parent: object) -> None:
        """The parent message matters to hooks that send messages of their own."""

    def update_user_ns(self, result: object) -> None:
        """Keep the result as `_`, also after a cell has emptied its namespace."""
        shell: Any = self.shell
        shell.user_ns.setdefault("_oh", {})
        super().update_user_ns(result)  # type: ignore[no-untyped-call]

    def log_output(self, format_dict: object) -> None:
        """Nothing reads the history: do not keep long texts for it."""

    def write_output_prompt(self) -> None:
        """No `Out[1]:`."""

    def write_format_data(self, format_dict: dict[str, str], md_dict: object = None) -> None:  # noqa: ARG002
        """Print the plain text, also when the cell has redirected sys.stdout."""
        if text := format_dict.get("text/plain"):
            _show(self.shell, text)

    def finish_displayhook(self) -> None:
        """Nothing was begun."""


class PlainDisplayPublisher(DisplayPublisher):
    """Shows what display() is given as plain text among the cell's output."""

    def set_parent(self, parent: object) -> None:
        """See PlainDisplayHook."""

    def publish(self, data: dict[str, Any], *_: object, **__: object) -> None:
        """Print the plain text."""
        if text := data.get("text/plain"):
            _show(self.shell, text)

    def clear_output(self, wait: bool = False) -> None:
        """What was written stays: the capture has no screen to clear."""


def show_texts(formatter: Any) -> None:  # noqa: ANN401 - IPython's
    """Have Markdown, Math, HTML and their like show their text: nobody sees them rendered."""
    formatter.for_type(TextDisplayObject, _print_text)


def _print_text(shown: Any, printer: Any, _: object) -> None:  # noqa: ANN401 - IPython's
    printer.text(str(shown.data))


def _show(shell: Any, text: str) -> None:  # noqa: ANN401 - IPython's
    # A number after what `sys.stdout.write` has left of its line would be read as one with it.
    shell.kernel.capture.begin_line()
    shell.kernel.streams.output.write(f"{text}\n")
