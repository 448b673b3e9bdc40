"""Running attempts on a virtual clock: their speed depends on how many decode at once."""

from dataclasses import dataclass

from voting.machine import Machine
from voting.replay.records import RecordedAttempt

#: Progress that differs from the whole by less than this has arrived, in tokens.
ROUNDING = 1e-6


@dataclass(slots=True)
class RunningAttempt:
    """An attempt on its way: ``done`` tokens of it are sampled."""

    attempt: int
    record: RecordedAttempt
    started_s: float
    overhead_s: float
    done: float = 0.0
    dip: int = 0

    @property
    def target(self) -> int:
        """The token count at which something happens next: a dip of confidence, or the end."""
        dips = self.record.dips
        return dips[self.dip].tokens if self.dip < len(dips) else max(self.record.tokens, 1)

    @property
    def ends_next(self) -> bool:
        """Whether that is the end."""
        return self.dip >= len(self.record.dips)


class Decoding:
    """The running attempts of one solve and their clock, ``now_s`` from the solve's start.

    An attempt's time without decoding (start, tool calls) is spread evenly over its tokens, so that
    each progresses at a constant speed while the number of streams is the same.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.running: dict[int, RunningAttempt] = {}
        self.now_s = 0.0

    def start(self, attempt: int, record: RecordedAttempt) -> None:
        """Start an attempt now."""
        overhead = self._machine.overhead_s(record.tool_calls) / max(record.tokens, 1)
        self.running[attempt] = RunningAttempt(attempt, record, self.now_s, overhead)

    def advance(self, until_s: float) -> RunningAttempt | None:
        """Go on to the next dip or end, and return whose it is; None where `until_s` comes first.

        Of several at the same time, the attempt with the lowest index is first. Where it is the end
        the attempt is taken from the running ones.
        """
        token_s = self._machine.token_s(len(self.running))
        waits = {
            index: max(0.0, one.target - one.done) * (token_s + one.overhead_s)
            for index, one in self.running.items()
        }
        first = min(waits, key=lambda index: (waits[index], index), default=None)
        elapsed = min(waits[first] if first is not None else 0.0, max(0.0, until_s - self.now_s))
        for one in self.running.values():
            one.done = min(one.done + elapsed / (token_s + one.overhead_s), float(one.target))
        self.now_s += elapsed
        if first is None:
            return None
        next_one = self.running[first]
        if next_one.target - next_one.done > ROUNDING:
            return None
        next_one.done = float(next_one.target)
        if next_one.ends_next:
            del self.running[first]
        return next_one

    @property
    def cut_tokens(self) -> int:
        """The tokens that the running attempts have sampled so far."""
        return round(sum(one.done for one in self.running.values()))
