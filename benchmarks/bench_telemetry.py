"""What does telemetry cost: switched off, nothing; switched on, how much for each message between actors?

Switched off: microseconds for one ask by one caller of one actor, beside the same with the hook calls deleted from the
kernel (`stripped.py`), each run in a fresh process that imports the kernel itself. Switched on: microseconds that a
trace adds to one message handled, which is a hop (`hops.py`). In one loop three kinds of ask take turns: without
telemetry, with it, and without it but with two bare spans of the OpenTelemetry SDK (a name, begun, ended) for each hop,
one where the message is sent and one where it is handled; the cost is the median difference to the first. Spans are
dropped when they end: what an exporter does comes on top. All of it is processor time: nothing here waits, and the
differences are smaller than what other processes take away.
"""

import statistics
from time import process_time

import backends
import harness
import stripped

DELETED, OFF = "hook calls deleted", "telemetry off"
SAMPLED, DEEP, FRESH = "a trace, sampled", "the same, two hops deep", "the same, each from elsewhere"
UNSAMPLED = "a trace, not sampled"
#: As `hops.py` names them; it must not be imported here.
COST, BARE, SHARE = "added to a hop", "two bare spans, same run", "times two bare spans"
REACH_OFF = (harness.Reach(contender=OFF, against=DELETED, at_most=1.05),)
REACH_ON = (
    harness.Reach(contender=SAMPLED, what=SHARE, at_most=1.0),
    harness.Reach(contender=DEEP, what=SHARE, at_most=1.0),
    harness.Reach(contender=UNSAMPLED, what=SHARE, at_most=0.25),
)
#: What trio costs is no other question.
LOOPS = ("asyncio", "uvloop")
#: Within a run on spans blocks take turns, so fewer runs are needed than where each run is one figure.
REPETITIONS_ON = 5
#: Blocks of a run whose median counts: what a busy moment of the machine slows is left out.
BLOCKS = 50
#: A parent whose traceparent says that it is recorded, and one that is not.
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_UNSAMPLED = f"{TRACE[:-2]}00"
#: Different parents of what comes from elsewhere: far more than are kept.
TRACES = 5_000


def asking(backend: str, *, hooked: bool) -> harness.Contender:
    """Make a contender that asks, with or without the hook calls in the kernel."""

    def contend(operations: int) -> float:
        stripped.install(strip=not hooked)
        assert stripped.is_hooked() is hooked, "the process has the kernel that it is to measure"
        return backends.on(backend, one_after_the_other)(operations)

    return contend


async def one_after_the_other(operations: int) -> float:
    """Ask an actor, one question after the other; give the seconds by the median block."""
    # Imported late, here and below: in some processes the kernel has to be stripped before anybody imports it.
    from messages import DECODER, ENCODER, QUESTION, Echo

    from casework.runtime.actorsystem import ActorSystem

    async with ActorSystem() as system:
        ref = system.spawn("echo", Echo)
        taken: list[float] = []
        size = max(operations // BLOCKS, 1)
        for _ in range(BLOCKS):
            begun = process_time()
            for _ in range(size):
                DECODER.decode(await ref.ask(ENCODER.encode(QUESTION), timeout_seconds=30))
            taken.append((process_time() - begun) / size)
        return statistics.median(taken) * operations


def tracing(traces: tuple[str, ...], *, hops: int = 1) -> harness.Contender:
    """Make a contender that measures what a hop costs more when the messages of asks become spans."""

    async def contend(operations: int) -> harness.Run:
        from hops import added

        return await added(operations, traces, hops)

    return backends.on("asyncio", contend)


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Compare switched off with the hook calls deleted, then weigh a trace against bare spans."""
    elsewhere = tuple(f"00-{number:032x}-{number:016x}-01" for number in range(1, TRACES + 1))
    off = [
        harness.measure(
            f"telemetry switched off, {backend}",
            {DELETED: asking(backend, hooked=False), OFF: asking(backend, hooked=True)},
            floor=DELETED,
            operations=operations,
            repetitions=repetitions,
            reach=REACH_OFF,
        )
        for backend in backends.BACKENDS
        if backend in LOOPS
    ]
    on = harness.observe(
        "telemetry switched on, asyncio",
        {
            SAMPLED: tracing((TRACE,)),
            DEEP: tracing((TRACE,), hops=2),
            FRESH: tracing(elsewhere),
            UNSAMPLED: tracing((TRACE_UNSAMPLED,)),
        },
        units={COST: "us", BARE: "us", SHARE: "x"},
        operations=operations,
        repetitions=min(repetitions, REPETITIONS_ON),
        reach=REACH_ON,
        note="What comes from elsewhere, each with a traceparent never seen before, is only reported.",
    )
    return [*off, on]


if __name__ == "__main__":
    harness.main(answer, repetitions=15)
