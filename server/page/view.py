"""A view: a template with what it shows; made from a journal, rendered anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.page.render import Frame, render


@dataclass(frozen=True, slots=True)
class View:
    """What `render` is given."""

    template: str
    frame: Frame
    context: Mapping[str, object] = field(default_factory=dict)

    def html(self) -> str:
        """Return the whole page."""
        return render(self.template, self.frame, **self.context)


class NotThere(LookupError):
    """What the address names does not exist; the text says so to people."""
