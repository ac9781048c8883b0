"""How long does a signal wait behind a full mailbox?

An actor is at work on one message while so many others wait (the number of operations). Then a signal comes: the stop
of the actor itself, or the `Down` of another that it monitors. Units: messages that were handled before the signal was,
and microseconds from the end of the running handler until the behavior heard of it; for a stop that includes making
dead letters of all that waited.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

import anyio
import backends
import harness

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.lifecycle import ChildEnded, Down
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.supervision import Restart

BEFORE, HEARD = "messages handled before it", "from the handler's end"
UNITS = {BEFORE: "messages", HEARD: "us"}
SIGNALS = ("stop", "down")


class Busy:
    """Holds its first message until it is let go, and notes when it hears of a signal."""

    def __init__(self, subject: Ref) -> None:
        self.subject = subject
        self.at_work = anyio.Event()
        self.go = anyio.Event()
        self.heard = anyio.Event()
        self.handled = 0
        self.handled_before = -1
        self.heard_at = 0.0

    async def started(self, context: Context) -> None:
        """Monitor the other one."""
        context.monitor(self.subject)

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Handle a message; the first one waits."""
        if not self.at_work.is_set():
            self.at_work.set()
            await self.go.wait()
        else:
            self.handled += 1

    async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
        """Hear of the other one's end."""
        self.note()

    async def stopped(self, context: Context) -> None:
        """Hear of one's own end."""
        self.note()

    def note(self) -> None:
        """Note the first signal."""
        if not self.heard.is_set():
            self.heard_at = perf_counter()
            self.handled_before = self.handled
            self.heard.set()


class Nothing:
    """Is there to be ended."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Do nothing."""


async def hear(messages: int, *, kind: str) -> harness.Run:
    """Send one signal behind waiting messages."""
    async with ActorSystem() as system:
        subject = system.spawn("subject", Nothing, restart=Restart.TEMPORARY)
        busy = Busy(subject)
        ref = system.spawn("busy", lambda: busy, restart=Restart.TEMPORARY, mailbox_depth_max=messages + 1)
        ref.tell_nowait(b"first")
        await busy.at_work.wait()
        for _ in range(messages):
            ref.tell_nowait(b"next")
        if kind == "stop":
            ref.stop()
        else:
            subject.kill()
            await subject.wait_stopped()
        begun = perf_counter()
        busy.go.set()
        await busy.heard.wait()
    seconds = busy.heard_at - begun
    return harness.Run(
        seconds=seconds, operations=messages, figures={BEFORE: busy.handled_before, HEARD: seconds * 1e6}
    )


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure both signals."""
    scenes: dict[str, Callable[[int], Awaitable[harness.Run]]] = {kind: partial(hear, kind=kind) for kind in SIGNALS}
    return [
        harness.observe(
            f"a signal behind {operations:,} waiting messages",
            {f"casework, {kind}": backends.on("asyncio", scene) for kind, scene in scenes.items()},
            units=UNITS,
            operations=operations,
            repetitions=repetitions,
            reach=[harness.Reach(contender=f"casework, {kind}", what=BEFORE, at_most=0.0) for kind in SIGNALS],
        )
    ]


if __name__ == "__main__":
    harness.main(answer, operations=10_000)
