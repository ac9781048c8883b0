"""A crew has several versions of a flow: a case goes on with the one that it was opened with, new ones get the last."""

import dataclasses
from collections.abc import Callable, Coroutine

import anyio
import pytest
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.errors import CrewInvalid
from casework.actors.policy import Limits, Policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.wire import RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import value


class Count(Struct, frozen=True):
    n: int


class Named(Struct, frozen=True):
    name: str


@tool(tier=RiskTier.READ_ONLY)
async def old_rate(arguments: Count, context: ToolContext) -> int:
    return 10 * arguments.n


@tool(tier=RiskTier.READ_ONLY)
async def new_rate(arguments: Count, context: ToolContext) -> int:
    return 20 * arguments.n


async def old(case: Case, inputs: Count) -> list[int]:
    await case.park(f"go:{case.id}:{inputs.n}", reason="waits")
    if inputs.n == 1:
        await case.next_chapter(Count(2))
    try:
        await case.call("new_rate", Count(1), returns=int)
    except CallFailed:
        return [await case.call("old_rate", inputs, returns=int)]
    return []


async def new(case: Case, inputs: Named) -> str:
    return f"{inputs.name} {await case.call('new_rate', Count(1), returns=int)}"


def version(number: str, function: Callable[..., Coroutine[object, object, object]], inputs: type, *tools: str) -> Flow:
    """Make a version of the flow `counts`, as a function of that name in another module would be."""
    return dataclasses.replace(Flow.of(function, inputs=inputs, version=number, tools=tools), name="counts")


def crew(*flows: Flow) -> Crew:
    limits = Limits(tools=("old_rate", "new_rate"))
    return Crew("counters", flows=flows, tools=[old_rate, new_rate], policy=Policy(name="p", flows={"counts": limits}))


FIRST, SECOND = version("1", old, Count, "old_rate"), version("2", new, Named, "new_rate")


@pytest.mark.promise("FLOW-6")
async def test_a_case_goes_on_with_its_version_beside_newer_ones_with_its_own_inputs_and_tools() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with Runtime(crew(FIRST), store, telemetry=Telemetry.off()) as runtime:
            await runtime.open("counts", "c1", Count(1))
            await runtime.wait("c1")
        async with Runtime(crew(FIRST, SECOND), store, telemetry=Telemetry.off()) as runtime:
            other = await runtime.open("counts", "c2", Named("ann"))
            await runtime.wait("c2")
            for n in (1, 2):
                await runtime.deliver(f"go:c1:{n}", by="test")
                row = await runtime.wait("c1")
            assert (row.status, row.version) == (CaseStatus.CLOSED, "1"), row.waits
            assert await value(store) == [20]
            assert await value(store, str, other) == "ann 20"


def test_the_same_version_of_a_flow_twice_is_refused() -> None:
    with pytest.raises(CrewInvalid, match="two flows are called 'counts' in version '1'; give one of them another"):
        crew(FIRST, version("1", new, Named))


def test_the_last_version_is_the_one_that_new_cases_get_whatever_it_is_called() -> None:
    assert crew(SECOND, FIRST).flows == {"counts@2": SECOND, "counts": FIRST}
