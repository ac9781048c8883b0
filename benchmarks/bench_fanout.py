"""What do 1,000 asks at once to 100 actors cost, each?

Unit: microseconds for one ask, start-up left out. A round asks 1,000 times at once, ten times each actor, and awaits
every answer: all are sent and then all awaited (`ask_nowait`, and pykka's own way), or each has a job of its own, which
is started in the loop's cheapest way. Each way has its floor: a deque and a future per direction, 100 parked servers,
and the same msgspec encode and decode each way. Peers pass an object of the same twelve fields in their natural way.
"""

import asyncio
from functools import partial
from time import perf_counter

import backends
import floors
import harness
import peers
from messages import DECODER, ENCODER, QUESTION, Echo

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.ref import Ref

ACTORS = 100
ASKS = 1_000
FLOOR, FLOOR_JOBS = "floor, sent at once", "floor, a job each"
OWN, OWN_JOBS = "casework, sent at once", "casework, a job each"
REACH = (
    harness.Reach(contender=OWN, against=FLOOR, at_least=0.45),
    harness.Reach(contender=OWN_JOBS, against=FLOOR_JOBS, at_least=0.45),
    harness.Reach(contender=OWN, against="pykka", at_least=2.0),
)


async def ask_once(ref: Ref) -> None:
    """Ask one actor."""
    DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))


async def ask_at_once(operations: int, *, jobs: bool) -> float:
    """Ask in rounds."""
    async with ActorSystem() as system:
        refs = [system.spawn(f"echo-{number}", Echo) for number in range(ACTORS)]
        begun = perf_counter()
        for size in backends.rounds(operations, ASKS):
            if jobs:
                await asyncio.gather(*(ask_once(refs[number % ACTORS]) for number in range(size)))
            else:
                for asked in [
                    refs[number % ACTORS].ask_nowait(ENCODER.encode(QUESTION), timeout_seconds=30)
                    for number in range(size)
                ]:
                    DECODER.decode(await asked)
        return perf_counter() - begun


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on asyncio, with the peers, and on uvloop."""
    return [
        harness.measure(
            f"{ASKS:,} asks at once to {ACTORS} actors, {backend}",
            {
                FLOOR: backends.on(backend, partial(floors.fan_out, servers=ACTORS, asks=ASKS, jobs=False)),
                OWN: backends.on(backend, partial(ask_at_once, jobs=False)),
                FLOOR_JOBS: backends.on(backend, partial(floors.fan_out, servers=ACTORS, asks=ASKS, jobs=True)),
                OWN_JOBS: backends.on(backend, partial(ask_at_once, jobs=True)),
                "pykka": peers.contender("pykka", "fanout"),
                "xoscar, messages": peers.contender("xoscar", "fanout", share=0.25),
                "xoscar, local calls": peers.contender("xoscar", "fanout_local"),
                "autogen-core": peers.contender("autogen-core", "fanout", share=0.1),
            },
            floor=FLOOR,
            operations=operations,
            repetitions=repetitions,
            reach=REACH,
        )
        for backend in backends.BACKENDS
        if backend != "trio"
    ]


if __name__ == "__main__":
    harness.main(answer)
