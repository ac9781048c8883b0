"""Calls that were held and are let go in one turn of their case end one after the other, as their log is read again."""

import anyio
import pytest
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.policy import parse_policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.records import Decision
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.switchboard import pause, resume
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import KEY, entries
from tests.support.odd_stores import OddStore

POLICY = 'name = "held"\n[flows.reads]\ntools = ["read"]\n'


class Nothing(Struct, frozen=True):
    pass


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Nothing, context: ToolContext) -> int:
    return 1


async def branch(case: Case) -> int:
    given = await case.call("read", Nothing(), returns=int)
    await case.note("it was read")
    return given


async def reads(case: Case, inputs: Nothing) -> list[int]:
    both = await case.gather(*[branch(case) for _ in range(3)])
    await case.park("go", reason="it waits")
    return both


@pytest.mark.promise("FLOW-2")
@pytest.mark.promise("GUARD-6")
async def test_calls_that_are_let_go_before_it_is_durable_that_they_wait_are_replayed_as_they_ended() -> None:
    store, world = OddStore(), World()
    flow = Flow.of(reads, inputs=Nothing, tools=("read",))
    crew = Crew("held", flows=[flow], tools=[read], policy=parse_policy(POLICY))
    with anyio.fail_after(10):
        async with Runtime(crew, store, telemetry=Telemetry.off()) as machine:
            await pause(machine, "tool:read", by="ann", reason="broken", world=world)
            await machine.wait_idle()
            # The first that is held goes out alone; the others are written meanwhile, and become durable together.
            store.hold()
            await machine.open("reads", "c1", Nothing())
            await anyio.wait_all_tasks_blocked()
            await resume(machine, "tool:read", by="ann", reason="mended", world=world)
            store.let_go()
            await machine.wait("c1")
        assert len([each for each in await entries(store, Decision, KEY) if each.rule == "switch"]) == 3
        async with Runtime(crew, store.inner, telemetry=Telemetry.off()) as machine:
            await machine.deliver("c1", by="ann", key="go")
            row = await machine.wait("c1")
    assert (row.status, row.result) == (CaseStatus.CLOSED, "completed"), row.waits
