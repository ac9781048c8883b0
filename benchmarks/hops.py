"""What a trace adds to a hop: asks with and without telemetry, and with two bare spans, taking turns in one loop.

The two bare spans are those that an ordinary instrumentation makes of a message: one where it is sent, one where it is
handled. It imports the kernel, so a process that is to get the kernel in another way must not import this module.
It does not know what is allowed.
"""

import itertools
import statistics
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import process_time
from typing import Final

import harness
from messages import DECODER, ENCODER, QUESTION
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Span

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope
from casework.runtime.telemetry import Telemetry

#: The figures that a run gives.
COST, BARE, SHARE = "added to a hop", "two bare spans, same run", "times two bare spans"
#: Blocks of asks that take turns within one run: enough for a median that one busy moment does not move.
BLOCKS: Final = 200
#: Blocks before those that count.
WARM_UP_BLOCKS: Final = 20

Ask = Callable[[], Awaitable[None]]
StartSpan = Callable[[str], Span]


class Hop:
    """Asks the actor below, or echoes when there is none; makes bare spans of what it handles and sends if it is to."""

    def __init__(self, below: str, start_span: StartSpan | None) -> None:
        self.below = below
        self.start_span = start_span

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Answer with what was asked."""
        handling = None if self.start_span is None else self.start_span("handle")
        if self.below:
            ref = context.system.lookup(self.below)
            assert ref is not None, "the actor below was spawned first"
            sending = None if self.start_span is None else self.start_span("send")
            context.reply(await context.ask(ref, envelope.frame, timeout_seconds=30))
            if sending is not None:
                sending.end()
        else:
            context.reply(ENCODER.encode(DECODER.decode(envelope.frame)))
        if handling is not None:
            handling.end()


async def added(operations: int, traces: tuple[str, ...], hops: int) -> harness.Run:
    """Measure what a hop costs more when the messages of asks become spans, and what two bare spans cost there.

    Args:
        operations: asks of each of the three kinds.
        traces: what the asks carry, in turn.
        hops: how many actors an ask goes through.
    """
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    async with ActorSystem() as off, ActorSystem(messages=Telemetry(provider=provider)) as on:
        plain = asking(off, traces, hops)
        traced = asking(on, traces, hops)
        beside = asking(off, traces, hops, provider.get_tracer("bare").start_span)
        taken = await take_turns(operations, (plain, traced, beside))
    cost, bare = (statistics.median(difference(taken[0], one)) / hops * 1e6 for one in taken[1:])
    figures = {COST: cost, BARE: bare, SHARE: cost / bare}
    return harness.Run(seconds=sum(map(sum, taken)), operations=operations, figures=figures)


def asking(system: ActorSystem, traces: tuple[str, ...], hops: int, start_span: StartSpan | None = None) -> Ask:
    """Give what asks once, through actors of its own."""
    turns, top = itertools.cycle(traces), ""
    for _ in range(hops):
        below, top = top, f"hop:{len(system.addresses)}"
        system.spawn(top, partial(Hop, below, start_span))
    ref = system.lookup(top)
    assert ref is not None, "there is a hop at least"

    async def ask() -> None:
        sending = None if start_span is None else start_span("send")
        DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30, trace=next(turns)))
        if sending is not None:
            sending.end()

    return ask


async def take_turns(operations: int, kinds: Sequence[Ask]) -> list[list[float]]:
    """Time blocks of each kind of ask, which take turns; give the seconds of one ask in each block."""
    size = max(operations // BLOCKS, 1)
    taken: list[list[float]] = [[] for _ in kinds]
    for block in range(WARM_UP_BLOCKS + BLOCKS):
        for ask, seconds in zip(kinds, taken, strict=True):
            begun = process_time()
            for _ in range(size):
                await ask()
            if block >= WARM_UP_BLOCKS:
                seconds.append((process_time() - begun) / size)
    return taken


def difference(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """Give by how much each block took longer than the one in the same turn."""
    return [later - earlier for earlier, later in zip(before, after, strict=True)]
