"""What tools give and agents ask for that no record could hold: one call fails, with a reason, and its case goes on."""

import re
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct

from casework.actors import Agent, CallRefused, Crew, Policy, ToolContext, Work, WorkFailed, skill, tool
from casework.actors.policy import Limits
from casework.protocols.codec import CARRIED_BYTES_MAX, FRAME_BYTES_MAX, unpack
from casework.protocols.records import CaseResult
from casework.protocols.wire import RiskTier
from casework.runtime import CallFailed, Case, Flow, Runtime
from casework.runtime.flow.taskcalls import TOOL_CHARS_MAX
from casework.runtime.store.base import WaitKind
from casework.runtime.telemetry import Telemetry

#: Fits into a frame alone, and into none with what is told beside it.
LARGE = "x" * (FRAME_BYTES_MAX - 60)
HALF = "x" * (CARRIED_BYTES_MAX // 2)


class Wanted(Struct, frozen=True):
    what: str
    sent: str = ""


@tool(tier=RiskTier.READ_ONLY)
async def look(arguments: Wanted, context: ToolContext) -> str:
    return _given(arguments)


@tool(tier=RiskTier.READ_ONLY)
async def wait(arguments: Wanted, context: ToolContext) -> str:
    await anyio.lowlevel.checkpoint()
    return _given(arguments)


async def happened(arguments: Wanted, value: object, context: ToolContext) -> bool:
    return True


async def found(arguments: Wanted, context: ToolContext) -> str | None:
    return _given(arguments)


@tool(tier=RiskTier.IRREVERSIBLE, verify=happened, lookup=found)
async def pay(arguments: Wanted, context: ToolContext) -> str:
    return _given(arguments)


def _given(arguments: Wanted) -> str:
    match arguments.what:
        case "large":
            return LARGE
        case "half":
            return HALF
        case "kind":
            raise WorkFailed("it has none", kind="none such")  # type: ignore[arg-type]  # a tool can say anything
        case what:
            return what


async def ask(inputs: Wanted, work: Work) -> str:
    asked: dict[str, Any] = {"none": None, "long": "n" * (TOOL_CHARS_MAX + 1), "both": "look"}
    try:
        return await work.call(asked[inputs.what], Wanted("half", inputs.sent), returns=str)
    except CallRefused as refused:
        return f"{refused.kind}: {refused}"


async def asks(case: Case, inputs: Wanted) -> str:
    return (await case.delegate("ask", inputs, returns=str, goal="Ask", tools=("look",))).value


async def calls(case: Case, inputs: Wanted) -> str:
    return await call(case, inputs.sent, Wanted(inputs.what))


async def sends(case: Case, inputs: Wanted) -> str:
    return await call(case, "look", Wanted(inputs.what, f"x{HALF}"))


async def call(case: Case, name: str, arguments: Wanted) -> str:
    try:
        return await case.call(name, arguments, returns=str)
    except CallFailed as failed:
        return f"{failed.kind}: {failed}"


def crew() -> Crew:
    tools = ("look", "wait", "pay")
    may = Limits(tools=tools, tier_max=RiskTier.IRREVERSIBLE)
    return Crew(
        "office",
        flows=[Flow.of(each, inputs=Wanted, tools=tools) for each in (calls, sends, asks)],
        agents=[Agent("clerk", {"ask": skill(ask)}, tools=("look",))],
        tools=[look, wait, pay],
        policy=Policy(name="office", flows=dict.fromkeys(("calls", "sends", "asks"), may), agents={"clerk": may}),
    )


@pytest.mark.parametrize(
    ("flow", "inputs", "heard"),
    [
        ("calls", Wanted("large", "look"), f"invalid: .*over the limit of {CARRIED_BYTES_MAX}"),
        ("calls", Wanted("large", "wait"), f"invalid: .*over the limit of {CARRIED_BYTES_MAX}"),
        ("sends", Wanted("half"), f"invalid: .*over the limit of {CARRIED_BYTES_MAX}"),
        ("calls", Wanted("kind", "look"), "error: .*it has none"),
        ("asks", Wanted("none"), r"invalid: .*Expected `str`, got `None` - at `\$.tool`"),
        ("asks", Wanted("long"), f"invalid: .*a tool's name has at most {TOOL_CHARS_MAX} characters"),
        ("asks", Wanted("both", HALF), "invalid: .*over the limit"),
    ],
)
async def test_a_call_that_no_record_could_hold_fails_with_a_reason_and_its_case_goes_on(
    flow: str, inputs: Wanted, heard: str
) -> None:
    with anyio.fail_after(10):
        async with Runtime(crew(), telemetry=Telemetry.off()) as machine:
            await machine.open(flow, "c1", inputs)
            row = await machine.wait("c1")
            assert row.result is CaseResult.COMPLETED, row.waits
            closed = await machine.closed("c1")
            assert closed is not None
            assert re.match(heard, unpack(closed.value, str))


async def test_a_write_that_gives_what_no_record_could_hold_is_left_to_a_person() -> None:
    with anyio.fail_after(10):
        async with Runtime(crew(), telemetry=Telemetry.off()) as machine:
            await machine.open("calls", "c1", Wanted("large", "pay"))
            (wait,) = (await machine.wait("c1")).waits
            assert wait.kind is WaitKind.REVIEW
            (review,) = await machine.store.reviews()
            assert review.title == "Did pay happen?"
