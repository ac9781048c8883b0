"""The one way out: everything that is not deterministic comes through a `World`.

Clock, randomness, ids, threads and named fault points are handed to a runtime when it is made, so two runtimes in
one process do not meet and a simulation can stand in for all of it. No other module reads a clock, draws a random
number or starts a thread; a test of the house says so. It does not know what is done with what it gives.
"""

import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Microseconds in a second: the log's unit of time is the microsecond.
MICROS: Final = 1_000_000


class Clock(Protocol):
    """Time as the world tells it."""

    def wall_micros(self) -> int:
        """Give microseconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go back, from no particular start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; if cancelled, nothing is left behind."""
        ...


class Ids(Protocol):
    """Names for new things."""

    def new(self) -> str:
        """Give 32 hex digits, ordered by time, unique in the world."""
        ...


class Randomness(Protocol):
    """Chance in named streams: a draw in one never shifts another."""

    def stream(self, name: str) -> random.Random:
        """Give the stream of that name, always the same object."""
        ...


class Offload(Protocol):
    """Work off the event loop."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function in a worker thread; a cancelled wait lets it finish unheard."""
        ...

    def thread(self, name: str, body: Callable[[], None]) -> "Joinable":
        """Start one long-lived daemon thread."""
        ...


class Joinable(Protocol):
    """A started thread."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        ...


class Faults(Protocol):
    """Named places where a simulation may make the world go wrong."""

    def point(self, name: str) -> None:
        """Be here; may raise, kill or count."""
        ...


#: The named places in the code of nodes and cases. Stores have their own: the simulated one before and after each of
#: its calls, those with a disk before and after each commit.
POINTS: Final = (
    *(f"{name}.{when}" for name in ("claim", "renew", "inbox", "append", "release") for when in ("before", "after")),
    *(f"{name}.{when}" for name in ("effect", "lookup", "reserve", "undo") for when in ("before", "after")),
    *("task.sent", "task.answered", "timer.rings", "approval.asked", "approval.heard"),
)


class SystemClock:
    """The clock of this machine."""

    def wall_micros(self) -> int:
        """Give microseconds since the epoch."""
        return time.time_ns() // 1000

    # Each ask reads it twice, so nothing stands around it: the machine's monotonic seconds.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop; if cancelled, nothing is left behind."""
        await anyio.sleep(seconds)


class SystemIds:
    """Ids of 48 bits of milliseconds and 80 bits of chance, as in RFC 9562's version 7 without its marks."""

    def new(self) -> str:
        """Give 32 hex digits."""
        return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


class SystemRandomness:
    """Streams seeded by the operating system."""

    def __init__(self) -> None:
        self._streams: dict[str, random.Random] = {}

    def stream(self, name: str) -> random.Random:
        """Give the stream of that name."""
        if name not in self._streams:
            self._streams[name] = random.SystemRandom()
        return self._streams[name]


class ThreadOffload:
    """Worker threads of the event loop's own pool."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function in a worker thread; a cancelled wait lets it finish unheard."""
        return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)

    def thread(self, name: str, body: Callable[[], None]) -> Joinable:
        """Start one daemon thread."""
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread


@dataclass(slots=True, frozen=True, eq=False)
class World:
    """Everything that is not deterministic, in one hand."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=SystemIds)
    randomness: Randomness = field(default_factory=SystemRandomness)
    offload: Offload = field(default_factory=ThreadOffload)
    faults: Faults | None = None

    def point(self, name: str) -> None:
        """Be at one of `POINTS`, where a simulation may end the process; otherwise that is one look at an attribute."""
        if self.faults is not None:
            self.faults.point(name)
