"""Signals to a flow are named things that arrive: typed by who takes them, several of a name taken in their order."""

from decimal import Decimal

import anyio
import pytest
from msgspec import Struct

from casework.protocols.codec import unpack
from casework.protocols.errors import FrameInvalid
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import LEASE_OVER, Ask, crashing, crew, runtime, value
from tests.support.manual_clock import ManualClock


class Price(Struct, frozen=True):
    amount: Decimal


async def listens(case: Case, inputs: Ask) -> list[str]:
    """Take prices until told to stop, whichever comes first."""
    told: list[str] = []
    await case.park("begin", reason="until told to")
    while True:
        index, arrived = await case.first(
            case.park("price", reason="the next price"), case.park("stop", reason="or the end")
        )
        if index == 1:
            return told
        try:
            told.append(str(unpack(arrived.value, Price).amount))  # type: ignore[attr-defined]
        except FrameInvalid:
            told.append("odd")


@pytest.mark.promise("FLOW-25")
@pytest.mark.parametrize("restarts", [False, True])
async def test_signals_of_one_name_are_taken_in_their_order_each_once_as_the_flow_s_own_type(restarts: bool) -> None:
    store, clock = MemoryStore(), ManualClock()
    values: list[object] = [Price(Decimal("1.10")), {"amount": "much"}, Price(Decimal("2.20")), Price(Decimal("1.10"))]
    with anyio.fail_after(5):
        async with crashing(runtime(crew(listens), store, clock)) as machine:
            await machine.open("listens", "c1", Ask())
            for number, each in enumerate(values):
                # The same id again counts once, and equal values are told apart by theirs.
                for _ in range(2):
                    await machine.deliver("c1", key="price", by="ann", value=each, message_id=f"price-{number}")
            if not restarts:
                await machine.deliver("c1", key="begin", by="ann")
                await machine.wait("c1")
                await machine.deliver("c1", key="stop", by="ann")
                await machine.wait("c1")
        if restarts:
            clock.advance(LEASE_OVER)
            async with runtime(crew(listens), store, clock) as machine:
                await machine.deliver("c1", key="begin", by="ann")
                await machine.wait("c1")
                await machine.deliver("c1", key="stop", by="ann")
                assert (await machine.wait("c1")).status is CaseStatus.CLOSED
    assert await value(store) == ["1.10", "odd", "2.20", "1.10"]
