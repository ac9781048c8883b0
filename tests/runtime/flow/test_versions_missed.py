"""A case that waits for a version of its flow: its row is no damage, and who lived all along and has it tells it."""

from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace as changed

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.carrying import missing
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseRow, CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from casework.runtime.store.waitcheck import odd_wait
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import KEY, LEASE_OVER, closed, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.versioned_service import Order, versioned


class Cut(OddStore):
    """A store that one node cannot reach to renew its lease, while it is cut off."""

    cut = False

    async def renew(self, node: str, **until: Any) -> None:
        if self.cut:
            raise StoreUnavailable("memory:", "away")
        await self.inner.renew(node, **until)


def machine(store: Any, clock: ManualClock, *versions: str) -> Runtime:
    return Runtime(versioned(*versions), store, world=replace(World(), clock=clock), telemetry=Telemetry.off())


async def parked(store: Any, key: str) -> CaseRow:
    """Wait until a case is given back that waits for something; the caller bounds it."""
    while True:
        row: CaseRow = await store.case(KEY)
        if not row.node and any(wait.key == key for wait in row.waits):
            return row
        await anyio.lowlevel.checkpoint()


async def without_its_version(store: MemoryStore, clock: ManualClock) -> CaseRow:
    """Have a node that lacks the version of a case take it, and say where it stands then."""
    row = await store.case(KEY)
    assert row is not None
    async with machine(store, clock, "1"):
        arrived = Arrived(key="go:c1", message_id="go", by="ann")
        await store.deliver(KEY.tenant, "go:c1", "go", encode(arrived))
        return await parked(store, missing(row))


@pytest.mark.promise("STORE-8")
async def test_a_case_that_waits_for_its_version_verifies_and_one_that_waits_for_another_does_not() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        async with machine(store, clock, "2") as two:
            await two.open("orders", "c1", Order())
            await two.wait("c1")
        row = await without_its_version(store, clock)
        assert await verify(store) == []
        operator, version = row.waits
        other = changed(row, waits=(operator, changed(version, key=f"{version.key}0")))
        assert "its log does not" in odd_wait(other, await store.records(KEY))


@pytest.mark.promise("FLOW-6")
async def test_a_node_whose_lease_was_over_for_a_while_tells_the_cases_that_parked_meanwhile() -> None:
    store, clock = Cut(), ManualClock()
    with anyio.fail_after(5):
        async with machine(store, clock, "2") as two:
            await two.open("orders", "c1", Order())
            await two.wait("c1")
            clock.advance(LEASE_OVER)  # It is given back, and all is done that a node does when it begins.
            await parked(store, "go:c1")
            await two.wait_idle()
            store.cut = True
            clock.advance(LEASE_OVER)
            await anyio.wait_all_tasks_blocked()
            assert (await without_its_version(store.inner, clock)).status is CaseStatus.PARKED
            store.on_arrival(store.heard)  # A store has one listener, which the other node was.
            store.cut = False
            clock.advance(1)
            await closed(store)
            assert await value(store) == "second"
