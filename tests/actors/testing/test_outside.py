"""Tools that are not what they are declared to be, as `watch` sees it in a world without fakes.

It does not know how the difference is worded for a world that was not watched.
"""

from collections.abc import Callable

import anyio
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Tool, ToolContext, Work, skill, tool
from casework.actors.policy import Limits, Policy
from casework.actors.testing import FakeTool, crash_anywhere
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow

IRREVERSIBLE = RiskTier.IRREVERSIBLE
#: The world outside: what was paid.
BOOK: list[int] = []


class Payment(Struct, frozen=True):
    euros: int


async def stands(arguments: Payment, value: object, context: ToolContext) -> bool:
    return True


@tool(name="keyed", tier=IRREVERSIBLE, verify=stands, keyed=True)
async def keyed(arguments: Payment, context: ToolContext) -> int:
    BOOK.append(arguments.euros)
    return arguments.euros


@tool(name="read", tier=RiskTier.READ_ONLY)
async def read(arguments: Payment, context: ToolContext) -> int:
    BOOK.append(arguments.euros)
    return arguments.euros


def crew(which: Tool, doing: Callable[[Payment], object] = lambda _: None) -> Crew:
    """Make a crew whose only agent calls this tool, and does something by itself as well."""

    @skill
    async def pay(inputs: Payment, work: Work) -> int:
        doing(inputs)
        return await work.call(which.name, inputs, returns=int)

    async def paying(case: Case, inputs: Payment) -> int:
        tier = which.tier
        paid = await case.delegate("pay", inputs, returns=int, goal="pay", tools=[which.name], tier=tier)
        return paid.value

    limits = Limits(tools=(which.name,), tier_max=IRREVERSIBLE)
    return Crew(
        "payments",
        agents=[Agent("payer", {"pay": pay}, tools=(which.name,), tier_max=IRREVERSIBLE)],
        tools=[which],
        flows=[Flow.of(paying, inputs=Payment)],
        policy=Policy(name="payments", agents={"payer": limits}),
    )


async def told(crew: Crew, **options: FakeTool) -> str:
    with anyio.fail_after(10), pytest.raises(AssertionError, match="what `watch` saw differs") as raised:
        await crash_anywhere(crew, "paying", Payment(7), fresh=BOOK.clear, watch=lambda: list(BOOK), tools=options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("which", "remedy"),
    [
        (keyed, "must do nothing more under a key that it had before"),
        (read, "declared READ_ONLY: if it changes anything, declare it as a write"),
    ],
)
async def test_a_tool_that_writes_twice_though_its_declaration_rules_it_out_is_named(which: Tool, remedy: str) -> None:
    found = await told(crew(which))
    assert f"Tool '{which.name}' was called again" in found
    assert remedy in found


async def test_a_fake_that_was_called_again_is_not_named_since_it_reaches_nothing() -> None:
    found = await told(crew(keyed, lambda inputs: BOOK.append(inputs.euros)), keyed=FakeTool(7))
    assert "was called again" not in found
    assert "An effect made outside of a tool" in found
