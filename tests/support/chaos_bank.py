"""The world outside: a bank in a process of its own, which counts what it was told to do and outlives every service.

A payment has a key and happens once under it, however often it is sent; a wire has none and happens each time. Before
and after it acts the bank takes a few milliseconds, so that whoever is killed meanwhile cannot know.
`python chaos_bank.py SOCKET` serves until it is told to end. It does not know what a case is, but for its name.
"""

import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct, json

#: Seconds that the bank takes at most before it acts, and as long again before it answers.
SLOW_SECONDS_MAX = 0.006
#: Bytes of the longest line that is exchanged: the report on some thousand cases.
LINE_BYTES_MAX = 1 << 22
PATIENCE_SECONDS = 20.0


class Order(Struct, frozen=True):
    """What somebody asks for."""

    verb: str
    """`pay`, `wire`, `find` or `report`."""
    case: str = ""
    key: str = ""


class Report(Struct, frozen=True):
    """What happened, counted by case."""

    paid: dict[str, int] = {}
    """Payments under different keys."""
    wired: dict[str, int] = {}
    again: int = 0
    """Payments that were sent again and did not happen again."""


class Answer(Struct, frozen=True):
    """What the bank says."""

    happened: int = 0
    report: Report | None = None


class Books:
    """Everything that happened."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.paid: Counter[str] = Counter()
        self.wired: Counter[str] = Counter()
        self.again = 0

    def carry_out(self, order: Order) -> Answer:
        """Do what is asked, or say what was done."""
        match order.verb:
            case "pay" if order.key in self.keys:
                self.again += 1
            case "pay":
                self.keys[order.key] = order.case
                self.paid[order.case] += 1
            case "wire":
                self.wired[order.case] += 1
            case "find":
                happened = order.key in self.keys if order.key else self.wired[order.case]
                return Answer(int(happened))
            case _:
                return Answer(report=Report(dict(self.paid), dict(self.wired), self.again))
        return Answer(1)


async def ask(socket: str, order: Order) -> Answer:
    """Ask the bank; if cancelled, it may have acted or not."""
    async with await anyio.connect_unix(socket) as stream:
        await stream.send(json.encode(order) + b"\n")
        line = await BufferedByteReceiveStream(stream).receive_until(b"\n", LINE_BYTES_MAX)
    return json.decode(line, type=Answer)


async def report(socket: str) -> Report:
    """Ask what happened in all."""
    answer = await ask(socket, Order("report"))
    assert answer.report is not None, "a report was asked for"
    return answer.report


@asynccontextmanager
async def bank(folder: Path) -> AsyncIterator[str]:
    """Have a bank for as long as the block lasts, and give the socket at which it is."""
    socket = str(folder / "bank.sock")
    async with await anyio.open_process([sys.executable, __file__, socket], stderr=None) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(PATIENCE_SECONDS):
                assert await process.stdout.receive() == b"ready\n", "the bank does not open"
            yield socket
            assert process.returncode is None, "the bank outlives everybody"
        finally:
            process.terminate()


async def serve(socket: str) -> None:
    """Be the bank until SIGTERM."""
    books, chance = Books(), random.Random(7)

    async def one(stream: SocketStream) -> None:
        async with stream:
            try:
                order = json.decode(
                    await BufferedByteReceiveStream(stream).receive_until(b"\n", LINE_BYTES_MAX), type=Order
                )
                await anyio.sleep(chance.uniform(0, SLOW_SECONDS_MAX))
                answer = books.carry_out(order)
                await anyio.sleep(chance.uniform(0, SLOW_SECONDS_MAX))
                await stream.send(json.encode(answer) + b"\n")
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead):
                # Whoever asked was killed; what was done is done.
                return

    listener = await anyio.create_unix_listener(socket, backlog=1_000)
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, one)
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            async for _ in signals:
                group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1])
