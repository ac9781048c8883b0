"""What code of an agent or a tool leaves in context variables is its own: a flow sees the same when it is replayed."""

from contextvars import ContextVar

import anyio
import pytest

from casework.actors.agent import Work, skill
from casework.actors.testing import CaseBench, FakeTool
from casework.runtime import Case
from tests.support.refund_crew import Customer, Refund, crew

SPEAKER: ContextVar[str] = ContextVar("speaker", default="nobody")


@skill
async def speak(inputs: Refund, work: Work) -> str:
    """Call with a variable set, and leave another value in it."""
    SPEAKER.set("agent")
    await work.call("limit", {"customer": "c"}, returns=int)
    SPEAKER.set("agent at its end")
    return "said"


@pytest.mark.promise("FLOW-2")
async def test_a_flow_sees_no_context_variable_of_an_agent_or_a_tool_neither_at_first_nor_replayed() -> None:
    seen: list[str] = []

    async def look(arguments: object) -> int:
        SPEAKER.set("tool")
        return 1

    async def listens(case: Case, inputs: Refund) -> str:
        await case.delegate("speak", inputs, returns=str, goal="Say it", tools=["limit"])
        seen.append(SPEAKER.get())
        await case.call("limit", Customer("c"), returns=int)
        seen.append(SPEAKER.get())
        await case.park("more", reason="it is replayed then")
        return "heard"

    with anyio.fail_after(20):
        async with CaseBench(crew(listens, skills={"speak": speak}), tools={"limit": FakeTool(does=look)}) as bench:
            await bench.open("listens", "c1", Refund("c", 40))
            await bench.crash()
            await bench.deliver("more")
            assert bench.value("c1", str) == "heard"
    assert seen == ["nobody"] * 4
