"""How long does a parked case take to act on its first message, among very many that are parked too?

Units: milliseconds from the call of `deliver` until the case's next record is durable and the case knows it; and how
much memory (RSS) a runtime holds that has nothing but parked cases. The number of operations is the number of parked
cases: each has 50 records in its log (calls, notes, moments and chance) and waits for something, in one SQLite file
(WAL, synchronous=FULL) that is made once, by taking in copies of a case that was really run. Up to 300 of them, from
all over the file, are woken one after another, each for the first time: one transaction delivers its message and gives
the case with its log to the node, which checks the chain, replays it, and appends what it does next; one wait for the
disk makes the message and that record durable. The parts of the way are shown by their medians. After each, four
kilobytes are appended to a file beside it and waited for with `fdatasync`: what is required is held against that disk
at that time.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import harness
import msgspec
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.policy import Limits, Policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.archive import Archive, Transfer
from casework.runtime.store.base import Append, AppendResult, CaseKey, Record
from casework.runtime.store.chain import GENESIS, chained
from casework.runtime.store.claims import Claimed
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.taking import Delivery
from casework.runtime.store.urls import open_store

#: Of each kind of step; with the opening and the wait these are 50 records.
ROUNDS = 12
RECORDS = 4 * ROUNDS + 2
#: Cases that are woken at most.
WOKEN = 300
#: Cases that a store takes in at once while the file is made.
BATCH = 250
#: So many cases are parked in the smaller file.
FEW_SHARE = 100
#: Bytes of the file beside, as many as a page of SQLite has.
PAGE = bytes(4_096)
MEDIAN, SLOW = "first message, median", "first message, p95"
DISK, DISK_SLOW, BEYOND = "fdatasync, median", "fdatasync, p95", "p95 beyond two fdatasync p95"
CLAIM, REPLAY, APPEND = "delivered and claimed", "read, checked and replayed", "next record durable"
MILLIS = (MEDIAN, SLOW, DISK, DISK_SLOW, BEYOND, CLAIM, REPLAY, APPEND)
MEMORY = "resident memory"
REACH = harness.Reach(contender="casework", what=BEYOND, at_most=2.0)


class Number(Struct, frozen=True):
    """What a step is given."""

    number: int


@tool(tier=RiskTier.READ_ONLY)
async def double(arguments: Number, context: ToolContext) -> int:
    """Give a small value, as a look-up does."""
    return arguments.number * 2


async def waits(case: Case, inputs: Number) -> None:
    """Do what leaves 50 records with the one that waits, and wait once more afterwards."""
    for number in range(ROUNDS):
        await case.call("double", Number(number), returns=int)
        await case.note("a line for the reader of the log")
        await case.now()
        await case.random()
    await case.park("go", reason="something is missing")
    await case.park("end", reason="something else is missing")


def crew() -> Crew:
    """Make the smallest crew that can do it."""
    return Crew(
        "bench",
        flows=(Flow.of(waits, inputs=Number, tools=("double",)),),
        agents=(),
        tools=(double,),
        policy=Policy(name="bench", flows={"waits": Limits(tools=("double",))}),
    )


async def pattern() -> Transfer:
    """Run one case until it waits, and give all that its store knows of it."""
    store = MemoryStore()
    async with Runtime(crew(), store) as runtime:
        key = await runtime.open("waits", "pattern", Number(0))
        await runtime.wait("pattern")
    found = await store.transfer(key)
    assert found is not None
    assert len(found.records) == RECORDS
    return found


def copied(pattern: Transfer, case_id: str) -> Transfer:
    """Give the same case under another id, with a chain of its own."""
    key, head = CaseKey(pattern.row.key.tenant, case_id), GENESIS
    records: list[Record] = []
    for record in pattern.records:
        head = chained(head, key, record)
        records.append(msgspec.structs.replace(record, hash=head))
    return Transfer(msgspec.structs.replace(pattern.row, key=key, head=head), tuple(records))


async def fill(url: str, cases: int) -> None:
    """Make a file with so many parked cases."""
    made = await pattern()
    store = await open_store(url, World())
    assert isinstance(store, Archive)
    for start in range(0, cases, BATCH):
        numbers = range(start, min(start + BATCH, cases))
        await store.bring_in([copied(made, f"case-{number}") for number in numbers])
    await store.aclose()


class Timed:
    """A store that notes when it was asked to claim, and when it had claimed and appended."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.claimed = self.asked = self.durable = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> Any:
        """Deliver, and claim in the same transaction."""

        def heard(claimed: Claimed) -> None:
            self.claimed = perf_counter()
            taken(claimed)

        return await self._store.deliver_and_claim(node, delivery, now=now, taken=heard)

    async def claim(self, node: str, *, limit: int, now: int) -> Any:
        """Claim."""
        given = await self._store.claim(node, limit=limit, now=now)
        if not self.claimed:
            self.claimed = perf_counter()
        return given

    async def append(self, append: Append) -> AppendResult:
        """Append."""
        # A case that was woken before is given back a second later: that has no records.
        if append.records:
            self.asked = perf_counter()
        result: AppendResult = await self._store.append(append)
        if append.records:
            self.durable = perf_counter()
        return result


async def woken(url: str, cases: int) -> dict[str, float]:
    """Wake some, one after another; give the figures."""
    ways: list[tuple[float, float, float]] = []
    disk: list[float] = []
    store = Timed(await open_store(url, World()))
    with tempfile.NamedTemporaryFile(dir=Path(url.removeprefix("sqlite:///")).parent) as beside:
        async with Runtime(crew(), store) as runtime:
            await runtime.wait_idle()
            for number in some(cases):
                store.claimed = 0.0
                begun = perf_counter()
                await runtime.deliver(f"case-{number}", key="go", by="bench", value=number)
                row = await runtime.wait(f"case-{number}")
                assert [wait.key for wait in row.waits] == ["end"], f"case-{number} waits for {row.waits}"
                ways.append((store.claimed - begun, store.asked - begun, store.durable - begun))
                disk.append(synced(beside))
        await store.aclose()
    return told(ways, disk)


def synced(file: Any) -> float:
    """Append a page and wait for the disk; give the seconds of the wait."""
    file.write(PAGE)
    file.flush()
    begun = perf_counter()
    os.fdatasync(file.fileno())
    return perf_counter() - begun


def told(ways: Sequence[tuple[float, float, float]], disk: Sequence[float]) -> dict[str, float]:
    """Make the figures, in milliseconds."""
    whole, waited = sorted(way[-1] for way in ways), sorted(disk)
    slow, disk_slow = harness.percentile(whole, 0.95), harness.percentile(waited, 0.95)
    parts = [statistics.median(way[0] for way in ways)]
    parts += [statistics.median(way[at] - way[at - 1] for way in ways) for at in (1, 2)]
    values = (statistics.median(whole), slow, statistics.median(waited), disk_slow, slow - 2 * disk_slow, *parts)
    return {name: value * 1e3 for name, value in zip(MILLIS, values, strict=True)}


async def resident(url: str) -> dict[str, float]:
    """Begin to work on a file, and give the memory once there is nothing to do."""
    async with Runtime(crew(), url) as runtime:
        await runtime.wait_idle()
        return {MEMORY: harness.resident_bytes() / 1e6}


def some(cases: int) -> range:
    """Give the numbers of some cases, from all over the file."""
    return range(0, cases, max(cases // WOKEN, 1))[:WOKEN]


def on(function: Callable[..., Any], *given: object) -> harness.Contender:
    """Make a contender of what gives figures, on asyncio."""
    return lambda operations: harness.Run(
        seconds=0.0, operations=operations, figures=anyio.run(partial(function, *given))
    )


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Make both files; wake cases in fresh copies of the first, and read memory over both."""
    few = max(operations // FEW_SHARE, 1)
    with tempfile.TemporaryDirectory() as folder:
        many_url, few_url = (f"sqlite:///{folder}/{name}.db" for name in ("many", "few"))
        for url, cases in ((many_url, operations), (few_url, few)):
            # In a process of its own: the parent of the contenders holds nothing.
            harness.in_fork(partial(anyio.run, fill, url, cases), type(None))
        sized = {f"{few:,} parked": on(resident, few_url), f"{operations:,} parked": on(resident, many_url)}
        memory = harness.observe(
            "memory of a runtime whose cases are parked",
            sized,
            units={MEMORY: "MB"},
            operations=operations,
            repetitions=repetitions,
            reach=[
                harness.Reach(contender=f"{operations:,} parked", what=MEMORY, against=f"{few:,} parked", at_most=1.1)
            ],
        )
        wakes = harness.observe(
            f"the first message to one of {operations:,} parked cases of {RECORDS} records",
            {"casework": on(woken, many_url, operations)},
            units=dict.fromkeys(MILLIS, "ms"),
            operations=operations,
            repetitions=1,
            reach=[REACH],
            note=f"{len(some(operations))} cases were woken, each once; the parts of the way are medians.",
        )
    return [wakes, memory]


if __name__ == "__main__":
    harness.main(answer, operations=100_000, repetitions=3)
