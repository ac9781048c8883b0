"""Virtual time: a clock that moves only when a test moves it, and the wait until nobody has anything left to do.

Time stands still while anybody works, so a month passes as fast as its timers can be served. The steady clock gains
a microsecond whenever somebody asks to sleep for less than half of one: what is left of an alarm is then a rounding
error of its arithmetic, and must not keep it from ringing. A node's heartbeat is told apart by the job that beats: it
is served whenever time has moved, but nobody moves time for its sake.
It does not know what happens at the moments that it comes to.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, TypeVarTuple, final

import anyio
import anyio.lowlevel

from casework.runtime.seams import MICROS, Joinable, ThreadOffload

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Where virtual time begins unless a test says otherwise: 2026-01-01 00:00 UTC, in microseconds since the epoch.
START: Final = 1_767_225_600 * MICROS
#: Rounds of the event loop that everybody gets before it is asked whether they are done.
ROUNDS: Final = 16
#: Real seconds that one such question may take. Where somebody is still busy, asyncio would wait a tenth of a second.
LOOK_SECONDS: Final = 0.002


@dataclass(slots=True, eq=False)
class _Sleeper:
    due: int
    event: anyio.Event
    heartbeat: bool


@final
class VirtualClock:
    """A `Clock` that moves only when it is told to."""

    def __init__(self, start: int = START) -> None:
        """Stand still at `start`, in microseconds since the epoch."""
        self._start = start
        self._now = start
        self._skew = 0
        self._sleepers: list[_Sleeper] = []
        self._hearts: set[int] = set()

    def wall_micros(self) -> int:
        """Give microseconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Give seconds since the clock began."""
        return (self._now - self._start + self._skew) / MICROS

    async def sleep(self, seconds: float) -> None:
        """Wait until time was moved so far; if cancelled, nothing is left behind."""
        micros = round(seconds * MICROS)
        if micros < 1:
            self._skew += seconds > 0
            await anyio.lowlevel.checkpoint()
            return
        sleeper = _Sleeper(self._now + micros, anyio.Event(), anyio.get_current_task().id in self._hearts)
        self._sleepers.append(sleeper)
        try:
            await sleeper.event.wait()
        finally:
            self._sleepers.remove(sleeper)

    def beats(self) -> None:
        """Say that the job which calls this is a heartbeat: time is never moved for its sake."""
        self._hearts.add(anyio.get_current_task().id)

    def forget_beats(self) -> None:
        """Hear that a process has ended: the numbers of its jobs may be given to others now."""
        self._hearts.clear()

    def next_due(self) -> int | None:
        """Give the next moment for which somebody waits, heartbeats left out; None if nobody does."""
        return min((each.due for each in self._sleepers if not each.heartbeat), default=None)

    async def move(self, moment: int) -> None:
        """Move time to a moment and let everybody run who waited for it, heartbeats first."""
        self._now = max(moment, self._now)
        if self._wake(heartbeat=True):
            await quiet()
        self._wake(heartbeat=False)
        await quiet()

    def _wake(self, *, heartbeat: bool) -> bool:
        due = [each for each in self._sleepers if each.heartbeat is heartbeat and each.due <= self._now]
        for each in due:
            each.event.set()
        return bool(due)


async def quiet() -> None:
    """Wait until every job waits for something that only time or somebody outside can bring."""
    while True:
        for _ in range(ROUNDS):
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(LOOK_SECONDS):
            await anyio.wait_all_tasks_blocked()
            return


@final
class InlineOffload:
    """An `Offload` that runs blocking functions where they are called: no thread, and always the same order."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function here and now; a wait that is cancelled before has not begun it."""
        await anyio.lowlevel.checkpoint()
        return function(*args)

    def thread(self, name: str, body: Callable[[], None]) -> Joinable:
        """Start one daemon thread, as ever."""
        return ThreadOffload().thread(name, body)


@final
class CountedIds:
    """`Ids` that count: the same run gives the same ones."""

    def __init__(self) -> None:
        self._given = 0

    def new(self) -> str:
        """Give 32 hex digits."""
        self._given += 1
        return f"{self._given:032x}"
