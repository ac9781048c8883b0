"""A service under load, as somebody would embed the kernel: `python busy_service.py` runs until it is told to end.

Senders outside tell ten actors what these pass on to a sink, as fast as there is room. At SIGTERM it drains; at every
further one it drains again, as a service would whose operator is impatient. At its end it prints one line of JSON:
what senders know to be accepted, and what the sink got. It does not know who reads that.
"""

import itertools
import json
import signal
import sys
from collections.abc import Iterator

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import Draining, MailboxFull
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref

DRAIN_SECONDS = 20.0
#: Messages after which the service calls itself busy.
BUSY = 200


class PassesOn:
    """Waits a little and passes on what it got."""

    def __init__(self, sink: Ref) -> None:
        self.sink = sink

    async def receive(self, context: Context, envelope: Envelope) -> None:
        await anyio.sleep(0.001)
        assert await self.sink.ask(envelope.frame, timeout_seconds=DRAIN_SECONDS) == b"kept"


class Sink:
    """Keeps what it gets."""

    def __init__(self, kept: list[int], busy: anyio.Event) -> None:
        self.kept = kept
        self.busy = busy

    async def receive(self, context: Context, envelope: Envelope) -> None:
        self.kept.append(int(envelope.frame))
        context.reply(b"kept")
        if len(self.kept) == BUSY:
            self.busy.set()


async def send(ref: Ref, numbers: Iterator[int], accepted: list[int]) -> None:
    """Send numbers until nothing is taken any more."""
    while True:
        number = next(numbers)
        try:
            ref.tell_nowait(str(number).encode())
        except MailboxFull:
            await anyio.sleep(0.001)
        except Draining:
            return
        else:
            accepted.append(number)
            await anyio.lowlevel.checkpoint()


async def main() -> None:
    """Serve until SIGTERM, then drain."""
    accepted: list[int] = []
    kept: list[int] = []
    numbers = itertools.count()
    finished: list[bool] = []
    busy = anyio.Event()
    async with ActorSystem() as system:
        sink = system.spawn("sink", lambda: Sink(kept, busy))

        async def drain(group: TaskGroup) -> None:
            finished.append(await system.drain(DRAIN_SECONDS))
            group.cancel_scope.cancel()

        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async with anyio.create_task_group() as group:
                for name in "abcdefghij":
                    ref = system.spawn(name, lambda: PassesOn(sink), mailbox_depth_max=50)
                    group.start_soon(send, ref, numbers, accepted)
                await busy.wait()
                sys.stdout.write("busy\n")
                sys.stdout.flush()
                async for _ in signals:
                    group.start_soon(drain, group)
        seen = system.statistics()
    told = {
        "accepted": len(accepted),
        "lost": sorted(set(accepted) - set(kept)),
        "twice": len(kept) - len(set(kept)),
        "never accepted": sorted(set(kept) - set(accepted)),
        "dead letters": seen.dead_lettered,
        "in time": all(finished),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    anyio.run(main)
