"""How many requests each caller may make: a bucket of tokens for each."""

from collections import OrderedDict
from dataclasses import dataclass

#: Callers that are remembered; the one that was quiet longest is forgotten first.
MOST_CALLERS = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    seen: float


class Rates:
    """Lets each caller make `per_minute` requests on average (0: any), and `burst` at once."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_second = per_minute / 60.0
        self._burst = float(burst)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, caller: str, now: float) -> float:
        """Take a request of a caller; return the seconds after which it may come, 0: now."""
        if not self._per_second:
            return 0.0
        bucket = self._buckets.setdefault(caller, _Bucket(self._burst, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        earned = max(now - bucket.seen, 0.0) * self._per_second
        bucket.left, bucket.seen = min(bucket.left + earned, self._burst), now
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / self._per_second
        bucket.left -= 1.0
        return 0.0
