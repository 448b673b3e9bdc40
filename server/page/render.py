"""Templates to HTML: for the server, for one file, or for a folder of files."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from client.schema import PartStatus, attempt_name
from server.page.links import Links
from server.page.policy import exported_policy
from server.page.prose import Formulas, Piece, pieces
from server.page.visible import clipped, visible

#: Names of the ends of attempts and solves, for people.
ENDS = {
    "agreement": "agreed", "all_finished": "all finished", "deadline": "out of time",
    "cancelled": "cancelled", "engine_lost": "engine lost", "interrupted": "interrupted",
    "failed": "failed", "answered": "answered", "forced": "answer forced",
    "no_answer": "no answer", "pruned": "pruned", "repetition": "repeated itself",
    "early_stop": "stopped early", "engine_error": "engine error",
    "sandbox_error": "no kernel", "in flight": "in flight", "running": "running",
    "queued": "queued", "planned": "handed on",
}  # fmt: skip
#: What an end is a sign of; the style sheet has a colour for each.
TONES = {
    "agreement": "good", "answered": "good", "all_finished": "good", "forced": "plain",
    "planned": "good",
    "running": "live", "queued": "live", "in flight": "plain", "early_stop": "plain",
    "pruned": "plain", "cancelled": "plain", "deadline": "warn", "no_answer": "warn",
    "repetition": "warn", "interrupted": "warn",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a view. `section` is the part of the page that it belongs to."""

    title: str
    section: str = ""
    links: Links = field(default_factory=Links)
    journal: PartStatus | None = None
    script: str = ""
    """Name of the view's own script, if it has one."""
    session: bool = False
    """Whether the browser has logged in, so that it can log out."""

    @property
    def style(self) -> str:
        """The style sheet, for a file."""
        return style_sheet()

    @property
    def policy(self) -> str:
        """The content policy of a file."""
        return exported_policy(self.style)


@cache
def style_sheet() -> str:
    """Return the text of the style sheet."""
    return (files("server.page") / "static" / "page.css").read_text(encoding="utf-8")


def render(template: str, frame: Frame, **context: object) -> str:
    """Return a view as HTML; every value is escaped."""
    values = context | {"frame": frame, "links": frame.links, "formulas": Formulas()}
    return _environment().get_template(template).render(values)


@pass_context
def _prose(context: Context, text: str) -> list[Piece]:
    return list(pieces(text, context["formulas"]))


def duration(seconds: float | None) -> str:
    """Return a length of time in the unit that fits it."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def number(value: float | None) -> str:
    """Return a count with thin spaces between thousands."""
    return "" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def moment(seconds: float | None) -> str:
    """Return a time since 1970 as markup, of this machine's zone until a script changes it."""
    if seconds is None:
        return ""
    at = datetime.fromtimestamp(seconds, UTC)
    here = at.astimezone()
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), here.tzname(), here.strftime("%d %b %Y, %H:%M")
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("server.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": visible,
        "clipped": lambda text, most: clipped(visible(text), most),
        "prose": _prose,
        "duration": duration,
        "number": number,
        "moment": moment,
        "attempt_name": attempt_name,
        "end": lambda value: ENDS.get(value or "in flight", value),
        "tone": lambda value: TONES.get(value or "in flight", "bad"),
    }
    return environment
