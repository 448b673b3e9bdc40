"""One problem on the server: asked, followed, asked again where the server went away."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kaggle_notebook.absence import Absence
from kaggle_notebook.allowance import Allowance
from kaggle_notebook.errors import KaggleError, ServerRefused
from kaggle_notebook.evidence import Evidence
from kaggle_notebook.record import AnswerLine
from kaggle_notebook.run_terms import RunTerms
from kaggle_notebook.server_state import ServerPhase, ServerState
from kaggle_notebook.settings import Mode, SessionSettings
from kaggle_notebook.statement import shortened
from kaggle_notebook.telling import tell_all
from kaggle_notebook.wire import Wire

#: A solve that ended so, without an answer, may be asked for again: the server failed, not the
#: attempts.
UNSETTLED = frozenset({"cancelled", "interrupted", "failed", "engine_lost"})
#: Statuses of refusals that pass: too many solves, the server ends or begins.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: How often an unsettled problem is asked for again: a server that is being shut down takes ten
#: seconds and says so each time.
MOST_REPEATS = 8
#: A statement that no attempt can begin on is tried again at half its length, above this length.
SHORTENED_ABOVE = 1_000
#: What the mode of that name asks for, and which fields of the first cell it takes beside: how an
#: attempt is sampled, not how many there are or which of them counts.
FIRST_BOXED: Mapping[str, Any] = {"strategy": "first_boxed", "attempts": 1, "agree": 1}
SAMPLING = frozenset(
    {"max_turns", "max_tokens", "temperature", "top_p", "min_p", "top_k", "seed", "offset"}
)
#: Seconds that a server has to take note of the end of a solve.
CANCEL_TIMEOUT_S = 2.0
#: Seconds between two looks at a server that is not ready.
LOOK_EVERY_S = 0.1
#: A refused or cut request is tried again after pauses of up to this.
LONGEST_PAUSE_S = 2.0
#: The server answers at its deadline or soon after: what it may take longer, in seconds and as a
#: share of the limit.
GRACE_S = 10.0
GRACE_SHARE = 0.1
#: A solve never takes longer than this many times its first limit, whatever streams say.
MOST_LIMITS = 2.0


@dataclass(slots=True)
class Task:
    """One problem at work. Times are of `time.monotonic`; ``key`` is what the server knows it by,
    ``limit_s`` its time where that is not the budget's; ``again`` has a result without an answer
    not stand.

    ``evidence`` is what was seen of its solves, the latest first. ``hard_end`` is when the answer
    must be there, whatever happens; ``begun_solve`` is when the first solve began, and the longest
    limit that it had; ``plain`` leaves out what the first cell says of solves; ``reopened`` has the
    servers that had lost the run and were told it again; ``unready`` says what the engine did when
    it was last looked at and could not work.
    """

    key: str
    text: str
    allowance: Allowance
    grace_s: float
    limit_s: float | None = None
    again: bool = False
    begun: float = field(default_factory=time.monotonic)
    evidence: list[Evidence] = field(default_factory=list)
    tries: int = 0
    repeats: int = 0
    plain: bool = False
    notes: list[str] = field(default_factory=list)
    begun_solve: tuple[float, float] | None = None
    asked: float | None = None
    reopened: set[str] = field(default_factory=set)
    unready: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def hard_end(self) -> float:
        """The bound of this problem by the session's clock."""
        return self.begun + self.allowance.most_s

    def end(self) -> float:
        """Return until when the problem may take, by what is known now."""
        seen = self.evidence[0] if self.evidence else None
        end = self.hard_end
        if seen is not None and seen.ends is not None and not seen.finished:
            end = min(end, seen.ends + _grace(seen.limit_s))
        elif self.begun_solve is not None:
            # the server went away: a vote is taken as it is, for a first one time is worth spending
            started, limit_s = self.begun_solve
            end = min(end, started + limit_s * (1 if self.has_votes else MOST_LIMITS))
        elif self.asked is not None:
            # asked for, and not begun: a queue that does not move
            end = min(end, self.asked + max(self.allowance.limit_s, 1.0))
        if self.begun_solve is not None:
            started, limit_s = self.begun_solve
            end = min(end, started + MOST_LIMITS * limit_s + _grace(limit_s))
        return end + self.grace_s * (end >= self.hard_end)

    @property
    def spent_s(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.begun

    def note_of(self, state: ServerState | None) -> None:
        """Note why the server is away, each reason once."""
        if state is None or state.phase not in (ServerPhase.WAITING, ServerPhase.FAILED):
            return
        if state.detail and state.detail not in self.notes:
            self.notes.append(state.detail)

    def ask_again(self, note: str) -> None:
        """Have it solved anew: the run has a result of it, without an answer."""
        self.again = True
        self.notes.append(note)
        self.begun_solve = self.asked = None

    @property
    def has_votes(self) -> bool:
        """Whether any solve of the problem has told of a vote."""
        return any(each.ballot or each.result is not None for each in self.evidence)

    def observe(self, event: Mapping[str, Any]) -> None:
        """Take an event of the solve that is followed."""
        seen = self.evidence[0]
        seen.observe(event)
        if seen.started is not None and seen.limit_s is not None:
            started, limit_s = self.begun_solve or (seen.started, 0.0)
            self.begun_solve = (started, max(limit_s, seen.limit_s))

    @property
    def over(self) -> bool:
        """Whether its time is up, or nobody waits for it any more."""
        return self.stopped.is_set() or time.monotonic() >= self.end()

    def wait_for_server(self, seconds: float) -> None:
        """Wait for one that can work, at most to the problem's end; that is no queue's time."""
        self.asked = None
        self.pause(seconds)

    def pause(self, seconds: float) -> None:
        """Wait, at most to the problem's end."""
        self.stopped.wait(max(0.0, min(seconds, self.end() - time.monotonic())))


def _grace(limit_s: float | None) -> float:
    return min(GRACE_S, 0.5 + GRACE_SHARE * (limit_s or 0.0))


def _unready(engine: Mapping[str, Any]) -> str:
    said = "; ".join(str(engine[key]) for key in ("state", "detail") if engine.get(key))
    return f"the server listens, and its engine was not ready: {said or 'it tells no reason'}"


def _plainer(refusal: ServerRefused, task: Task) -> bool:
    """Tell whether it can be asked without the first cell's fields: they may be what is refused."""
    if refusal.status not in (400, 422) or task.plain:
        return False
    task.plain = True
    task.notes.append(str(refusal))
    return True


class ProblemSolver:
    """Has problems solved by whatever server there is at the moment."""

    def __init__(
        self,
        settings: SessionSettings,
        terms: RunTerms,
        state: Callable[[], ServerState | None],
        ensure: Callable[[], None],
        answered: Callable[[], Iterable[AnswerLine]],
    ) -> None:
        self._answered = answered
        self._settings = settings
        self._terms = terms
        self._state = state
        self._ensure = ensure
        self._run_at: dict[str, bool] = {}
        self._unended: set[str] = set()
        """Solves given up while no server was there: a restarted one goes on with them."""

    def solve(self, task: Task) -> None:
        """Follow the problem to its end or the task's; what is learned stands in the task.

        Raises nothing of the server's: a server that is not there is waited for.
        """
        absence = Absence()
        while not task.over:
            self._ensure()
            state = self._state()
            absence.observe(state)
            task.note_of(state)
            if absence.seconds > self._patience_s(task):
                task.notes.append("the server does not start")
                return
            if state is None or state.phase is not ServerPhase.SERVING:
                task.wait_for_server(LOOK_EVERY_S)
                continue
            try:
                wire = Wire(state.url)
                if not self._is_ready(wire, task):
                    task.wait_for_server(LOOK_EVERY_S)
                    continue
                absence.end()
                self._end_the_unended(wire)
                self._ask(wire, task)
                if self._done(task):
                    return
            except KaggleError as error:
                if not self._may_pass(state.url, error, task):
                    return
                self._pause_after(task)
        if task.unready:
            task.notes.append(task.unready)

    def give_up(self, task: Task) -> None:
        """End the solve on the server, so that the next problem has the engine; best effort."""
        state = self._state()
        seen = task.evidence[0] if task.evidence else None
        if seen is None or seen.finished or not seen.solve_id:
            return
        self._unended.add(seen.solve_id)
        if state is not None and state.url:
            self._end_the_unended(Wire(state.url))

    def _end_the_unended(self, wire: Wire) -> None:
        for solve_id in tuple(self._unended):
            try:
                wire.call("DELETE", f"/v1/solves/{solve_id}", timeout_s=CANCEL_TIMEOUT_S)
            except ServerRefused as refusal:
                if refusal.status in PASSING:
                    return
            except KaggleError:
                return
            self._unended.discard(solve_id)

    def finish_run(self, reason: str) -> None:
        """Tell the server that no more problems come; best effort."""
        state = self._state()
        if state is not None and self._run_at.get(state.url):
            with suppress(KaggleError):
                path = f"/v1/runs/{self._terms.id}/finish"
                Wire(state.url).call("POST", path, {"reason": reason}, timeout_s=5.0)

    def _done(self, task: Task) -> bool:
        """Tell whether the last solve settles the problem; count its repetition where not."""
        seen = task.evidence[0] if task.evidence else None
        if seen is None or not seen.finished:
            return False
        if seen.result is not None or task.repeats >= MOST_REPEATS:
            return True
        if (
            seen.end == "deadline"
            and not task.has_votes
            and task.spent_s < task.allowance.even_s / 2
        ):
            # a budget that took it for an easy one: with time at hand, no answer is no saving
            task.limit_s = task.allowance.even_s - task.spent_s
            task.ask_again("it was asked again, with more time")
        elif seen.end not in UNSETTLED:
            # not a token sampled: the statement alone is more than the engine's context holds
            if seen.end != "all_finished" or seen.tokens or len(task.text) < SHORTENED_ABOVE:
                return True
            task.text = shortened(task.text)
            task.ask_again(f"the statement was shortened to {len(task.text)} characters")
        task.repeats += 1
        task.pause(min(LONGEST_PAUSE_S, 0.125 * 2**task.repeats))
        return False

    def _may_pass(self, url: str, error: KaggleError, task: Task) -> bool:
        """Note what went wrong, once; tell whether it is worth asking again."""
        passing = True
        if isinstance(error, ServerRefused):
            if self._without_run(url, error, task) or _plainer(error, task):
                return True
            passing = error.status in PASSING
        if str(error) not in task.notes:
            task.notes.append(str(error))
        return passing

    def _patience_s(self, task: Task) -> float:
        begun = task.begun_solve is not None
        return self._settings.patience_s(task.allowance.even_s, begun=begun)

    def _pause_after(self, task: Task) -> None:
        task.tries += 1
        task.pause(min(LONGEST_PAUSE_S, 0.05 * 2.0 ** min(task.tries, 10)))

    def _is_ready(self, wire: Wire, task: Task) -> bool:
        """Ask whether the engine can work: a solve's own time must not pass in waiting for it."""
        timeout_s = max(0.01, min(10.0, task.end() - time.monotonic()))
        readiness = wire.call("GET", "/ready", timeout_s=timeout_s)
        engine = readiness.get("engine") or {}
        ready = bool(readiness.get("ready") or engine.get("ready"))
        task.unready = "" if ready else _unready(engine)
        return ready

    def _ask(self, wire: Wire, task: Task) -> None:
        """Start the solve, or join it, and follow its events."""
        body: dict[str, Any] = {
            "answer_kind": "integer",
            **({} if task.plain else self._settings.solve),
            "problem": task.text,
            "problem_id": task.key,
        }
        first_boxed = self._terms.mode is Mode.FIRST_BOXED
        if first_boxed:
            kept = SAMPLING | {"answer_kind", "problem", "problem_id"}
            body = {**{name: body[name] for name in body if name in kept}, **FIRST_BOXED}
        in_run = self._open_run(wire, task)
        if in_run:
            body["run"] = self._terms.id
            body["again"] = task.again
        if task.limit_s is not None:
            body["time_limit_s"] = task.limit_s
        if not in_run or first_boxed or task.allowance.beyond:
            left_s = max(0.1, task.hard_end - time.monotonic())
            body.setdefault("time_limit_s", min(task.allowance.limit_s or left_s, left_s))
        task.evidence.insert(0, Evidence())
        # one that is refused again and again has no more time than one in a queue
        task.asked = task.asked or time.monotonic()
        for event in wire.events(body, stall_s=self._settings.stall_s, until=task.end):
            if event is not None:
                task.observe(event)
            if task.stopped.is_set():
                return

    def _without_run(self, url: str, refusal: ServerRefused, task: Task) -> bool:
        """Tell whether it was the run that was refused: it is opened again, or done without."""
        if refusal.status not in (404, 409) or not self._run_at.get(url):
            return False
        task.notes.append(str(refusal))
        if refusal.status == 404 and url not in task.reopened:
            # a server that was started again at the same address, and has lost its journal
            task.reopened.add(url)
            del self._run_at[url]
            return True
        self._run_at[url] = False
        return True

    def _open_run(self, wire: Wire, task: Task) -> bool:
        """See that the run is open on this server; False where the server knows no runs."""
        known = self._run_at.get(wire.url)
        if known is not None:
            return known
        timeout_s = max(0.01, min(10.0, task.end() - time.monotonic()))
        try:
            wire.call("POST", "/v1/runs", self._terms.body(), timeout_s=timeout_s)
        except ServerRefused as refusal:
            if refusal.status in PASSING:
                raise
            if refusal.status not in (404, 405):
                task.notes.append(str(refusal))
            self._run_at[wire.url] = False
        else:
            self._run_at[wire.url] = True
            # one that lost its journal would keep time for what is answered already
            tell_all(wire, self._terms.id, self._answered())
        return self._run_at[wire.url]
