"""What does an actor cost that has nothing to do?

Units: microseconds to spawn one, and bytes of resident memory (RSS of a fresh process, read before and after) for each
of so many idle actors (the number of operations), name, ref and behavior included, the collector on. At ten times as
many: the same again, and how long one of them takes to wake and answer an ask, of 100 from all over: the median and the
slowest.
"""

import statistics
from time import perf_counter

import backends
import harness
from messages import DECODER, ENCODER, QUESTION, Echo

from casework.runtime.actorsystem import ActorSystem

#: How many are woken.
WOKEN = 100
SPAWN, MEMORY, STOP = "spawn", "memory", "stop"
WAKE, SLOWEST = "wake and answer", "wake and answer, slowest of 100"
UNITS = {SPAWN: "us", MEMORY: "bytes", WAKE: "us", SLOWEST: "us", STOP: "us"}
OWN = "casework, idle actor"
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
        wakes = [await wake(system, number) for number in range(0, actors, max(actors // WOKEN, 1))]
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


async def wake(system: ActorSystem, number: int) -> float:
    """Give the seconds that one idle actor takes to answer."""
    begun = perf_counter()
    ref = system.lookup(f"idle-{number}")
    assert ref is not None
    DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))
    return perf_counter() - begun


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure at the size asked for and, once, at ten times that."""
    sizes = (("idle actors", 1, repetitions, COSTS), ("idle actors, ten times as many", 10, 1, WAKES))
    return [
        harness.observe(
            question,
            {OWN: backends.on("asyncio", idle)},
            units=UNITS,
            operations=operations * times,
            repetitions=runs,
            reach=reach,
        )
        for question, times, runs, reach in sizes
    ]


if __name__ == "__main__":
    harness.main(answer, operations=100_000)
