"""Rate limits: how many calls a second a tenant, an agent and a tool may have, as token buckets that are one number.

After the generic cell rate algorithm: instead of tokens, a bucket keeps the moment at which it would be full again, so
what is left in it at any time is a pure function of that moment and the time. A call passes a bucket of its tenant, one
of its agent and one of its tool, in this order; it takes from all of them or from none, at the moment at which the
slowest lets it. Whoever waits has its turn reserved, so nobody who comes later overtakes it.
It does not know who waits, nor what a call does.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple, final

from casework.actors.policy import Rate, Rates

#: Buckets that are kept; the one that was used longest ago is forgotten first, which makes it full.
BUCKETS_MAX: Final = 10_000


class Turn(NamedTuple):
    """When a call may go."""

    seconds: float
    """From now; 0 is at once."""
    bucket: str
    """The one that makes it wait longest, as `kind:NAME`; empty if none does."""


def ready_at(full_at: float, rate: Rate) -> float:
    """Say from when on a bucket lets one call go that is full again at `full_at`; pure."""
    return full_at - (rate.burst - 1) / rate.per_second


def full_after(full_at: float, at: float, rate: Rate) -> float:
    """Say when a bucket is full again of which one call is taken at `at`; pure."""
    return max(full_at, at) + 1 / rate.per_second


@final
class RateLimits:
    """The buckets of one staff; times are monotonic seconds."""

    __slots__ = ("_full_at", "_limits")

    def __init__(self, rates: Rates) -> None:
        self._limits = rates.limits
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def turn(self, names: Sequence[tuple[str, str]], now: float) -> Turn:
        """Say when a call may go that passes these buckets, each a kind and a name; takes nothing."""
        longest = Turn(0.0, "")
        for kind, name in names:
            rate = self._rate(kind, name)
            if rate is None:
                continue
            bucket = f"{kind}:{name}"
            seconds = ready_at(self._full_at.get(bucket, now), rate) - now
            if seconds > longest.seconds:
                longest = Turn(seconds, bucket)
        return longest

    def take(self, names: Sequence[tuple[str, str]], at: float) -> None:
        """Take one call of each of these buckets, at a moment that `turn` has given."""
        for kind, name in names:
            rate = self._rate(kind, name)
            if rate is None:
                continue
            bucket = f"{kind}:{name}"
            self._full_at[bucket] = full_after(self._full_at.get(bucket, at), at, rate)
            self._full_at.move_to_end(bucket)
        while len(self._full_at) > BUCKETS_MAX:
            self._full_at.popitem(last=False)

    def _rate(self, kind: str, name: str) -> Rate | None:
        return self._limits.get(f"{kind}:{name}") or self._limits.get(f"{kind}:*")
