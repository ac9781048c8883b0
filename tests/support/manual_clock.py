"""Virtual time for tests: a clock that moves only when a test moves it."""

import math

import anyio
import anyio.lowlevel


class ManualClock:
    """A `Clock` whose sleepers wait until `advance` has moved time far enough."""

    def __init__(self, start_seconds: float = 1_700_000_000.0) -> None:
        self._now = start_seconds
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def wall_micros(self) -> int:
        return round(self._now * 1_000_000)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0, "some event loops refuse to sleep for less than nothing"
        sleeper = (self._now + seconds, anyio.Event())
        self._sleepers.append(sleeper)
        try:
            if seconds > 0:
                await sleeper[1].wait()
            else:
                await anyio.lowlevel.checkpoint()
        finally:
            self._sleepers.remove(sleeper)

    @property
    def sleeping(self) -> int:
        """Count those who wait."""
        return len(self._sleepers)

    @property
    def due_seconds(self) -> float:
        """Seconds until the first of those who wait is due; infinite if nobody waits."""
        return min((due for due, _ in self._sleepers), default=math.inf) - self._now

    def advance(self, seconds: float) -> None:
        """Move time; wakes whoever is due."""
        self._now += seconds
        for due, event in self._sleepers:
            if due <= self._now:
                event.set()
