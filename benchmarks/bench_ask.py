"""How much of the cheapest possible request and reply does an ask keep?

Unit: microseconds for one ask by one caller of one actor, with the same msgspec encode and decode each way; start-up
is left out. The floor is a deque and a future per direction in the same process and loop; trio has no futures, so there
the floor parks on events and is only reported. Peers do their natural thing: each passes an object of the same twelve
fields, not encoded unless the peer does so itself, which our own contenders always do.
"""

from time import perf_counter

import backends
import floors
import harness
import peers
from messages import DECODER, ENCODER, QUESTION, Echo

from casework.runtime.actorsystem import ActorSystem

OWN = "casework ask"
REACH = (
    harness.Reach(contender=OWN, against="floor", at_least=0.5),
    harness.Reach(contender=OWN, against="pykka", at_least=4.0),
    harness.Reach(contender=OWN, against="autogen-core", at_least=10.0),
)
#: What trio must reach is not said: it is reported.
REACHED_ON = ("asyncio", "uvloop")
#: Shares of the operations, for peers that would hold up the others: their figures are stable long before.
SLOW, SLOWEST = 0.1, 0.05


async def ask(operations: int) -> float:
    """Ask an actor, one question after the other."""
    async with ActorSystem() as system:
        ref = system.spawn("echo", Echo)
        begun = perf_counter()
        for _ in range(operations):
            DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))
        return perf_counter() - begun


def beside(backend: str) -> dict[str, harness.External | None]:
    """Give the peers that are compared on one backend; threads and processes have no loop and stand on every one."""
    if backend == "trio":
        return {}
    suffix = "_uvloop" if backend == "uvloop" else ""
    return {
        "pykka": peers.contender("pykka", "ask"),
        "xoscar, a message": peers.contender("xoscar", f"ask{suffix}", share=SLOW),
        "xoscar, a local call": peers.contender("xoscar", f"ask_local{suffix}"),
        "thespian, simple base": peers.contender("thespian", "ask"),
        "thespian, TCP base": peers.contender("thespian", "ask_tcp", share=SLOWEST),
        "autogen-core": peers.contender("autogen-core", "ask", share=SLOW),
    }


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on every backend that is installed."""
    return [
        harness.measure(
            f"ask, one caller, {backend}",
            {
                "floor": backends.on(backend, floors.ask_events if backend == "trio" else floors.ask_futures),
                OWN: backends.on(backend, ask),
                **beside(backend),
            },
            floor="floor",
            operations=operations,
            repetitions=repetitions,
            reach=REACH if backend in REACHED_ON else (),
        )
        for backend in backends.BACKENDS
    ]


if __name__ == "__main__":
    harness.main(answer)
