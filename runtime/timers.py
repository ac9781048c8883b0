"""Many deadlines, one job: a heap of moments and a single waiter.

A cancel scope for each deadline would cost as much as a whole ask; here a deadline costs a heap entry, and a
cancelled one is forgotten when its moment comes. It does not know what is called.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from casework.runtime.seams import Clock


@dataclass(slots=True, order=True)
class Alarm:
    """One moment with what is to be called then."""

    at: float
    number: int
    ring: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Do not ring; again is harmless."""
        self.ring = None


class Timers:
    """Alarms of one runtime; `run` must be running for them to ring."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[Alarm] = []
        self._numbers = itertools.count()
        self._changed = anyio.Event()

    def after(self, seconds: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` on the event loop in so many seconds; it must not block or raise."""
        alarm = Alarm(self._clock.monotonic() + max(seconds, 0.0), next(self._numbers), ring)
        heapq.heappush(self._heap, alarm)
        if self._heap[0] is alarm:
            self._changed.set()
        return alarm

    async def run(self) -> None:
        """Ring alarms until cancelled; a cancellation leaves the alarms that did not ring."""
        while True:
            self._ring_due()
            self._changed = anyio.Event()
            if not self._heap:
                await self._changed.wait()
                continue
            # Never below 0: an alarm may come due between the two looks at the clock, and some sleeps refuse that.
            wait = max(self._heap[0].at - self._clock.monotonic(), 0.0)
            async with anyio.create_task_group() as race:
                race.start_soon(self._sleep, wait, race.cancel_scope)
                await self._changed.wait()
                race.cancel_scope.cancel()

    async def _sleep(self, seconds: float, scope: anyio.CancelScope) -> None:
        await self._clock.sleep(seconds)
        scope.cancel()

    def _ring_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0].at <= now:
            ring = heapq.heappop(self._heap).ring
            if ring is not None:
                ring()
