"""How long does an ask take when 100 callers ask one actor, and how much longer do the slowest take?

Unit: microseconds from an ask to its answer, the 50th and the 99th percentile of all asks of a run but the first tenth.
100 callers ask one actor in loops, so each ask stands behind some hundred others. The floor is the same with a deque
and a future per direction, and the same msgspec encode and decode each way.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import backends
import floors
import harness
from messages import DECODER, ENCODER, QUESTION, Echo

from casework.runtime.actorsystem import ActorSystem

CALLERS = 100
OWN = "casework ask"
P50, P99 = "p50", "p99"
REACH = (harness.Reach(contender=OWN, what=P99, against="floor", at_most=2.0),)


async def ask_from_many(operations: int) -> list[float]:
    """Give the seconds of each ask."""
    taken: list[float] = []
    async with ActorSystem() as system:
        ref = system.spawn("echo", Echo)

        async def call() -> None:
            for _ in range(max(operations // CALLERS, 1)):
                begun = perf_counter()
                DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))
                taken.append(perf_counter() - begun)

        await asyncio.gather(*(call() for _ in range(CALLERS)))
    return taken


def seen(taken: Sequence[float]) -> harness.Run:
    """Sum up the asks of one run."""
    warm = sorted(taken[len(taken) // harness.WARM_UP_SHARE :])
    figures = {name: harness.percentile(warm, share) * 1e6 for name, share in ((P50, 0.5), (P99, 0.99))}
    return harness.Run(seconds=sum(taken), operations=len(taken), figures=figures)


async def own(operations: int) -> harness.Run:
    """Measure an actor."""
    return seen(await ask_from_many(operations))


async def floor(operations: int) -> harness.Run:
    """Measure the floor."""
    return seen(await floors.latencies(operations, callers=CALLERS))


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on asyncio and on uvloop."""
    return [
        harness.observe(
            f"ask with {CALLERS} callers, {backend}",
            {"floor": backends.on(backend, floor), OWN: backends.on(backend, own)},
            units={P50: "us", P99: "us"},
            floor="floor",
            operations=operations,
            repetitions=repetitions,
            reach=REACH,
        )
        for backend in backends.BACKENDS
        if backend != "trio"
    ]


if __name__ == "__main__":
    harness.main(answer, operations=50_000)
