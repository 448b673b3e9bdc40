"""What is known of a solve from its events, while it runs and if it is cut."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Characters of each attempt's text that are kept: the last box of an attempt is at its end.
KEPT_CHARACTERS = 20_000
#: Outputs of code that are kept, of all attempts.
KEPT_OUTPUTS = 64
#: An output's end that is kept, in characters.
KEPT_OUTPUT_CHARACTERS = 2_000


@dataclass(slots=True)
class Evidence:
    """What the events of one solve have told so far; written by one thread, read by any.

    ``started`` and ``ends`` are of `time.monotonic`: when the solve left the queue, and when by its
    limit in force it must have ended; None as long as that is not known. ``result`` is the answer
    of a solve that ended with one, ``end`` why it ended.
    """

    solve_id: str = ""
    started: float | None = None
    ends: float | None = None
    limit_s: float | None = None
    finished: bool = False
    result: str | None = None
    end: str = ""
    detail: str = ""
    ballot: list[tuple[str, float, int]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    tokens: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    attempts: int = 0
    engine_losses: int = 0
    _texts: dict[int, str] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)

    def observe(self, event: Mapping[str, Any]) -> None:
        """Take note of an event; one that is not understood is passed over."""
        reader = _READERS.get(str(event.get("type")))
        try:
            self.solve_id = str(event.get("solve_id") or self.solve_id)
            if int(event.get("attempt") or 0) < 0:
                return  # a plan that another model wrote for attempts: it answers nothing
            if reader is not None:
                reader(self, event)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            return  # of another version: what it says is not known, what was known stays

    def latest_texts(self) -> Iterator[str]:
        """Yield the attempts' texts, the one that grew last first."""
        texts = dict(self._texts)
        for attempt in reversed(list(self._order)):
            if attempt in texts:
                yield texts[attempt]

    def _on_started(self, event: Mapping[str, Any]) -> None:
        if self.started is None:
            self._limit(float(event["time_limit_s"]), 0.0)

    def _on_budget(self, event: Mapping[str, Any]) -> None:
        self._limit(float(event["limit_s"]), float(event["elapsed_s"]))

    def _limit(self, limit_s: float, elapsed_s: float) -> None:
        now = time.monotonic()
        self.started = now - elapsed_s if self.started is None else self.started
        self.limit_s = limit_s
        self.ends = now + max(0.0, limit_s - elapsed_s)

    def _on_text(self, event: Mapping[str, Any]) -> None:
        attempt = int(event["attempt"])
        self._texts[attempt] = (self._texts.get(attempt, "") + str(event["text"]))[
            -KEPT_CHARACTERS:
        ]
        if not self._order or self._order[-1] != attempt:
            self._order = [each for each in self._order if each != attempt] + [attempt]

    def _on_result(self, event: Mapping[str, Any]) -> None:
        self.tool_calls += 1
        if event["status"] != "ok":
            # the numbers of a traceback are lines of code
            self.tool_errors += 1
            return
        output = str(event["output"])[-KEPT_OUTPUT_CHARACTERS:]
        self.outputs = [*self.outputs[1 - KEPT_OUTPUTS :], output]

    def _on_ballot(self, event: Mapping[str, Any]) -> None:
        self.ballot = [
            (str(line["answer"]), float(line["weight"]), int(line["votes"]))
            for line in event["lines"]
        ]

    def _on_attempt_end(self, event: Mapping[str, Any]) -> None:
        self.attempts += 1
        self.tokens += int(event["report"]["tokens"]["sampled"])

    def _on_waiting(self, _event: Mapping[str, Any]) -> None:
        self.engine_losses += 1

    def _on_end(self, event: Mapping[str, Any]) -> None:
        result = event["result"]
        self.end, self.detail = str(result["end"]), str(result.get("detail", ""))
        lines = result.get("ballot") or []
        if lines:
            self._on_ballot({"lines": lines})
        self.tokens = int((result.get("tokens") or {}).get("sampled", self.tokens))
        self.attempts = len(result.get("attempts") or []) or self.attempts
        self.result = None if result["answer"] is None else str(result["answer"])
        self.finished = True


_READERS = {
    "solve.started": Evidence._on_started,  # noqa: SLF001 - the table of its own methods
    "budget": Evidence._on_budget,  # noqa: SLF001
    "attempt.text": Evidence._on_text,  # noqa: SLF001
    "attempt.result": Evidence._on_result,  # noqa: SLF001
    "attempt.waiting": Evidence._on_waiting,  # noqa: SLF001
    "attempt.finished": Evidence._on_attempt_end,  # noqa: SLF001
    "ballot": Evidence._on_ballot,  # noqa: SLF001
    "solve.finished": Evidence._on_end,  # noqa: SLF001
}
