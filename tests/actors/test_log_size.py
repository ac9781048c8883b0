"""How much of the log a case takes: frames, hashes and step ids, counted to the byte, and no more with each step."""

import anyio
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.policy import Limits, Policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, CaseStatus
from casework.runtime.telemetry import Telemetry

#: Bytes that a number, a length or an ordinal may take more when there are more steps.
DIGITS = 4
#: Bytes by which the measured times of a delegated step may differ: of queue, work and call, up to 5 bytes each.
TIMES = 12


class Number(Struct, frozen=True):
    number: int


@tool(tier=RiskTier.READ_ONLY)
async def double(arguments: Number, context: ToolContext) -> int:
    """Give a small value."""
    return arguments.number * 2


@skill
async def double_by_call(inputs: Number, work: Work) -> int:
    """Give the same value, as an agent that calls the tool."""
    value: int = await work.call("double", inputs, returns=int)
    return value


async def plain(case: Case, inputs: Number) -> None:
    for number in range(inputs.number):
        await case.call("double", Number(number), returns=int)


async def delegated(case: Case, inputs: Number) -> None:
    for number in range(inputs.number):
        await case.delegate(
            "double-it", Number(number), returns=int, goal="Double the number.", tools=("double",), calls=1
        )


async def log_bytes(flow: str, steps: int) -> int:
    """Run a case of so many steps to its end, and count what its log takes."""
    may = Limits(tools=("double",))
    crew = Crew(
        "small",
        flows=(Flow.of(plain, inputs=Number, tools=("double",)), Flow.of(delegated, inputs=Number)),
        agents=(Agent("agent", {"double-it": double_by_call}, tools=("double",)),),
        tools=(double,),
        policy=Policy(name="small", agents={"agent": may}, flows={"plain": may, "delegated": may}),
    )
    with anyio.fail_after(5):
        async with Runtime(crew, telemetry=Telemetry.off()) as runtime:
            await runtime.open(flow, "case-1", Number(steps))
            row = await runtime.wait("case-1")
            assert (row.status, row.result) == (CaseStatus.CLOSED, "completed")
            records = await runtime.store.records(CaseKey("default", "case-1"))
            return sum(len(each.frame) + len(each.hash) + len(each.step_id) for each in records)


@pytest.mark.parametrize(("flow", "bytes_max"), [("plain", 4_000), ("delegated", 11_000)])
async def test_six_steps_take_a_few_thousand_bytes_of_the_log(flow: str, bytes_max: int) -> None:
    assert await log_bytes(flow, 6) <= bytes_max


@pytest.mark.parametrize(("flow", "differ"), [("plain", DIGITS), ("delegated", DIGITS + TIMES)])
async def test_each_step_takes_as_much_of_the_log_as_the_one_before(flow: str, differ: int) -> None:
    sizes = [await log_bytes(flow, steps) for steps in (10, 20, 40, 80)]
    steps = [(more - less) / added for less, more, added in zip(sizes, sizes[1:], (10, 20, 40), strict=False)]
    assert max(steps) - min(steps) <= differ, steps
