"""Many deadlines, one job: a heap of moments and a single waiter.

A cancel scope for each deadline would cost as much as a whole ask; here a deadline costs a heap entry, and a
cancelled one is forgotten when its moment comes. It does not know what is called.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from casework.runtime.seams import MICROS, Clock

#: Seconds by which the two clocks go apart before that counts as a jump; clocks that are steered drift less.
JUMP_SECONDS: Final = 0.5
#: Microseconds by which an alarm may ring before its moment: what is lost between two kinds of numbers.
EARLY_MICROS: Final = 1_000


@dataclass(slots=True, order=True)
class Alarm:
    """One moment with what is to be called then."""

    at: float
    number: int
    moment: int = field(default=0, compare=False)
    """When the wall's clock must say so, in microseconds since the epoch; 0 if only time has to pass."""
    ring: Callable[[], None] | None = field(default=None, compare=False)

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
        self._apart = self._clocks_apart()

    def after(self, seconds: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` on the event loop in so many seconds; it must not block or raise."""
        return self._push(Alarm(self._clock.monotonic() + max(seconds, 0.0), next(self._numbers), ring=ring))

    def at(self, moment: int, ring: Callable[[], None]) -> Alarm:
        """Call `ring` once the wall's clock says `moment`, in microseconds since the epoch.

        That clock may jump; `follow_wall` must be called now and then for a jump to be heard before the alarm rings.
        """
        return self._push(Alarm(self._steady(moment), next(self._numbers), moment, ring))

    def follow_wall(self) -> None:
        """Find out whether the wall's clock has jumped, and have alarms that follow it do so too."""
        apart = self._clocks_apart()
        if abs(apart - self._apart) < JUMP_SECONDS:
            return
        self._apart = apart
        for alarm in self._heap:
            if alarm.moment:
                alarm.at = self._steady(alarm.moment)
        heapq.heapify(self._heap)
        self._changed.set()

    def _push(self, alarm: Alarm) -> Alarm:
        heapq.heappush(self._heap, alarm)
        if self._heap[0] is alarm:
            self._changed.set()
        return alarm

    def _steady(self, moment: int) -> float:
        clock = self._clock
        return clock.monotonic() + max((moment - clock.wall_micros()) / MICROS, 0.0)

    def _clocks_apart(self) -> float:
        return self._clock.wall_micros() / MICROS - self._clock.monotonic()

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
            alarm = heapq.heappop(self._heap)
            if alarm.ring is None:
                continue
            early = alarm.moment - self._clock.wall_micros() if alarm.moment else 0
            if early > EARLY_MICROS:
                # The wall's clock was set back since.
                alarm.at = self._steady(alarm.moment)
                heapq.heappush(self._heap, alarm)
            else:
                alarm.ring()
