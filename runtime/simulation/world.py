"""The world of a simulated process: its clock, its ids, its chance, and the places at which it may go wrong.

Time is the loop's, so that nothing waits; the wall's clock is the machine's own and may be set wrong by the plan.
Chance and ids come in streams, each with its own seed made of the run's seed and its name: one more draw in one
shifts nothing in another.
It does not know what runs in the process.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, final

import anyio
import anyio.lowlevel

from casework.runtime.seams import MICROS, Joinable
from casework.runtime.simulation.loop import BEATING, SimulationLoop
from casework.runtime.simulation.process import PROCESS, Phase

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Where virtual time begins: 2026-01-01 00:00 UTC, in microseconds since the epoch.
START: Final = 1_767_225_600 * MICROS


@final
class Machine:
    """What of a machine outlives the processes on it: how far its wall's clock is off."""

    __slots__ = ("name", "skew_micros")

    def __init__(self, name: str) -> None:
        self.name = name
        self.skew_micros = 0


@final
class SimulatedClock:
    """A `Clock` over the loop's time."""

    def __init__(self, loop: SimulationLoop, machine: Machine) -> None:
        self._loop = loop
        self._machine = machine
        self._hearts: set[int] = set()

    def wall_micros(self) -> int:
        """Give microseconds since the epoch, as this machine believes."""
        return START + round(self._loop.time() * MICROS) + self._machine.skew_micros

    def monotonic(self) -> float:
        """Give seconds since the run began."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait; if cancelled, nothing is left behind."""
        assert seconds >= 0, "some event loops refuse to sleep for less than nothing"
        if self._loop.running not in self._hearts:
            await anyio.sleep(seconds)
            return
        beating = BEATING.set(True)
        try:
            await anyio.sleep(seconds)
        finally:
            BEATING.reset(beating)

    def beats(self) -> None:
        """Say that the job which calls this is a heartbeat: a long time may be passed over without it."""
        self._hearts.add(self._loop.running)


@final
class SimulatedIds:
    """`Ids` of a stream, ordered by time as others are."""

    def __init__(self, clock: SimulatedClock, stream: random.Random) -> None:
        self._clock = clock
        self._stream = stream

    def new(self) -> str:
        """Give 32 hex digits."""
        return f"{self._clock.wall_micros() // 1_000:012x}{self._stream.getrandbits(80):020x}"


@final
class SimulatedRandomness:
    """`Randomness` whose streams follow from a seed and their names."""

    def __init__(self, seed: object) -> None:
        self._seed = seed
        self._streams: dict[str, random.Random] = {}

    def stream(self, name: str) -> random.Random:
        """Give the stream of that name."""
        if name not in self._streams:
            self._streams[name] = random.Random(f"{self._seed}/{name}")
        return self._streams[name]


@final
class InlineOffload:
    """An `Offload` that runs blocking functions where they are called; there are no threads."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function here and now; a wait that is cancelled before has not begun it."""
        await anyio.lowlevel.checkpoint()
        return function(*args)

    def thread(self, name: str, body: Callable[[], None]) -> Joinable:
        """Refuse.

        Raises:
            SimulationLeak: always; the run ends by it.
        """
        raise self._loop.leaked(f"World.offload.thread({name!r})")


@final
class FaultPoints:
    """`Faults` that count how often each named point is passed, and may kill the process there."""

    def __init__(self, kills: Callable[[str], bool]) -> None:
        """Prepare; `kills` says whether the process dies at a point this time."""
        self._kills = kills
        self.hits: Counter[str] = Counter()

    def point(self, name: str) -> None:
        """Be here; the process may be dead afterwards, and goes no further than to its next wait."""
        self.hits[name] += 1
        process = PROCESS.get()
        if process is not None and self._kills(name):
            process.died_at = process.died_at or name
            process.kill()


async def alive() -> None:
    """Go on only while the process that calls lives; to be asked before anything outside of it is touched."""
    process = PROCESS.get()
    while process is not None and process.phase is Phase.DEAD:
        await anyio.sleep_forever()
