"""Solves in lists: those that run and those of the journal, in one form and one order."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol, Self

from starlette.exceptions import HTTPException

from client.schema import (
    Event,
    SolveEnd,
    SolveInfo,
    SolveList,
    SolveRequested,
    SolveStarted,
    SolveState,
    TokenCounts,
)
from server.api.told import beginning, state_of
from server.journal.reader import StoredSolve
from server.solve.service import SolveHandle

ENDS = frozenset(SolveEnd)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Asked(Protocol):
    """The filters of a list; None leaves one open."""

    @property
    def limit(self) -> int:
        """Most solves of the page."""
        ...

    @property
    def state(self) -> SolveState | None:
        """Where they are."""
        ...

    @property
    def run(self) -> str | None:
        """The run that they belong to."""
        ...

    @property
    def problem_id(self) -> str | None:
        """The caller's name."""
        ...

    @property
    def answer(self) -> str | None:
        """The answer."""
        ...

    @property
    def end(self) -> SolveEnd | None:
        """Why they ended."""
        ...

    @property
    def text(self) -> str | None:
        """Words of the problem."""
        ...

    @property
    def since(self) -> datetime | None:
        """Created then or later."""
        ...

    @property
    def until(self) -> datetime | None:
        """Created before."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Where a solve is in the order of the list; `created` is in seconds since 1970."""

    created: float
    solve_id: str

    @property
    def place(self) -> tuple[float, str]:
        """The two."""
        return self.created, self.solve_id

    @classmethod
    def of(cls, solve: SolveHandle | StoredSolve) -> Self:
        """Return the place of a solve."""
        return cls(solve.created, solve.id if isinstance(solve, StoredSolve) else solve.solve_id)

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Return the place that a page's `next` names; refuse what is none."""
        if text is None:
            return None
        created, _, solve_id = text.partition("_")
        with suppress(ValueError):
            place = cls(float(created), solve_id)
            # What is no number is in no order.
            if math.isfinite(place.created):
                return place
        raise HTTPException(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"after {text[:60]!r}: must be the `next` of a page; leave it out for the first",
        )

    def written(self) -> str:
        """Return it for `next`."""
        return f"{self.created!r}_{self.solve_id}"


def live_info(handle: SolveHandle) -> SolveInfo:
    """Return a solve that runs or waits."""
    plan, log = handle.plan, handle.events
    first = beginning(handle)
    started = next((e for e in first if isinstance(e, SolveStarted)), None)
    finished = log.finished.result if log.finished else None
    return SolveInfo(
        solve_id=handle.solve_id,
        state=state_of(handle),
        created=time_text(handle.created),
        problem=plan.problem,
        problem_id=plan.problem_id,
        run=_run(first),
        strategy=plan.strategy.name,
        model=started.model if started else None,
        attempts=plan.attempts,
        answer=finished.answer if finished else None,
        end=finished.end if finished else None,
        seconds=finished.seconds if finished else round(log.age_s, 3),
        tokens=finished.tokens if finished else None,
    )


def _run(first: Sequence[Event]) -> str | None:
    """Return the run of a solve, which a server with a journal tells with the request."""
    asked = next((event.request for event in first if isinstance(event, SolveRequested)), {})
    run = asked.get("run")
    return run if isinstance(run, str) else None


def stored_info(stored: StoredSolve) -> SolveInfo:
    """Return a solve of the journal."""
    counts = (stored.prompt, stored.sampled, stored.appended)
    return SolveInfo(
        solve_id=stored.id,
        state=SolveState.LOST if stored.outcome is None else SolveState.FINISHED,
        created=time_text(stored.created),
        problem=stored.problem or "",
        problem_id=stored.problem_id,
        run=stored.run_id,
        strategy=stored.strategy,
        model=stored.model,
        attempts=stored.attempts,
        answer=stored.answer,
        end=SolveEnd(stored.outcome) if stored.outcome in ENDS else None,
        seconds=stored.seconds,
        tokens=TokenCounts(prompt=counts[0] or 0, sampled=counts[1] or 0, appended=counts[2] or 0)
        if any(count is not None for count in counts)
        else None,
    )


def merged(
    live: Sequence[tuple[Cursor, SolveInfo]],
    stored: Sequence[tuple[Cursor, SolveInfo]],
    asked: Asked,
) -> SolveList:
    """Return a page: each solve once, the newest first.

    Of `stored` one more than asked for is read, where there is one.
    """
    known = {info.solve_id for _, info in stored}
    read = stored[: asked.limit]
    ordered = [each for each in live if each[1].solve_id not in known]
    ordered += [each for each in read if asked.state in (None, each[1].state)]
    ordered.sort(key=lambda each: each[0], reverse=True)
    page = ordered[: asked.limit]
    last = None
    if len(ordered) > asked.limit:
        last = page[-1][0]
    elif len(stored) > asked.limit:
        # A filter may have left out some of what was read.
        last = read[-1][0]
    return SolveList(solves=[info for _, info in page], next=last.written() if last else None)


def matches(info: SolveInfo, asked: Asked) -> bool:
    """Tell whether a solve that runs is asked for."""
    created = seconds_of(datetime.fromisoformat(info.created))
    tests = (
        asked.state in (None, info.state),
        asked.run in (None, info.run),
        asked.problem_id in (None, info.problem_id),
        asked.answer in (None, info.answer),
        asked.end in (None, info.end),
        asked.text is None or asked.text.casefold() in info.problem.casefold(),
        asked.since is None or created >= seconds_of(asked.since),
        asked.until is None or created < seconds_of(asked.until),
    )
    return all(tests)


def seconds_of(moment: datetime) -> float:
    """Return the seconds since 1970 of a time; without a zone it is UTC."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (known - EPOCH).total_seconds()


def time_text(seconds: float) -> str:
    """Return a time since 1970 in ISO 8601, UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
