"""What does an actor cost that has nothing to do?

Units: microseconds to spawn one, and bytes of resident memory (RSS of a fresh process, read before and after) for each
of so many idle actors (the number of operations), name, ref and behavior included, the collector on. At ten times as
many: the same again, and how long one of them takes to wake and answer an ask, of 100 from all over: the median and the
slowest. Logical addresses are compared at the first size: each is woken by an ask, and when all have been passivated
for want of work, memory is read, and some are woken a second time.
"""

import statistics
from time import perf_counter

import anyio
import backends
import harness
from messages import DECODER, ENCODER, QUESTION, Echo

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.ref import Ref

#: How many are woken.
WOKEN = 100
SPAWN, FIRST, MEMORY, STOP = "spawn", "wake first and answer", "memory", "stop"
WAKE, SLOWEST = "wake and answer", "wake and answer, slowest of 100"
UNITS = {SPAWN: "us", FIRST: "us", MEMORY: "bytes", WAKE: "us", SLOWEST: "us", STOP: "us"}
OWN, LOGICAL = "casework, idle actor", "casework, passivated"
#: How long a logical one has nothing to do before it is passivated, and how often we look whether all are.
IDLE_SECONDS, LOOK_SECONDS = 0.2, 0.05
COSTS = (
    harness.Reach(contender=OWN, what=SPAWN, at_most=4.0),
    harness.Reach(contender=OWN, what=MEMORY, at_most=1_200.0),
)
WAKES = (*COSTS, harness.Reach(contender=OWN, what=WAKE, at_most=1_000.0))


async def idle(actors: int) -> harness.Run:
    """Spawn idle actors, wake some, end all."""
    async with ActorSystem() as system:
        system.spawn("first", Echo)
        before = harness.resident_bytes()
        begun = perf_counter()
        for number in range(actors):
            system.spawn(f"idle-{number}", Echo)
        spawned = perf_counter() - begun
        memory = harness.resident_bytes() - before
        refs = [system.ref(f"idle-{number}") for number in some(actors)]
        wakes = [await wake(ref) for ref in refs]
        begun = perf_counter()
    stopped = perf_counter() - begun
    return harness.Run(
        seconds=spawned,
        operations=actors,
        figures={
            SPAWN: spawned / actors * 1e6,
            MEMORY: memory / actors,
            WAKE: statistics.median(wakes) * 1e6,
            SLOWEST: max(wakes) * 1e6,
            STOP: stopped / actors * 1e6,
        },
    )


async def passivated(actors: int) -> harness.Run:
    """Wake logical actors one after the other, wait until all rest, wake some again."""
    async with ActorSystem() as system:
        system.declare("idle", lambda key: Echo(), idle_seconds=IDLE_SECONDS)
        await wake(system.ref("idle:first"))
        before = harness.resident_bytes()
        begun = perf_counter()
        for number in range(actors):
            await wake(system.ref(f"idle:{number}"))
        seconds = perf_counter() - begun
        while system.statistics().cells:  # noqa: ASYNC110 - nobody is told when the last one rests
            await anyio.sleep(LOOK_SECONDS)
        memory = harness.resident_bytes() - before
        wakes = [await wake(system.ref(f"idle:{number}")) for number in some(actors)]
    return harness.Run(
        seconds=seconds,
        operations=actors,
        figures={
            FIRST: seconds / actors * 1e6,
            MEMORY: memory / actors,
            WAKE: statistics.median(wakes) * 1e6,
            SLOWEST: max(wakes) * 1e6,
        },
    )


def some(actors: int) -> range:
    """Choose those that are woken."""
    return range(0, actors, max(actors // WOKEN, 1))


async def wake(ref: Ref) -> float:
    """Give the seconds that an idle actor takes to answer."""
    begun = perf_counter()
    DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))
    return perf_counter() - begun


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure at the size asked for and, once, at ten times that."""
    both = {OWN: backends.on("asyncio", idle), LOGICAL: backends.on("asyncio", passivated)}
    spawned = {OWN: both[OWN]}
    sizes = (
        ("idle actors", both, 1, repetitions, COSTS),
        ("idle actors, ten times as many", spawned, 10, 1, WAKES),
    )
    return [
        harness.observe(
            question,
            contenders,
            units=UNITS,
            operations=operations * times,
            repetitions=runs,
            reach=reach,
        )
        for question, contenders, times, runs, reach in sizes
    ]


if __name__ == "__main__":
    harness.main(answer, operations=100_000)
