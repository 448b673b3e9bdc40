"""A machine as a replay sees it: how fast attempts decode, by how many decode at once."""

import math
from dataclasses import dataclass
from types import MappingProxyType

from voting.errors import PolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How long attempts take.

    ``decode`` has points (streams, tokens/s of each stream), by rising streams. Between two points
    the seconds a token are interpolated; beyond the last one the tokens/s of all streams together
    stay as they are there. ``start_s`` is what an attempt waits before its first token (prefill,
    kernel), ``tool_call_s`` what a tool call adds on average: the cell, and the prefill of what it
    printed. At most ``slots`` attempts decode at once.

    Raises:
        PolicyError: no points, not by rising streams, or a number out of its range.
    """

    name: str
    decode: tuple[tuple[int, float], ...]
    start_s: float = 0.0
    tool_call_s: float = 0.0
    slots: int = 256

    def __post_init__(self) -> None:
        streams = [point[0] for point in self.decode]
        if not streams or streams[0] < 1 or sorted(set(streams)) != streams:
            raise PolicyError(
                f"machine {self.name!r}: decode points at {streams} streams: must be at least one, "
                "by rising streams from 1 on; for example [[1, 160], [8, 98]]"
            )
        speeds = [point[1] for point in self.decode]
        if not all(0 < speed < math.inf for speed in speeds):
            raise PolicyError(
                f"machine {self.name!r}: speeds {speeds}: must be finite and above 0; "
                "give tokens/s of each stream"
            )
        for name in ("start_s", "tool_call_s"):
            if not 0 <= (seconds := getattr(self, name)) < math.inf:
                raise PolicyError(
                    f"machine {self.name!r}: {name} {seconds}: must be finite and at least 0; "
                    "give seconds"
                )
        if self.slots < 1:
            raise PolicyError(
                f"machine {self.name!r}: {self.slots} slots: must be at least 1; "
                "give the attempts that the engine decodes at once"
            )

    def token_s(self, streams: int) -> float:
        """Return the seconds that a token of one stream takes while `streams` decode."""
        first, speed = self.decode[0]
        if streams <= first:
            return 1 / speed
        for (low, slow), (high, fast) in zip(self.decode, self.decode[1:], strict=False):
            if streams <= high:
                share = (streams - low) / (high - low)
                return (1 - share) / slow + share / fast
        last, speed = self.decode[-1]
        return streams / (last * speed)

    def overhead_s(self, tool_calls: int) -> float:
        """Return the seconds that an attempt does not decode in."""
        return self.start_s + tool_calls * self.tool_call_s


#: gpt-oss-120b on one H100 80 GB under vLLM 0.11. The point of eight streams is measured in public
#: runs: 87-109 tokens/s a stream, 608-667 in aggregate with tool calls. So eight attempts do not
#: decode in 18 % of the time: at 21 calls in 32,000 tokens (the mean of 361 recorded ones) 3.5 s
#: a call. The other points are assumed, on a smooth curve through that one.
H100 = Machine(
    name="h100",
    decode=((1, 165.0), (2, 145.0), (4, 122.0), (8, 98.0), (16, 74.0), (32, 54.0), (64, 36.0)),
    start_s=1.0,
    tool_call_s=3.5,
    slots=64,
)

#: Qwen2.5-Coder-1.5B (Q4_K_M) under llama.cpp on two cores, as measured with this project's engine:
#: 28 tokens/s alone, 37 in aggregate with four streams, 29 with eight.
TWO_CORES = Machine(
    name="two-cores",
    decode=((1, 28.0), (4, 9.2), (8, 3.6)),
    start_s=3.0,
    tool_call_s=0.2,
    slots=8,
)

MACHINES = MappingProxyType({machine.name: machine for machine in (H100, TWO_CORES)})


def machine(name: str) -> Machine:
    """Return the machine of a name.

    Raises:
        PolicyError: there is none.
    """
    try:
        return MACHINES[name]
    except KeyError:
        raise PolicyError(
            f"machine {name[:40]!r}: must be one of {', '.join(MACHINES)}, or a file that "
            "describes one; choose one of these"
        ) from None
