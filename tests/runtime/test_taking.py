"""A delivery takes the case that it wakes: no claim of its own, one wait for the disk, nothing lost on the way."""

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.store import sqlite_writer
from casework.runtime.store.base import CaseStatus, Delivered, DeliverResult, Nobody, Unavailable, Unknown
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.taking import Delivery
from tests.support.flow_scene import KEY, Ask, crew, runtime, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore

END = encode(Arrived(key="end", message_id="end", by="bob"))


async def twice(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    await case.park("end", reason="waits")
    return inputs.n


class Counting(OddStore):
    """Counts claims that gave something; deliveries that take can be held, or their answer and case lost."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.taken = 0
        self.go = anyio.Event()
        self.go.set()
        self.told = anyio.Event()
        self.loses: DeliverResult | None = None

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        claims = await super().claim(node, limit=limit, now=now)
        self.given += len(claims.cases)
        return claims

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> DeliverResult:
        given: list[Claimed] = []
        if isinstance(self.loses, Unavailable):
            return self.loses
        answer: DeliverResult = await self.inner.deliver_and_claim(node, delivery, now=now, taken=given.append)
        self.taken += len(given)
        self.told.set()
        await self.go.wait()
        if self.loses is not None:
            return self.loses
        for claimed in given:
            taken(claimed)
        return answer


async def released(machine: Runtime, clock: ManualClock) -> None:
    """Open a case, and let it park and be given back."""
    await machine.open("twice", "c1", Ask(4))
    await machine.wait("c1")
    await anyio.wait_all_tasks_blocked()
    clock.advance(1.5)
    while machine.statistics()[:2] != (0, 0):
        await anyio.lowlevel.checkpoint()
    await machine.wait_idle()


async def test_a_delivery_brings_its_parked_case_along_without_a_claim() -> None:
    store, clock = Counting(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), store, clock) as machine:
            await released(machine, clock)
            store.given = 0
            assert await machine.deliver("c1", key="go", by="ann") == Delivered((KEY,))
            assert [wait.key for wait in (await machine.wait("c1")).waits] == ["end"]
            assert (store.given, store.taken) == (0, 1)
            await machine.deliver("end", by="ann")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert (store.given, store.taken, await value(store)) == (0, 1, 4)


async def test_what_comes_while_a_case_is_being_taken_is_not_lost() -> None:
    store, clock = Counting(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), store, clock) as machine, anyio.create_task_group() as group:
            await released(machine, clock)
            store.go = anyio.Event()

            async def delivers() -> None:
                await machine.deliver("c1", key="go", by="ann")

            group.start_soon(delivers)
            await store.told.wait()
            await store.inner.deliver("default", "c1", "second", END)
            await anyio.wait_all_tasks_blocked()
            store.go.set()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


async def test_a_case_that_a_delivery_took_and_nobody_heard_of_is_worked_on() -> None:
    store, clock = Counting(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), store, clock) as machine:
            await released(machine, clock)
            store.loses = Unknown("who knows")
            assert isinstance(await machine.deliver("c1", key="go", by="ann"), Unknown)
            store.loses = None
            await machine.wait_idle()
            row = await store.case(KEY)
            assert [wait.key for wait in row.waits] == ["end"]


async def test_a_delivery_that_is_cancelled_leaves_no_case_alone() -> None:
    store, clock = Counting(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), store, clock) as machine, anyio.create_task_group() as group:
            await released(machine, clock)
            store.go = anyio.Event()

            async def delivers() -> None:
                await machine.deliver("c1", key="go", by="ann")

            group.start_soon(delivers)
            await store.told.wait()
            group.cancel_scope.cancel()
        async with runtime(crew(twice), store, clock) as machine:
            await machine.wait_idle()
            assert [wait.key for wait in (await machine.wait("c1")).waits] == ["end"]


async def test_a_delivery_to_a_store_that_is_away_or_to_nobody_leaves_nothing_behind() -> None:
    store, clock = Counting(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), store, clock) as machine:
            await released(machine, clock)
            store.loses = Unavailable("away")
            assert await machine.deliver("c1", key="go", by="ann") == Unavailable("away")
            store.loses = None
            assert isinstance(await machine.deliver("nobody", by="ann"), Nobody)
            await machine.wait_idle()
            assert machine.statistics()[:2] == (0, 0)


@pytest.mark.parametrize("target", ["c1", "go"])
async def test_a_draining_node_delivers_and_takes_nothing(target: str) -> None:
    store, clock = Counting(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), store, clock) as machine:
            await released(machine, clock)
            await machine.node.drain(1)
            await machine.deliver(target, key="go" if target == "c1" else "", by="ann")
            assert store.taken == 0
            assert len(await store.inbox(KEY)) == 1
            assert machine.statistics()[:2] == (0, 0)


async def test_a_case_on_disk_is_woken_with_one_commit_that_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "OWED_SECONDS_MAX", 60.0)
    clock = ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(twice), f"sqlite:///{tmp_path}/cases.db", clock) as machine:
            await released(machine, clock)
            store = machine.store
            assert isinstance(store, SqliteStore)
            before = store.statistics()
            await machine.deliver("c1", key="go", by="ann")
            await machine.wait("c1")
            await machine.wait_idle()
            after = store.statistics()
            assert after.waited - before.waited == 1
