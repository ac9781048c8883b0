"""How much of the cheapest possible hand-over does a tell keep?

Unit: microseconds for one message from one sender to one actor, from the first that is sent until all are handled, with
one msgspec encode and one decode. Messages go in bursts of 500, below the bound of a mailbox, and each burst is handled
before the next is sent; so they do for the floor, which is a deque and one parked server. pykka, whose mailboxes have
no bound, is told all at once.
"""

from functools import partial
from time import perf_counter

import anyio
import backends
import floors
import harness
import peers
from messages import DECODER, ENCODER, QUESTION

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope

BURST = 500
OWN = "casework tell"
REACH = (harness.Reach(contender=OWN, against="floor", at_least=0.4),)


class Counter:
    """Decodes what it is told, and says when a burst is handled."""

    def __init__(self) -> None:
        self.left = 0
        self.handled = anyio.Event()

    def expect(self, messages: int) -> None:
        """A burst comes."""
        self.left = messages
        self.handled = anyio.Event()

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Count."""
        DECODER.decode(envelope.frame)
        self.left -= 1
        if not self.left:
            self.handled.set()


async def tell(operations: int) -> float:
    """Tell an actor in bursts."""
    counter = Counter()
    async with ActorSystem() as system:
        ref = system.spawn("counter", lambda: counter)
        begun = perf_counter()
        for size in backends.rounds(operations, BURST):
            counter.expect(size)
            for _ in range(size):
                ref.tell_nowait(ENCODER.encode(QUESTION))
            await counter.handled.wait()
        return perf_counter() - begun


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on asyncio, with the peer, and on uvloop."""
    return [
        harness.measure(
            f"tell, one sender, {backend}",
            {
                "floor": backends.on(backend, partial(floors.tell, burst=BURST)),
                OWN: backends.on(backend, tell),
                "pykka": peers.contender("pykka", "tell"),
            },
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
