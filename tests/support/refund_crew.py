"""A crew such as a user tests: a refund that is judged, perhaps decided by a person, paid, and looked at after a month.

Its tools reach nothing: every test puts fakes in their place.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from casework.actors import Agent, Crew, Skill, ToolContext, Work, skill, tool
from casework.actors.policy import Limits, Policy
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow

MONTH = 30 * 86_400.0


class Refund(Struct, frozen=True):
    customer: str
    euros: int


class Customer(Struct, frozen=True):
    customer: str


async def stands(arguments: Refund, value: object, context: ToolContext) -> bool:
    raise AssertionError("a fake reads back by itself")


async def look(arguments: Refund, context: ToolContext) -> str | None:
    raise AssertionError("a fake looks by itself")


@tool(name="bank.pay", tier=RiskTier.IRREVERSIBLE, verify=stands, keyed=True, micros_max=200)
async def pay(arguments: Refund, context: ToolContext) -> str:
    """Pay, which is charged; the same key again pays once."""
    raise AssertionError("no test reaches the bank")


@tool(name="bank.claim", tier=RiskTier.IRREVERSIBLE, verify=stands, lookup=look)
async def claim(arguments: Refund, context: ToolContext) -> str:
    """Pay by a bank that knows no keys, but can be asked."""
    raise AssertionError("no test reaches the bank")


@tool(name="bank.cash", tier=RiskTier.IRREVERSIBLE, verify=stands)
async def cash(arguments: Refund, context: ToolContext) -> None:
    """Pay by a bank that knows no keys and cannot be asked."""
    raise AssertionError("no test reaches the bank")


@tool(tier=RiskTier.READ_ONLY)
async def limit(arguments: Customer, context: ToolContext) -> int:
    """Say up to where a customer's refunds are paid at once."""
    raise AssertionError("no test reaches the bank")


TOOLS = (pay, claim, cash, limit)
NAMES = tuple(each.name for each in TOOLS)


@skill
async def judge(inputs: Refund, work: Work) -> bool:
    """Say whether a refund is within policy."""
    return inputs.euros <= await work.call("limit", {"customer": inputs.customer}, returns=int)


@skill
async def settle(inputs: Refund, work: Work) -> str:
    """Pay a refund."""
    return await work.call("bank.pay", inputs, returns=str)


async def refund(case: Case, inputs: Refund) -> str:
    """Judge, have a person look if need be, pay, and see after a month whether anybody objects."""
    fine = await case.delegate("judge", inputs, returns=bool, goal="Is it within policy?", tools=["limit"])
    if not fine.value:
        decided = await case.review(f"Refund {inputs.customer}", inputs, rule="above_limit")
        if decided.action == "reject":
            return "rejected"
    paid = await case.delegate(
        "settle",
        inputs,
        returns=str,
        goal="Pay it",
        tools=["bank.pay"],
        tier=RiskTier.IRREVERSIBLE,
        micros=1000,
    )
    await case.sleep(MONTH)
    await case.decide("contested", ("yes", "no"), "no", rule="nobody_said_so")
    return paid.value


def crew(
    *functions: Callable[..., Coroutine[object, object, object]], skills: dict[str, Skill] | None = None, **rules: Any
) -> Crew:
    """Make a crew with these flows, and agents with these skills beside its own; all of them may call every tool."""
    flows = [Flow.of(each, inputs=Refund, tools=NAMES) for each in functions or (refund,)]
    doing: Sequence[tuple[str, Skill]] = [("judge", judge), ("settle", settle), *(skills or {}).items()]
    agents = [Agent(name, {name: known}, tools=NAMES, tier_max=RiskTier.IRREVERSIBLE) for name, known in doing]
    everything = Limits(tools=NAMES, tier_max=RiskTier.IRREVERSIBLE)
    policy = Policy(
        name="refunds",
        agents={agent.name: everything for agent in agents},
        flows={flow.name: everything for flow in flows},
        **rules,
    )
    return Crew("refunds", flows=flows, agents=agents, tools=TOOLS, policy=policy)
