"""What is in a page of HTML: elements, and whether anything in it could act."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

#: Elements that nothing of ours uses: one of them in a view came from a model.
FOREIGN = {"img", "iframe", "object", "embed", "b", "base", "video", "audio", "font", "a:mathml"}
#: Characters that command a terminal or turn the direction of writing.
COMMANDS = {chr(c) for c in (*range(32), *range(127, 160), *range(0x202A, 0x202F))} - set("\n\t")


@dataclass
class Markup(HTMLParser):
    """Elements with their attributes, in order, and the text between them."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def parse(html: str) -> Markup:
    """Return the elements and texts of a page."""
    markup = Markup()
    markup.feed(html)
    markup.close()
    return markup


def dangers(html: str) -> list[str]:
    """Return what in a page could act, or could hide what it says."""
    markup = parse(html)
    found = [f"character {ord(c):#x}" for c in sorted(COMMANDS & set(html))]
    for tag, attributes in markup.elements:
        if tag in FOREIGN:
            found.append(f"element {tag}")
        if tag == "script" and not str(attributes.get("src", "")).startswith("/static/"):
            found.append("script without a file of ours")
        for name, value in attributes.items():
            if name.startswith("on") or name in ("style", "srcdoc"):
                found.append(f"attribute {name}")
            if name in ("href", "src", "action") and ":" in str(value).partition("/")[0]:
                found.append(f"{name} to {value}")
    return found
