"""How much of the cheapest possible request and reply does an ask keep?

Unit: microseconds for one ask by one caller of one actor, with the same msgspec encode and decode each way. The floor
is a deque and a future per direction in the same process and loop; trio has no futures, so there the floor parks on
trio-backed events and is only reported.
"""

import asyncio
import importlib.util
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import harness
import msgspec
from msgspec import Struct

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope


class Question(Struct, frozen=True, tag="question"):
    """Twelve fields, as a task of middling size has."""

    a: str = "case-1"
    b: str = "categorise"
    c: str = "one sentence of goal"
    d: int = 1
    e: int = 2
    f: float = 3.0
    g: tuple[str, ...] = ("read_receipt", "look_up")
    h: str = "read_only"
    i: int = 1_750_000_000_000_000
    j: str = "tenant"
    k: str = "sender"
    m: str = "purpose"


ENCODER = msgspec.msgpack.Encoder(order="deterministic")
DECODER = msgspec.msgpack.Decoder(Question)
QUESTION = Question()


class Echo:
    """Decodes, encodes, answers."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Answer with what was asked."""
        context.reply(ENCODER.encode(DECODER.decode(envelope.frame)))


async def ask(operations: int) -> None:
    """Ask an actor, one question after the other."""
    async with ActorSystem() as system:
        ref = system.spawn("echo", Echo)
        for _ in range(operations):
            DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))


async def floor_futures(operations: int) -> None:
    """Do the same work with a deque and a future each way."""
    loop = asyncio.get_running_loop()
    queue: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
    waiter: asyncio.Future[None] | None = None

    async def serve() -> None:
        nonlocal waiter
        for _ in range(operations):
            if not queue:
                waiter = loop.create_future()
                await waiter
                waiter = None
            frame, answer = queue.popleft()
            answer.set_result(ENCODER.encode(DECODER.decode(frame)))

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        for _ in range(operations):
            answer = loop.create_future()
            queue.append((ENCODER.encode(QUESTION), answer))
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            DECODER.decode(await answer)


async def floor_events(operations: int) -> None:
    """Do the same work with a deque and an event each way."""
    queue: deque[tuple[bytes, list[bytes], anyio.Event]] = deque()
    waiter: anyio.Event | None = None

    async def serve() -> None:
        nonlocal waiter
        for _ in range(operations):
            if not queue:
                waiter = anyio.Event()
                await waiter.wait()
            frame, slot, event = queue.popleft()
            slot.append(ENCODER.encode(DECODER.decode(frame)))
            event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        for _ in range(operations):
            slot, event = list[bytes](), anyio.Event()
            queue.append((ENCODER.encode(QUESTION), slot, event))
            if waiter is not None:
                waiter.set()
            await event.wait()
            DECODER.decode(slot[0])


def on(backend: str, function: Callable[[int], Awaitable[None]], *, use_uvloop: bool) -> Callable[[int], None]:
    """Make a contender that runs on one backend."""
    options = {"use_uvloop": True} if use_uvloop else {}
    return lambda operations: anyio.run(function, operations, backend=backend, backend_options=options)


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure on every backend that is installed."""
    reports: list[harness.Report] = []
    for name, module in (("asyncio", "asyncio"), ("uvloop", "uvloop"), ("trio", "trio")):
        if importlib.util.find_spec(module) is None:
            continue
        backend = "trio" if name == "trio" else "asyncio"
        floor = floor_events if name == "trio" else floor_futures
        contenders = {
            "floor": on(backend, floor, use_uvloop=name == "uvloop"),
            "casework ask": on(backend, ask, use_uvloop=name == "uvloop"),
        }
        reports.append(
            harness.measure(
                f"ask, one caller, {name}", contenders, floor="floor", operations=operations, repetitions=repetitions
            )
        )
    return reports


if __name__ == "__main__":
    harness.main(answer)
