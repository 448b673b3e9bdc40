"""The first view: what runs now, and the record with its filters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from client.schema import AttemptFinished, BallotChanged, SolveEnd, SolveStarted
from server.api.told import told
from server.journal.reader import JournalReader
from server.page.render import ENDS, Frame, duration
from server.page.store import PAGE_ROWS, HistoryFilter, history
from server.page.view import View
from server.page.visible import clipped, visible
from server.solve.service import SolveHandle
from voting.strategies import STRATEGIES

#: How the filter form names solves without a result.
IN_FLIGHT = "none"
OUTCOMES = ("", *(end.value for end in SolveEnd))
#: Longest number in a filter: what is longer is no count of tokens.
MOST_DIGITS = 12
PROBLEM_CHARS = 110


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A solve that runs or waits, in a line."""

    solve_id: str
    problem: str
    state: str
    used_s: float
    ended: int
    attempts: int
    leading: str

    @property
    def line(self) -> str:
        """The problem in a line."""
        return clipped(self.problem, PROBLEM_CHARS)

    @property
    def told(self) -> str:
        """What is said below its problem, for the script."""
        leading = f" · leading: {clipped(self.leading, 30)}" if self.leading else ""
        return (
            f"{ENDS[self.state]} · {duration(self.used_s)} · {self.ended} of {self.attempts} "
            f"attempts ended{leading}"
        )


def live_row(handle: SolveHandle) -> LiveRow:
    """Return the line of a solve; a look at its events, without waiting."""
    started = waited = 0.0
    ended, leading, state = 0, "", "queued"
    for event in told(handle):
        match event:
            case SolveStarted():
                state, waited = "queued" if handle.waits else "running", event.at
            case AttemptFinished():
                ended += not event.is_plan
            case BallotChanged():
                leading = (
                    max(event.lines, key=lambda line: line.weight).answer if event.lines else ""
                )
            case _:
                pass
    started = max(handle.events.age_s - waited, 0.0) if state == "running" else 0.0
    return LiveRow(
        handle.solve_id, visible(handle.plan.problem), state, started, ended,
        handle.plan.attempts, visible(leading),
    )  # fmt: skip


def parse_filter(query: Mapping[str, str]) -> HistoryFilter:
    """Return the filter that an address names; what is not understood is left open."""
    outcome = query.get("outcome") or None
    return HistoryFilter(
        text=query.get("text") or None,
        answer=query.get("answer") or None,
        source=query.get("source") or None,
        run=query.get("run") or None,
        outcome="" if outcome == IN_FLIGHT else outcome,
        least=_count(query.get("least")),
        most=_count(query.get("most")),
        errors=bool(query.get("errors")),
        before=_number(query.get("before")),
    )


@dataclass(frozen=True, slots=True)
class Refused:
    """A form that was refused: what it said, and why not."""

    asked: Mapping[str, str]
    sentence: str


def home_view(
    frame: Frame,
    reader: JournalReader | None,
    wanted: HistoryFilter,
    *,
    live: Sequence[LiveRow] = (),
    no_record: str = "",
    can_solve: bool = False,
    refused: Refused | None = None,
    most: int = PAGE_ROWS,
) -> View:
    """Return the view; without a `reader` it says why there is no record."""
    rows, more = history(reader, wanted, most) if reader else ([], False)
    given = {
        name: IN_FLIGHT if name == "outcome" and value == "" else value
        for name, value in asdict(wanted).items()
        if value is not None and value is not False and name != "before"
    }
    given = {name: 1 if value is True else value for name, value in given.items()}
    before = {"before": repr(rows[-1].solve.created)} if more else {}
    context: dict[str, object] = {
        "rows": rows,
        "older": f"/?{urlencode(given | before)}" if more and frame.links.served else None,
        "live": live,
        "wanted": wanted,
        "filtered": bool(given),
        "narrowed": bool(given.keys() - {"text"}),
        "outcomes": OUTCOMES,
        "strategies": list(STRATEGIES),
        "can_solve": can_solve,
        "no_record": no_record,
        "asked": {name: refused.asked.get(name) if refused else None for name in ASKED},
        "refusal": refused.sentence if refused else "",
        "options": refused is not None and any(refused.asked[name] for name in OPTIONS),
    }
    return View("home.html", frame, context)


#: Fields of the form that asks.
OPTIONS = ("strategy", "attempts", "time_limit_s", "seed")
ASKED = ("problem", "answer_kind", *OPTIONS)


def _count(text: str | None) -> int | None:
    return (
        int(text)
        if text and text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
        else None
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
