"""The asks that wait, and the one job that ends their waiting when time is up.

A cancel scope for each ask costs more than the ask itself, so waiting asks stand in buckets by their due moment
(`TICK_SECONDS` wide) and one sweep sleeps until the earliest of them: an ask ends at its deadline or up to one tick
later, never before. An answered ask leaves its bucket at once, so buckets hold only what still waits.
It does not know what was asked.
"""

import heapq
from typing import Final, Protocol, final

import anyio

from casework.runtime.seams import Clock

#: How much later than its deadline an ask may end.
TICK_SECONDS: Final = 0.02
#: Buckets that may be there before empty ones are looked for.
BUCKETS: Final = 1_024
_TICKS_EACH_SECOND: Final = 1 / TICK_SECONDS


class Waiting(Protocol):
    """What waits until it is taken from its bucket, or its time is up."""

    def expire(self) -> None:
        """Hear that time is up; must be fast and must not raise."""
        ...


@final
class DeadlineSweep:
    """Waiting asks by due moment."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.monotonic = clock.monotonic
        self._buckets: dict[int, dict[Waiting, None]] = {}
        self._never: dict[Waiting, None] = {}
        self._due: list[int] = []
        self._asleep: anyio.CancelScope | None = None
        self._wake: anyio.Event | None = None
        self._sleeps_until = 0
        self._prune_at = BUCKETS

    def __len__(self) -> int:
        """Count the asks that wait now."""
        return sum(map(len, self._buckets.values())) + len(self._never)

    def add(self, waiting: Waiting, deadline: float) -> dict[Waiting, None]:
        """Have it hear when the deadline passes; give the bucket from which to take it before.

        Raises:
            ValueError: the deadline is no number.
        """
        try:
            tick = int(deadline * _TICKS_EACH_SECOND) + 1
        except OverflowError:
            self._never[waiting] = None
            return self._never
        bucket = self._buckets.get(tick)
        if bucket is None:
            if len(self._buckets) >= self._prune_at:
                self._prune()
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._due, tick)
            self._hurry(tick)
        bucket[waiting] = None
        return bucket

    async def run(self) -> None:
        """Sweep until cancelled; asks that then wait are left as they are."""
        while True:
            now = self.clock.monotonic()
            while self._due and self._due[0] * TICK_SECONDS <= now:
                for waiting in tuple(self._buckets.pop(heapq.heappop(self._due))):
                    waiting.expire()
            if not self._due:
                self._wake = anyio.Event()
                await self._wake.wait()
                continue
            self._sleeps_until = self._due[0]
            with anyio.CancelScope() as self._asleep:
                await self.clock.sleep(max(self._due[0] * TICK_SECONDS - now, 0.0))
            self._asleep = None

    def _prune(self) -> None:
        """Forget the buckets from which everything was taken: asks that may take a day would leave millions of them."""
        self._buckets = {tick: bucket for tick, bucket in self._buckets.items() if bucket}
        self._due = sorted(self._buckets)
        self._prune_at = 2 * len(self._buckets) + BUCKETS

    def _hurry(self, tick: int) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None
        elif self._asleep is not None and tick < self._sleeps_until:
            self._asleep.cancel()
