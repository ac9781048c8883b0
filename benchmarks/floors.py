"""The floors: the cheapest things that do the same work in the same process and on the same loop.

A deque and a future for each direction, one parked server for each actor, and the same msgspec encode and decode. trio
has no futures: there the floor parks on events. A floor has no bound, no deadline, no supervision and no names; what
those cost is the question. It does not know what is compared with it.
"""

import asyncio
from collections import deque
from time import perf_counter
from typing import final

import anyio
import backends
from messages import DECODER, ENCODER, QUESTION


@final
class Server:
    """One parked server on asyncio: what an actor comes down to."""

    __slots__ = ("loop", "queue", "waiter")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self.waiter: asyncio.Future[None] | None = None

    async def serve(self) -> None:
        """Answer until cancelled."""
        queue = self.queue
        while True:
            if not queue:
                waiter = self.waiter = self.loop.create_future()
                await waiter
                self.waiter = None
            frame, answer = queue.popleft()
            answer.set_result(ENCODER.encode(DECODER.decode(frame)))

    def send(self) -> "asyncio.Future[bytes]":
        """Ask once, and give where the answer will be."""
        answer = self.loop.create_future()
        self.queue.append((ENCODER.encode(QUESTION), answer))
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return answer

    async def ask(self) -> None:
        """Ask once."""
        DECODER.decode(await self.send())


async def ask_futures(operations: int) -> float:
    """Ask one server, one question after the other."""
    server = Server()
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        await asyncio.sleep(0)
        queue, loop = server.queue, server.loop
        begun = perf_counter()
        for _ in range(operations):
            # As `Server.ask`, without a coroutine for each: nothing may be cheaper than the floor.
            answer = loop.create_future()
            queue.append((ENCODER.encode(QUESTION), answer))
            waiter = server.waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            DECODER.decode(await answer)
        seconds = perf_counter() - begun
        group.cancel_scope.cancel()
    return seconds


async def ask_events(operations: int) -> float:
    """Do the same with events, for trio."""
    queue: deque[tuple[bytes, list[bytes], anyio.Event]] = deque()
    waiter: anyio.Event | None = None

    async def serve() -> None:
        nonlocal waiter
        while True:
            if not queue:
                waiter = anyio.Event()
                await waiter.wait()
            frame, slot, event = queue.popleft()
            slot.append(ENCODER.encode(DECODER.decode(frame)))
            event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        begun = perf_counter()
        for _ in range(operations):
            slot, event = list[bytes](), anyio.Event()
            queue.append((ENCODER.encode(QUESTION), slot, event))
            if waiter is not None:
                waiter.set()
            await event.wait()
            DECODER.decode(slot[0])
        seconds = perf_counter() - begun
        group.cancel_scope.cancel()
    return seconds


async def fan_out(operations: int, *, servers: int, asks: int, jobs: bool) -> float:
    """Ask many servers, so many asks at once: in a job each, or all sent and then all awaited."""
    async with anyio.create_task_group() as group:
        parked = [Server() for _ in range(servers)]
        for server in parked:
            group.start_soon(server.serve)
        await asyncio.sleep(0)
        begun = perf_counter()
        for size in backends.rounds(operations, asks):
            if jobs:
                await asyncio.gather(*(parked[number % servers].ask() for number in range(size)))
            else:
                for answer in [parked[number % servers].send() for number in range(size)]:
                    DECODER.decode(await answer)
        seconds = perf_counter() - begun
        group.cancel_scope.cancel()
    return seconds


async def tell(operations: int, *, burst: int) -> float:
    """Tell one server in bursts, each handled before the next is sent."""
    loop = asyncio.get_running_loop()
    queue: deque[bytes] = deque()
    waiter: asyncio.Future[None] | None = None
    handled: asyncio.Future[None] = loop.create_future()
    left = 0

    async def serve() -> None:
        nonlocal waiter, left
        while True:
            if not queue:
                waiter = loop.create_future()
                await waiter
                waiter = None
            DECODER.decode(queue.popleft())
            left -= 1
            if not left:
                handled.set_result(None)

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await asyncio.sleep(0)
        begun = perf_counter()
        for left in backends.rounds(operations, burst):
            handled = loop.create_future()
            for _ in range(left):
                queue.append(ENCODER.encode(QUESTION))
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
            await handled
        seconds = perf_counter() - begun
        group.cancel_scope.cancel()
    return seconds


async def latencies(operations: int, *, callers: int) -> list[float]:
    """Have many callers ask one server in loops; give the seconds of each ask."""
    taken: list[float] = []
    server = Server()

    async def call() -> None:
        for _ in range(max(operations // callers, 1)):
            begun = perf_counter()
            await server.ask()
            taken.append(perf_counter() - begun)

    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        await asyncio.gather(*(call() for _ in range(callers)))
        group.cancel_scope.cancel()
    return taken
