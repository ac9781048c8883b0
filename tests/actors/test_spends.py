"""What a tool says that it cost, where that is no amount: it is told so, and no log or ledger ever has it."""

from typing import Any

import anyio
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, ToolContext, Work, skill, tool
from casework.actors.errors import CostInvalid
from casework.actors.policy import Limits
from casework.protocols.records import CaseResult, ReviewAction
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow, Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey
from casework.runtime.store.ledger_rules import MICROS_MAX
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry

MOST = 20_000
TOOLS = ("ask", "pay")
#: What is no amount, by the name under which a test asks for it.
NO_AMOUNTS: dict[str, Any] = {
    "part": 0.5,
    "whole": 5.0,
    "negative": -1,
    "huge": MICROS_MAX + 1,
    "endless": 2**70,
    "text": "5",
    "none": None,
}


class Wanted(Struct, frozen=True):
    tool: str
    said: str


@tool(tier=RiskTier.READ_ONLY, micros_max=MOST)
async def ask(arguments: Wanted, context: ToolContext) -> str:
    context.spend(NO_AMOUNTS[arguments.said])
    return "answer"


async def stands(arguments: Wanted, value: str, context: ToolContext) -> bool:
    return True


@tool(tier=RiskTier.IRREVERSIBLE, micros_max=MOST, verify=stands)
async def pay(arguments: Wanted, context: ToolContext) -> str:
    context.spend(NO_AMOUNTS[arguments.said])
    return "paid"


@skill
async def clerk(inputs: Wanted, work: Work) -> str:
    return await work.call(inputs.tool, inputs, returns=str)


async def entrust(case: Case, inputs: Wanted) -> str:
    most = RiskTier.IRREVERSIBLE
    result = await case.delegate(
        "clerk", inputs, returns=str, goal="Do it", tools=TOOLS, tier=most, micros=MOST, on_stop=OnStop.FAIL
    )
    return result.value


def runtime(store: MemoryStore) -> Runtime:
    may = Limits(tools=TOOLS, tier_max=RiskTier.IRREVERSIBLE)
    agent = Agent("clerk", {"clerk": clerk}, tools=TOOLS, tier_max=RiskTier.IRREVERSIBLE)
    policy = Policy(name="spends", agents={"clerk": may})
    crew = Crew("spends", flows=[Flow.of(entrust, inputs=Wanted)], agents=[agent], tools=[ask, pay], policy=policy)
    return Runtime(crew, store, telemetry=Telemetry.off())


async def money(store: MemoryStore) -> tuple[int, int]:
    """Give what the case spent, and what is held of it."""
    account = await store.account("case/default/c1")
    assert account is not None
    return account.spent_micros, account.reserved_micros


@pytest.mark.parametrize("said", NO_AMOUNTS)
async def test_a_read_that_says_it_cost_what_is_no_amount_fails_and_cost_the_most_that_it_could(said: str) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(store) as machine:
            await machine.open("entrust", "c1", Wanted("ask", said))
            assert (await machine.wait("c1")).result is CaseResult.FAILED
            closed = await machine.closed("c1")
    assert closed is not None
    assert "a cost is a whole number of millionths" in closed.error
    assert await money(store) == (MOST, 0)


@pytest.mark.parametrize("said", NO_AMOUNTS)
async def test_a_write_that_says_it_cost_what_is_no_amount_is_asked_about_and_its_log_stays_readable(said: str) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(store) as machine:
            await machine.open("entrust", "c1", Wanted("pay", said))
            (wait,) = (await machine.wait("c1")).waits
            assert wait.reason == "effect.unknown"
            assert await money(store) == (0, MOST), "it may have cost that"
        async with runtime(store) as machine:
            await machine.decide(wait.key, ReviewAction.REJECT, by="ann")
            await machine.wait_idle()
            assert (await machine.wait("c1")).result is CaseResult.FAILED
    assert await money(store) == (0, 0)


def test_several_costs_of_one_call_are_together_no_more_than_an_amount_either() -> None:
    context = _context()
    context.spend(MICROS_MAX)
    context.spend(0)
    with pytest.raises(CostInvalid, match="a cost is a whole number of millionths") as raised:
        context.spend(1)
    assert (raised.value.micros, context.micros_spent) == (1, MICROS_MAX)


def _context() -> ToolContext:
    key = CaseKey("default", "c1")
    return ToolContext("k", World(), MemoryStore(), {}, {}, key.tenant, key.case_id)
