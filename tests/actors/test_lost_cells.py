"""A case that its node takes again before its old cell has heard that the store gave it back."""

from dataclasses import replace

import anyio
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.policy import parse_policy
from casework.runtime.flow.case import Case, Flow
from casework.runtime.lease import LEASE_SECONDS
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, CaseStatus
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import until, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore


class Amount(Struct, frozen=True):
    amount: int


class LateStore(OddStore):
    """Gives a case back as soon as it is asked to, and says so when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.given_back = 0
        self.told = anyio.Event()

    async def append(self, append: Append) -> AppendResult:
        result = await super().append(append)
        if append.release:
            self.given_back += 1
            await self.told.wait()
        return result


async def asking(case: Case, inputs: Amount) -> int:
    await case.park("go", reason="it waits")
    return (await case.delegate("double", inputs, returns=int, goal="Double it")).value


@pytest.mark.promise("FLOW-25")
async def test_a_cell_that_gives_its_case_back_begins_nothing_with_what_comes_meanwhile() -> None:
    begun, go = list[str](), anyio.Event()

    async def double(inputs: Amount, work: Work) -> int:
        begun.append(work.case.address)
        await go.wait()
        return inputs.amount * 2

    flow, agent = Flow.of(asking, inputs=Amount), Agent("doubler", {"double": skill(double)})
    crew = Crew("late", flows=[flow], agents=[agent], policy=parse_policy('name = "late"\n'))
    store, clock = LateStore(), ManualClock()
    with anyio.fail_after(10):
        async with Runtime(crew, store, world=replace(World(), clock=clock), telemetry=Telemetry.off()) as machine:
            await machine.open("asking", "c1", Amount(21))
            await machine.wait("c1")
            await anyio.wait_all_tasks_blocked()
            clock.advance(1.5)
            await until(machine, lambda: store.given_back == 1)
            await machine.deliver("c1", by="ann", key="go")
            await anyio.wait_all_tasks_blocked()
            assert not begun, "the old cell works on a case that it has given back"
            # The node looks for cases that nobody has, and the old cell hears later of what it lost.
            clock.advance(LEASE_SECONDS)
            await until(machine, lambda: len(begun) == 1)
            store.told.set()
            await anyio.wait_all_tasks_blocked()
            go.set()
            row = await machine.wait("c1")
    assert begun == ["case:default:c1:2"]
    assert (row.status, await value(store)) == (CaseStatus.CLOSED, 42)
