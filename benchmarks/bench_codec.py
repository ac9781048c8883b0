"""What do encoding and decoding a task's frame cost, limits and typed refusals included?

Unit: microseconds for encoding, and for decoding, one task of middling size. The floor of each does the same by bare
msgspec, which knows no limits of size or nesting and names no fault.
"""

from collections.abc import Callable
from time import perf_counter

import harness
import msgspec

from casework.protocols import codec
from casework.protocols.wire import Budget, Criterion, OnStop, RiskTier, Task

TASK = Task(
    id="task-1",
    tenant="tenant",
    case_id="case-1",
    step_id="delegate:categorise:1",
    task="categorise",
    goal="one sentence of goal",
    success_criteria=(Criterion(name="every line has a category"),),
    inputs=codec.pack(
        {"receipt": "r-1", "lines": [{"text": f"line {number}", "cents": number} for number in range(5)]}
    ),
    tools_allowed=("read_receipt", "look_up"),
    risk_tier=RiskTier.READ_ONLY,
    deadline=1_750_000_000_000_000,
    attempts=3,
    budget=Budget(calls=10),
    on_stop=OnStop.PARK,
    sender="case",
    purpose="bookkeeping",
)
FRAME = codec.encode(TASK)
ENCODER = msgspec.msgpack.Encoder(order="deterministic", decimal_format="string")
DECODER = msgspec.msgpack.Decoder(Task)


def timed(call: Callable[[], object]) -> Callable[[int], float]:
    """Make a contender of one call."""

    def contend(operations: int) -> float:
        begun = perf_counter()
        for _ in range(operations):
            call()
        return perf_counter() - begun

    return contend


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure each way."""
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "encode": (lambda: ENCODER.encode(TASK), lambda: codec.encode(TASK)),
        "decode": (lambda: DECODER.decode(FRAME), lambda: codec.decode_task(FRAME)),
    }
    return [
        harness.measure(
            f"{way} a task of {len(FRAME)} bytes",
            {"bare msgspec": timed(floor), f"casework {way}": timed(own)},
            floor="bare msgspec",
            operations=operations,
            repetitions=repetitions,
        )
        for way, (floor, own) in ways.items()
    ]


if __name__ == "__main__":
    harness.main(answer, operations=200_000)
