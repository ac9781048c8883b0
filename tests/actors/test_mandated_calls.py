"""What the flow of a case calls itself is held to the mandate within which the case was opened, by the gate."""

import anyio
import pytest
from msgspec import Struct

from casework.actors import Crew, Policy, ToolContext, tool
from casework.actors.policy import Limits
from casework.protocols.codec import decode_entry
from casework.protocols.records import Call
from casework.protocols.wire import Budget, FailureKind, Mandate, RiskTier
from casework.runtime import Case, Flow, Runtime
from casework.runtime.errors import CallFailed
from casework.runtime.store.base import CaseKey
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import closed


class Ask(Struct, frozen=True):
    number: int = 0


@tool(tier=RiskTier.READ_ONLY)
async def look(arguments: Ask, context: ToolContext) -> int:
    """Look at a number."""
    return arguments.number


@tool(tier=RiskTier.READ_ONLY)
async def peek(arguments: Ask, context: ToolContext) -> int:
    """Look at another one."""
    return arguments.number


async def opens(case: Case, inputs: Ask) -> None:
    within = Mandate(
        tools_allowed=("look",),
        risk_tier=RiskTier.READ_ONLY,
        deadline=await case.now() + 60_000_000,
        budget=Budget(calls=0),
    )
    await case.open("looks", "c1/below", inputs, within=within)
    await case.next_report()


async def looks(case: Case, inputs: Ask) -> None:
    await case.call("look", inputs, returns=int)
    with pytest.raises(CallFailed) as refused:
        await case.call("peek", inputs, returns=int)
    assert refused.value.kind is FailureKind.REFUSED


@pytest.mark.promise("CONTRACT-1")
async def test_a_tool_that_the_flow_declares_and_the_policy_allows_is_refused_beyond_the_mandate() -> None:
    may = Limits(tools=("look", "peek"))
    flows = [Flow.of(opens, inputs=Ask), Flow.of(looks, inputs=Ask, tools=("look", "peek"))]
    crew = Crew("small", flows=flows, tools=[look, peek], policy=Policy(name="small", flows={"looks": may}))
    with anyio.fail_after(5):
        async with Runtime(crew, telemetry=Telemetry.off()) as runtime:
            await runtime.open("opens", "c1", Ask(1))
            await closed(runtime.store)
            records = await runtime.store.records(CaseKey("default", "c1/below"))
    calls = [entry for entry in map(decode_entry, (each.frame for each in records)) if isinstance(entry, Call)]
    assert [(call.tool, call.verdict.rule) for call in calls] == [("look", "allowed"), ("peek", "allowed.task")]
