"""A tool that wants to end the process has failed: the process is not its own."""

import anyio
import pytest
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.policy import parse_policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.codec import decode_entry
from casework.protocols.records import Call, Review
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry

POLICY = """
name = "exits"
[flows.reads]
tools = ["read"]
[flows.writes]
tools = ["write"]
tier_max = "irreversible"
"""


class Nothing(Struct, frozen=True):
    """Nothing."""


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Nothing, context: ToolContext) -> str:
    raise SystemExit(3)


async def never(arguments: Nothing, value: str, context: ToolContext) -> bool:
    raise AssertionError("nothing is read back")


@tool(tier=RiskTier.IRREVERSIBLE, verify=never)
async def write(arguments: Nothing, context: ToolContext) -> str:
    raise SystemExit(3)


async def reads(case: Case, inputs: Nothing) -> str:
    try:
        return await case.call("read", Nothing(), returns=str)
    except CallFailed as error:
        return error.kind


async def writes(case: Case, inputs: Nothing) -> str:
    return await case.call("write", Nothing(), returns=str)


async def run(flow: str) -> tuple[CaseStatus, list[object]]:
    flows = (Flow.of(reads, inputs=Nothing, tools=("read",)), Flow.of(writes, inputs=Nothing, tools=("write",)))
    crew, store = Crew("exits", flows=flows, tools=(read, write), policy=parse_policy(POLICY)), MemoryStore()
    with anyio.fail_after(5):
        async with Runtime(crew, store, telemetry=Telemetry.off()) as made:
            await made.open(flow, "c1", Nothing())
            status = (await made.wait("c1")).status
    return status, [decode_entry(record.frame) for record in await store.records(CaseKey("default", "c1"))]


async def test_a_read_that_exits_is_a_call_that_failed() -> None:
    status, log = await run("reads")
    [call] = [entry for entry in log if isinstance(entry, Call)]
    assert (status, call.failure) == (CaseStatus.CLOSED, FailureKind.ERROR)
    assert "RuntimeError at test_tool_exits.py" in call.message


@pytest.mark.promise("GATE-5")
async def test_a_write_that_exits_may_have_happened_and_a_person_is_asked() -> None:
    status, log = await run("writes")
    assert status is CaseStatus.PARKED
    assert [entry.title for entry in log if isinstance(entry, Review)] == ["Did write happen?"]
