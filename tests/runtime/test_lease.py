"""A node that has not renewed its lease starts no effect; what another node took meanwhile it leaves alone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import Done, Intent
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.lease import FRESH_SECONDS, LEASE_SECONDS, Lease
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, CaseStatus
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, closed, crashing, crew, entries, runtime, until
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Gone, SmallStaff, SmallTool


class Stuck(OddStore):
    """A store whose renewals hang unless `free`; with `deaf`, the answers to appends do so as well."""

    def __init__(self, inner: MemoryStore | None = None) -> None:
        super().__init__(inner)
        self.free = anyio.Event()
        self.free.set()
        self.deaf = False

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        await self.free.wait()
        await self.inner.renew(node, until=until, carries=carries)

    async def append(self, append: Append) -> AppendResult:
        result = await super().append(append)
        if self.deaf:
            await self.free.wait()
        return result


class Desk:
    """A tool that books, and one before it that ends when told to."""

    def __init__(self) -> None:
        self.booked = 0
        self.go = anyio.Event()

    async def wait(self, arguments: object) -> int:
        await self.go.wait()
        return 0

    async def book(self, arguments: object) -> int:
        self.booked += 1
        return self.booked

    async def look_up(self, arguments: object) -> int:
        if not self.booked:
            raise Gone("nothing was booked")
        return self.booked


async def books(case: Case, inputs: Ask) -> int:
    await case.call("wait", {}, returns=int)
    return await case.call("book", {}, returns=int)


def staff(desk: Desk) -> SmallStaff:
    book = SmallTool(desk.book, RiskTier.REVERSIBLE, lookup=desk.look_up)
    return crew(books, tools={"wait": SmallTool(desk.wait), "book": book})


@pytest.mark.promise("NODE-5")
async def test_a_write_waits_while_the_lease_is_not_renewed_and_is_made_once_it_is() -> None:
    store, clock, desk = Stuck(), ManualClock(), Desk()
    with anyio.fail_after(5):
        async with runtime(staff(desk), store, clock) as machine:
            await machine.open("books", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            store.free = anyio.Event()
            for _ in range(3):
                clock.advance(1)
                await anyio.wait_all_tasks_blocked()
            desk.go.set()
            await until(machine, lambda: any(record.kind == "intent" for a in store.appends for record in a.records))
            await anyio.wait_all_tasks_blocked()
            assert desk.booked == 0
            store.free.set()
            await anyio.wait_all_tasks_blocked()
            clock.advance(1)
            await closed(store)
            assert desk.booked == 1


@pytest.mark.promise("NODE-5")
async def test_a_read_and_a_log_record_need_no_fresh_lease() -> None:
    store, clock, slow = Stuck(), ManualClock(), anyio.Event()

    async def reads(case: Case, inputs: Ask) -> list[int]:
        return [await case.call("read", {"n": n}, returns=int) for n in range(2)]

    async def read(arguments: object) -> int:
        await slow.wait()
        return 7

    with anyio.fail_after(5):
        async with runtime(crew(reads, tools={"read": SmallTool(read)}), store, clock) as machine:
            await machine.open("reads", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            store.free = anyio.Event()
            clock.advance(LEASE_SECONDS)
            await anyio.wait_all_tasks_blocked()
            slow.set()
            await closed(store)
            store.free.set()


@pytest.mark.promise("NODE-5")
async def test_a_node_claims_nothing_while_its_lease_is_not_renewed() -> None:
    store, clock, desk = Stuck(), ManualClock(), Desk()
    with anyio.fail_after(5):
        async with runtime(staff(desk), store, clock) as machine:
            await machine.wait_idle()
            store.free = anyio.Event()
            clock.advance(FRESH_SECONDS)
            await machine.open("books", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            row = await store.inner.case(KEY)
            assert row is not None
            assert row.epoch == 0
            store.free.set()
            await anyio.wait_all_tasks_blocked()
            clock.advance(1)
            desk.go.set()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


@asynccontextmanager
async def stopped_before_its_write(
    inner: MemoryStore, clock: ManualClock, desk: Desk
) -> AsyncIterator[tuple[Stuck, Runtime]]:
    """Give a runtime that has appended an intent and hears nothing of the store since, as if it were stopped."""
    store = Stuck(inner)
    async with crashing(runtime(staff(desk), store, clock)) as machine:
        await machine.open("books", "c1", Ask())
        await anyio.wait_all_tasks_blocked()
        store.deaf, store.free = True, anyio.Event()
        desk.go.set()
        while not await entries(inner, Intent):
            await anyio.lowlevel.checkpoint()
        # It is stopped after this append has reached the store, and before it hears so.
        yield store, machine


@pytest.mark.promise("NODE-5")
async def test_a_node_that_comes_back_after_another_took_its_case_starts_no_effect_and_appends_nothing() -> None:
    inner, clock, desk = MemoryStore(), ManualClock(), Desk()
    with anyio.fail_after(5):
        async with stopped_before_its_write(inner, clock, desk) as (store, stale):
            clock.advance(3 * LEASE_SECONDS)
            async with runtime(staff(desk), inner, clock):
                await closed(inner)
            booked, length = desk.booked, len(await inner.records(KEY))
            # It goes on: the answer to its append, then its renewals.
            store.free.set()
            await anyio.wait_all_tasks_blocked()
            clock.advance(1)
            await until(stale, lambda: stale.statistics().active == 0)
            await anyio.wait_all_tasks_blocked()
            assert (desk.booked, len(await inner.records(KEY))) == (booked, length)
            assert booked <= 1


@pytest.mark.promise("NODE-5")
async def test_a_case_that_its_node_still_has_after_a_pause_goes_on_once_that_is_known() -> None:
    inner, clock, desk = MemoryStore(), ManualClock(), Desk()
    store = Stuck(inner)
    with anyio.fail_after(5):
        async with runtime(staff(desk), store, clock) as machine:
            await machine.open("books", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            clock.advance(3 * LEASE_SECONDS)
            await anyio.wait_all_tasks_blocked()
            desk.go.set()
            await closed(store)
        assert desk.booked == 1
        assert len(await entries(store, Intent)) == len(await entries(store, Done)) == 1
        row = await inner.case(KEY)
        assert row is not None
        assert row.status is CaseStatus.CLOSED


def fresh(lease: Lease) -> bool:
    return lease.fresh


async def test_a_lease_is_fresh_for_a_while_after_the_moment_at_which_its_renewal_was_asked_for() -> None:
    clock = ManualClock()
    lease = Lease(clock)
    assert not fresh(lease)
    asked = lease.moment()
    clock.advance(1)
    lease.renewed(asked)
    assert fresh(lease)
    clock.advance(FRESH_SECONDS - 1)
    assert not fresh(lease)


async def test_a_renewal_that_comes_late_begins_a_new_term_and_one_in_time_does_not() -> None:
    clock = ManualClock()
    lease = Lease(clock)
    lease.renewed(lease.moment())
    first = lease.term
    clock.advance(LEASE_SECONDS - 0.1)
    lease.renewed(lease.moment())
    assert lease.term == first
    asked = lease.moment()
    clock.advance(LEASE_SECONDS)
    lease.renewed(asked)
    assert lease.term == first + 1
    assert not fresh(lease)


@pytest.mark.parametrize("standing_still", ["steady", "wall"])
async def test_a_lease_ends_by_whichever_clock_goes_on(standing_still: str) -> None:
    class OneClock(ManualClock):
        def monotonic(self) -> float:
            return 0.0 if standing_still == "steady" else super().monotonic()

        def wall_micros(self) -> int:
            return 0 if standing_still == "wall" else super().wall_micros()

    clock = OneClock()
    lease = Lease(replace(World(), clock=clock).clock)
    lease.renewed(lease.moment())
    assert fresh(lease)
    clock.advance(FRESH_SECONDS)
    assert not fresh(lease)
    lease.over()
    with anyio.move_on_after(0.01) as scope:
        await lease.wait_fresh()
    assert scope.cancelled_caught
