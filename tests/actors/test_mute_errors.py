"""Errors of somebody else's code that cannot even say what they are, and types of theirs that cannot be made."""

import anyio
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, ToolContext, Work, WorkFailed, skill, tool
from casework.actors.policy import Limits
from casework.protocols.records import CaseResult
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow, Runtime
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.telemetry import Telemetry
from tests.support.mute import Mute

#: As many cases break at once as restarts would end a supervisor, and two more.
BROKEN = 6


class Unfinished(WorkFailed):
    def __init__(self) -> None:
        """Say nothing to whom it is derived from."""


class Where(Struct, frozen=True):
    """The place where it is to happen."""

    place: str = ""


class Made(Struct, frozen=True):
    """What cannot always be made."""

    how: str

    def __post_init__(self) -> None:
        if self.how == "mute":
            raise Mute
        if self.how == "key":
            raise KeyError(self.how)


@tool(tier=RiskTier.READ_ONLY)
async def look(arguments: Made, context: ToolContext) -> str:
    return arguments.how


async def judge(inputs: Made, work: Work) -> str:
    return inputs.how


async def refuse(inputs: Where, work: Work) -> str:
    raise Unfinished if inputs.place == "unfinished" else Mute


async def breaks(case: Case, inputs: Where) -> str:
    match inputs.place:
        case "flow":
            raise Mute
        case "arguments":
            return await case.call("look", {"how": "mute"}, returns=str)
        case "agent" | "unfinished":
            return (await case.delegate("refuse", inputs, returns=str, goal="Refuse")).value
        case "child":
            await case.open("made", f"{case.id}/child", {"how": "mute"})
        case place:
            return (await case.delegate("judge", {"how": place}, returns=str, goal="Judge")).value
    return "fine"


async def made(case: Case, inputs: Made) -> str:
    return inputs.how


def crew() -> Crew:
    return Crew(
        "office",
        flows=[Flow.of(breaks, inputs=Where, tools=("look",)), Flow.of(made, inputs=Made)],
        agents=[Agent("clerk", {"judge": skill(judge), "refuse": skill(refuse)})],
        tools=[look],
        policy=Policy(name="office", flows={"breaks": Limits(tools=("look",))}),
    )


@pytest.mark.parametrize("place", ["flow", "arguments", "agent", "unfinished", "child", "mute", "key"])
async def test_an_error_that_cannot_say_what_it_is_ends_its_own_case_alone(place: str) -> None:
    with anyio.fail_after(20):
        async with Runtime(crew(), telemetry=Telemetry.off()) as machine:
            for number in range(BROKEN):
                await machine.open("breaks", f"c{number}", Where(place))
            for number in range(BROKEN):
                row = await machine.wait(f"c{number}")
                assert row.result is CaseResult.FAILED or {wait.kind for wait in row.waits} == {WaitKind.OPERATOR}
            await machine.open("made", "innocent", Made("well"))
            assert (await machine.wait("innocent")).status is CaseStatus.CLOSED
