"""Does a system stay itself while one actor is sent ten times what it can do?

An actor whose handler waits 10 ms, so that it handles at most 100 messages a second, is sent 1,000 a second, one for
each operation (10,000: ten seconds). Its mailbox refuses what has no room, or sheds the oldest. Units: megabytes of
resident memory gained once its mailbox and the list of dead letters are full, a third of the way; messages by what
became of them (accepted = handled + waiting + running + dead-lettered, and none lost); and the 99th percentile of asks
to another actor of the same system, which ten callers ask every 2 ms, with the overload and without.
"""

from array import array
from functools import partial
from time import perf_counter

import anyio
import backends
import harness
from messages import DECODER, ENCODER, QUESTION, Echo

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import MailboxFull
from casework.runtime.mailbox import Envelope, Overflow
from casework.runtime.ref import Ref

SENT_PER_SECOND = 1_000
HANDLER_SECONDS = 0.010
CALLERS = 10
PAUSE_SECONDS = 0.002
P99, GROWTH, LOST = "p99 of another actor's ask", "memory gained when full", "accepted and lost"
UNITS = {
    P99: "us",
    GROWTH: "MB",
    "sent": "messages",
    "accepted": "messages",
    "refused": "messages",
    "handled": "messages",
    "waiting": "messages",
    "dead-lettered": "messages",
    LOST: "messages",
}
#: Memory counts as flat within this: an arena of the allocator, or a few.
FLAT_MB = 1.0
QUIET, OVERLOADS = "no overload", {"casework, refuse": Overflow.REFUSE, "casework, shed oldest": Overflow.SHED_OLDEST}
REACH = tuple(
    reach
    for name in OVERLOADS
    for reach in (
        harness.Reach(contender=name, what=P99, against=QUIET, at_most=2.0),
        harness.Reach(contender=name, what=GROWTH, at_most=FLAT_MB),
        harness.Reach(contender=name, what=LOST, at_most=0.0),
    )
)


class Slow:
    """Takes its time."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Wait."""
        await anyio.sleep(HANDLER_SECONDS)


class Overload:
    """Sends at its own pace, whatever becomes of it, and keeps an eye on memory."""

    def __init__(self, ref: Ref | None, messages: int) -> None:
        self.ref = ref
        self.messages = messages
        self.full_bytes = 0
        self.over = anyio.Event()

    async def run(self) -> None:
        """Send as many as are due, each millisecond."""
        begun = perf_counter()
        sent = 0
        while sent < self.messages:
            due = min(int((perf_counter() - begun) * SENT_PER_SECOND), self.messages)
            for _ in range(sent, due):
                self.send()
            sent = due
            if not self.full_bytes and sent > self.messages // 3:
                self.full_bytes = harness.resident_bytes()
            await anyio.sleep(1 / SENT_PER_SECOND)
        self.over.set()

    def send(self) -> None:
        """Send one, unless there is nobody to overload; the encoding is done either way."""
        frame = ENCODER.encode(QUESTION)
        if self.ref is not None:
            try:
                self.ref.tell_nowait(frame)
            except MailboxFull:
                return


async def endure(messages: int, *, overflow: Overflow | None) -> harness.Run:
    """Ask another actor while one is overloaded, or while nothing is."""
    # Room for every answer is taken beforehand: what the benchmark keeps must not look like what the system keeps.
    taken = array("d", bytes(8 * int(messages / SENT_PER_SECOND / PAUSE_SECONDS + 1) * CALLERS * 2))
    answered = 0
    async with ActorSystem() as system:
        slow = system.spawn("slow", Slow, overflow=overflow or Overflow.REFUSE)
        other = system.spawn("other", Echo)
        overload = Overload(slow if overflow is not None else None, messages)

        async def call() -> None:
            nonlocal answered
            while not overload.over.is_set():
                begun = perf_counter()
                DECODER.decode(await other.ask(ENCODER.encode(QUESTION), timeout_seconds=30))
                taken[answered] = perf_counter() - begun
                answered += 1
                await anyio.sleep(PAUSE_SECONDS)

        begun = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(call)
            await overload.run()
        seconds = perf_counter() - begun
        gained = (harness.resident_bytes() - overload.full_bytes) / 1e6
        figures = {P99: harness.percentile(sorted(taken[:answered]), 0.99) * 1e6}
        if overflow is not None:
            figures |= {GROWTH: gained, **counted(system, asked=answered)}
    return harness.Run(seconds=seconds, operations=messages, figures=figures)


def counted(system: ActorSystem, *, asked: int) -> dict[str, float]:
    """Say what became of the messages; the asks of the other actor, all answered, are left out."""
    system.check_conservation()
    seen = system.statistics()
    ended = seen.handled + seen.failed + seen.expired + seen.dead_lettered
    return {
        "sent": seen.sent - asked,
        "accepted": seen.accepted - asked,
        "refused": seen.refused,
        "handled": seen.handled - asked,
        "waiting": seen.waiting + seen.running,
        "dead-lettered": seen.dead_lettered,
        LOST: seen.accepted - ended - seen.waiting - seen.running,
    }


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure without overload and with each overflow, in turns."""
    scenes = {QUIET: None, **OVERLOADS}
    return [
        harness.observe(
            f"10x overload, {operations / SENT_PER_SECOND:g} s",
            {name: backends.on("asyncio", partial(endure, overflow=overflow)) for name, overflow in scenes.items()},
            units=UNITS,
            floor=QUIET,
            operations=operations,
            repetitions=repetitions,
            reach=REACH,
        )
    ]


if __name__ == "__main__":
    harness.main(answer, operations=10_000, repetitions=3)
