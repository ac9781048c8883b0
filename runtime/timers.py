"""Many deadlines, one job: a heap of moments and a single sleep.

A cancel scope for each deadline would cost as much as a whole ask; here a deadline costs a heap entry. A cancelled one
is forgotten when its moment comes, or when half of them are: most deadlines are long, and what they bound is short.
It does not know what is called.
"""

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final, final

import anyio

from casework.runtime.seams import MICROS, Clock

#: Seconds by which the two clocks go apart before that counts as a jump; clocks that are steered drift less.
JUMP_SECONDS: Final = 0.5
#: Cancelled alarms that are kept, however few others there are.
IDLE_MAX: Final = 256
#: Microseconds by which an alarm may ring before its moment: what is lost between two kinds of numbers.
EARLY_MICROS: Final = 1_000


@final
class Alarm:
    """One moment with what is to be called then."""

    __slots__ = ("_dropped", "moment", "ring")

    def __init__(self, moment: int, ring: Callable[[], None], dropped: Callable[[], None]) -> None:
        self.moment = moment  #: when the wall's clock must say so, in microseconds; 0 if only time has to pass
        self.ring: Callable[[], None] | None = ring
        self._dropped = dropped

    def cancel(self) -> None:
        """Do not ring; again is harmless."""
        if self.ring is not None:
            self.ring = None
            self._dropped()


#: When it rings, its number, which tells those of one moment apart, and itself.
Entry = tuple[float, int, Alarm]


@final
class Timers:
    """Alarms of one runtime; `run` must be running for them to ring."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[Entry] = []
        self._numbers = itertools.count()
        self._idle = 0
        self._sleeps_until = math.inf
        self._sleep: anyio.CancelScope | None = None
        self._apart = self._clocks_apart()

    def __len__(self) -> int:
        """Count the alarms that are kept, cancelled ones among them."""
        return len(self._heap)

    def after(self, seconds: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` on the event loop in so many seconds; it must not block or raise."""
        return self._push(self._clock.monotonic() + max(seconds, 0.0), Alarm(0, ring, self._dropped))

    def at(self, moment: int, ring: Callable[[], None]) -> Alarm:
        """Call `ring` once the wall's clock says `moment`, in microseconds since the epoch.

        That clock may jump; `follow_wall` must be called now and then for a jump to be heard before the alarm rings.
        """
        return self._push(self._steady(moment), Alarm(moment, ring, self._dropped))

    def follow_wall(self) -> None:
        """Find out whether the wall's clock has jumped, and have alarms that follow it do so too."""
        apart = self._clocks_apart()
        if abs(apart - self._apart) < JUMP_SECONDS:
            return
        self._apart = apart
        self._heap = [
            (self._steady(alarm.moment) if alarm.moment else at, number, alarm) for at, number, alarm in self._heap
        ]
        heapq.heapify(self._heap)
        self._wake()

    def _push(self, at: float, alarm: Alarm) -> Alarm:
        heapq.heappush(self._heap, (at, next(self._numbers), alarm))
        if at < self._sleeps_until:
            self._wake()
        return alarm

    def _wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    def _dropped(self) -> None:
        self._idle += 1
        if self._idle > IDLE_MAX and self._idle * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].ring is not None]
            heapq.heapify(self._heap)
            self._idle = 0

    def _steady(self, moment: int) -> float:
        # One that has passed stays before now: those that came due while nobody looked ring in their order.
        clock = self._clock
        return clock.monotonic() + (moment - clock.wall_micros()) / MICROS

    def _clocks_apart(self) -> float:
        return self._clock.wall_micros() / MICROS - self._clock.monotonic()

    async def run(self) -> None:
        """Ring alarms until cancelled; a cancellation leaves the alarms that did not ring."""
        while True:
            self._ring_due()
            self._sleeps_until = self._heap[0][0] if self._heap else math.inf
            with anyio.CancelScope() as self._sleep:
                if self._heap:
                    # Never below 0: an alarm may come due before it is slept for, and some sleeps refuse that.
                    await self._clock.sleep(max(self._sleeps_until - self._clock.monotonic(), 0.0))
                else:
                    # No sleep without end: where time is simulated, that would be one to the end of time.
                    await anyio.Event().wait()

    def _ring_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            _, number, alarm = heapq.heappop(self._heap)
            ring = alarm.ring
            if ring is None:
                self._idle -= 1
                continue
            early = alarm.moment - self._clock.wall_micros() if alarm.moment else 0
            if early > EARLY_MICROS:
                # The wall's clock was set back since.
                heapq.heappush(self._heap, (self._steady(alarm.moment), number, alarm))
            else:
                alarm.ring = None
                ring()
