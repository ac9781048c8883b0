"""What does a failure cost: the handler raises, the incarnation ends, and a new behavior takes the next message?

Unit: microseconds for one message whose handler raises, of a storm over 100 actors, told in rounds of ten for each;
warnings go nowhere. The floor is the same storm of messages whose handlers do not raise. Nothing may be lost: each
actor restarts for each of its messages, and the law of conservation is checked.
"""

import logging
from functools import partial
from time import perf_counter

import backends
import harness

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope
from casework.runtime.supervision import RestartLimit

ACTORS = 100
EACH = 10
#: No storm is to escalate here; a short period keeps the count of recent restarts short.
LIMIT = RestartLimit(intensity=1_000_000, period_seconds=0.001)


class Calm:
    """Handles what it is told."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Do nothing."""


class Failing:
    """Fails at what it is told."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Raise."""
        raise ValueError("as asked")


async def storm(operations: int, *, behavior: type[Calm | Failing]) -> float:
    """Tell all actors, round after round."""
    logging.disable(logging.CRITICAL)
    async with ActorSystem(restart_limit=LIMIT) as system:
        refs = [system.spawn(f"actor-{number}", behavior) for number in range(ACTORS)]
        begun = perf_counter()
        for size in backends.rounds(operations, ACTORS * EACH):
            for number in range(size):
                refs[number % ACTORS].tell_nowait(b"storm")
            await system.wait_quiet()
        seconds = perf_counter() - begun
        system.check_conservation()
        seen = system.statistics()
        assert seen.handled + seen.failed == operations, f"messages are missing: {seen}"
        assert seen.restarts == seen.failed, f"restarts are missing: {seen}"
    return seconds


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure the storm on asyncio."""
    return [
        harness.measure(
            f"restart storm over {ACTORS} actors",
            {
                "messages that do not fail": backends.on("asyncio", partial(storm, behavior=Calm)),
                "casework, each one fails": backends.on("asyncio", partial(storm, behavior=Failing)),
            },
            floor="messages that do not fail",
            operations=operations,
            repetitions=repetitions,
        )
    ]


if __name__ == "__main__":
    harness.main(answer)
