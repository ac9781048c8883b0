"""Nodes that run a crew in a simulation, a client, a person who decides, and what must hold at the end.

Everything goes through requests that may be lost, come twice, or find a node dead; the client and the person ask again.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import Closed, Decided, Entry, Review, ReviewAction
from casework.runtime.errors import Stopping, StoreUnavailable
from casework.runtime.runtime import Runtime
from casework.runtime.simulation.errors import Unreachable
from casework.runtime.simulation.node import Place, SimulatedNode
from casework.runtime.simulation.simulation import Simulation
from casework.runtime.staffing import Staffing
from casework.runtime.store.base import (
    CaseKey,
    CaseRow,
    CaseStatus,
    DecisionTaken,
    Delivered,
    DeliverResult,
    Duplicate,
    ReviewRow,
    WaitKind,
)
from casework.runtime.store.chain import broken_at
from casework.runtime.telemetry import Telemetry
from tests.support.simulated_bank import Bank, Refund, bank_crew

T = TypeVar("T")

#: Virtual seconds after the heal in which everything must have come to its end.
END_SECONDS = 4 * 3_600.0
#: Virtual seconds for which no log grows any more, after which none ever will: no flow sleeps for longer, nor
#: does anybody outside; but alarms that were set by a clock that was ahead ring later by as much.
QUIET_SECONDS = 300.0
#: Seconds for which a person waits before saying whether something happened: what was under way has arrived by then.
SETTLED_SECONDS = 60.0

#: Times that a letter is brought before nobody is there to take it.
TAKEN_TRIES = 1_000

CASES = [
    *(("refund", f"refund-{n}", Refund(f"c{n}", 40 + 40 * n)) for n in range(4)),
    *(("claim", f"claim-{n}", Refund(f"c{n}", 10 + n)) for n in range(2)),
    *(("cash", f"cash-{n}", Refund(f"c{n}", 20 + n)) for n in range(2)),
    *(("letter", f"letter-{n}", Refund(f"c{n}", 30 + n)) for n in range(2)),
    ("coins", "coins-0", Refund("c0", 0)),
]


def service(crew: Staffing) -> Callable[[Place[Runtime]], Awaitable[None]]:
    """Make what a node runs."""

    async def serve(place: Place[Runtime]) -> None:
        while True:
            try:
                async with Runtime(crew, place.store, world=place.world, telemetry=Telemetry.off()) as runtime:
                    place.ready(runtime)
                    await anyio.sleep_forever()
            except StoreUnavailable:
                await place.world.clock.sleep(1.0)

    return serve


class Outsiders:
    """The client and the person, who know nodes by their names."""

    def __init__(self, simulation: Simulation, nodes: list[SimulatedNode[Runtime]], bank: Bank) -> None:
        self.simulation = simulation
        self.nodes = nodes
        self.bank = bank
        self.decided: dict[str, ReviewAction] = {}
        self._chance = simulation.mischief.chance("outsiders")

    async def insist(self, request: Callable[[Runtime], Awaitable[T]]) -> T:
        """Ask one node after the other until one answers."""
        while True:
            try:
                return await self._chance.choice(self.nodes).ask(request)
            except (Unreachable, StoreUnavailable, Stopping):
                await anyio.sleep(1.0)

    async def open_all(self) -> None:
        for flow, case_id, inputs in CASES:
            await self.insist(lambda runtime, a=flow, b=case_id, c=inputs: runtime.open(a, b, c))  # type: ignore[misc]
            await anyio.sleep(self._chance.uniform(0.0, 4.0))

    async def write_letters(self) -> None:
        """Deliver each letter, early or late, until somebody takes it."""
        for flow, _, inputs in CASES:
            if flow != "letter":
                continue
            await anyio.sleep(self._chance.uniform(0.0, 30.0))
            key = f"letter:{inputs.customer}"
            for _ in range(TAKEN_TRIES):
                taken = await self.insist(lambda runtime, k=key: runtime.deliver(k, by="post", key=k, value="hello"))  # type: ignore[misc]
                if isinstance(taken, Delivered | Duplicate):
                    break
                await anyio.sleep(5.0)

    async def throw_coins(self) -> None:
        """Give each coin until it was taken, and some of them again afterwards, as a sender does who heard nothing."""
        for worth in (1, 10, 100):
            for _ in range(TAKEN_TRIES):
                taken = await self._throw(worth)
                if isinstance(taken, Delivered | Duplicate):
                    break
                await anyio.sleep(5.0)
            if self._chance.random() < 0.5:
                await self._throw(worth)

    async def _throw(self, worth: int) -> DeliverResult:
        return await self.insist(
            lambda runtime: runtime.deliver("coins-0", by="client", key="coin", value=worth, message_id=f"coin-{worth}")
        )

    async def decide_all(self) -> None:
        """Look at what is open now and then, and decide: by the books where somebody asks whether it happened."""
        while True:
            await anyio.sleep(20.0)
            for review in await self.insist(lambda runtime: runtime.store.reviews(state="open")):
                await self._decide(review)

    async def _decide(self, review: ReviewRow) -> None:
        entry = decode_entry(review.frame)
        assert isinstance(entry, Review)
        case_id = review.key.case_id
        if entry.rule == "effect.unknown":
            age = self.simulation.loop.time() - (review.opened_at / 1e6 - 1_767_225_600)
            if age < SETTLED_SECONDS:
                return
            action = ReviewAction.APPROVE if self.bank.paid(case_id) else ReviewAction.REJECT
        else:
            action = ReviewAction.REJECT if case_id.endswith("3") else ReviewAction.APPROVE
        given = await self.insist(lambda runtime: runtime.decide(review.id, action, by="eve"))
        if isinstance(given, DecisionTaken):
            self.decided.setdefault(review.id, action)

    async def release(self, row: CaseRow) -> None:
        """Have a case tried again that is held to be what kills its processes: it was the plan that did."""
        for wait in row.waits:
            if wait.kind is WaitKind.OPERATOR:
                assert "poison" in wait.reason, f"{row.key.case_id} needs an operator: {wait.reason}"
                await self.insist(
                    lambda runtime, key=wait.key: runtime.deliver(  # type: ignore[misc]
                        row.key.case_id, by="operator", key=key, message_id=f"again:{key}:{row.next_seq}"
                    )
                )


class Stuck:
    """Finds out that cases which have not ended never will: their logs grow no more."""

    def __init__(self, simulation: Simulation) -> None:
        plan = simulation.mischief.plan
        self._mischief, self._loop = simulation.mischief, simulation.loop
        self._until = plan.heal_seconds + END_SECONDS
        self._quiet = QUIET_SECONDS + (plan.jump_seconds if plan.jump_every_seconds else 0.0)
        self._lengths: dict[CaseKey, int] = {}
        self._since = 0.0

    def look(self, unended: list[CaseRow]) -> None:
        """Hear which cases have not ended; raises AssertionError where they do not change any more."""
        now = self._loop.time()
        lengths = {row.key: row.next_seq for row in unended}
        if lengths != self._lengths or not self._mischief.healed:
            self._lengths, self._since = lengths, now
        told = [(row.key.case_id, row.status, row.waits, row.node) for row in unended]
        assert now < min(self._until, self._since + self._quiet), f"not ended: {told}"


async def bank_run(simulation: Simulation) -> dict[str, str]:
    """Run the bank's crew on three nodes until everything has come to its end, and check it."""
    bank = Bank()
    crew = bank_crew(bank, simulation)
    nodes = [simulation.node(name, service(crew)) for name in ("a", "b", "c")]
    outsiders = Outsiders(simulation, nodes, bank)
    simulation.begin()
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(outsiders.decide_all)
        async with anyio.create_task_group() as clients:
            clients.start_soon(outsiders.open_all)
            clients.start_soon(outsiders.write_letters)
            clients.start_soon(outsiders.throw_coins)
        rows = await _ended(simulation, outsiders)
        jobs.cancel_scope.cancel()
    await check(simulation, bank, rows)
    for node in nodes:
        if node.service is not None:
            node.service.node._system.check_conservation()
    return {row.key.case_id: row.result or "operator" for row in rows}


async def _ended(simulation: Simulation, outsiders: Outsiders) -> list[CaseRow]:
    stuck = Stuck(simulation)
    while True:
        rows = list(await simulation.disk.inner.cases())
        unended = [row for row in rows if row.status is not CaseStatus.CLOSED]
        if simulation.mischief.healed:
            if len(rows) == len(CASES) and not unended:
                return rows
            for row in unended:
                await outsiders.release(row)
        stuck.look(unended)
        await anyio.sleep(30.0)


async def check(simulation: Simulation, bank: Bank, rows: list[CaseRow]) -> None:
    """No case lost, no effect twice, none after a no; every log whole, and the money where the logs say."""
    assert {row.key.case_id for row in rows} == {case_id for _, case_id, _ in CASES}
    for row in rows:
        case_id, records = row.key.case_id, await simulation.disk.inner.records(row.key)
        entries = [decode_entry(record.frame) for record in records]
        assert broken_at(row, records) is None, (case_id, broken_at(row, records))
        paid = bank.paid(case_id)
        asked = [entry.rule for entry in entries if isinstance(entry, Review)]
        assert simulation.mischief.happened or "effect.unknown" not in asked, "nobody knows, and nothing went wrong"
        assert len(paid) <= 1, f"{case_id} paid {paid}: {_told(entries)}"
        assert row.status is CaseStatus.CLOSED, f"{case_id} needs an operator: {row.waits} {_told(entries)}"
        closed = entries[-1]
        assert isinstance(closed, Closed), _told(entries)
        assert not closed.error, f"{case_id}: {closed.error} {_told(entries)}"
        if b"given up" in bytes(closed.value):
            continue
        if case_id.startswith("coins"):
            assert unpack(closed.value, int) == 111, f"{case_id} counted {unpack(closed.value, int)}: {_told(entries)}"
            continue
        rejected = any(
            isinstance(each, Decided) and each.action is ReviewAction.REJECT for each in entries
        ) and case_id.startswith("refund")
        euros = {case: inputs.euros for _, case, inputs in CASES}[case_id]
        if rejected:
            assert not paid, f"{case_id} was paid although it was rejected"
        else:
            assert [each.euros for each in paid] == [euros], f"{case_id} closed, but paid {paid}: {_told(entries)}"


def _told(entries: list[Entry]) -> str:
    return "\n".join(f"  {type(each).__name__} {each}"[:200] for each in entries)
