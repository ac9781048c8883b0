"""A crew whose flow is a saga: a return label is bought, the order's status set, the customer refunded and told.

Its tools reach nothing: every test puts fakes in their place.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from casework.actors import Agent, Crew, KnownFailure, ToolContext, Work, skill, tool
from casework.actors.policy import Limits, Policy
from casework.actors.testing import FakeTool
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow


class Order(Struct, frozen=True):
    order: str
    euros: int = 40


class Bought(Struct, frozen=True):
    order: str
    result: str


async def stands(arguments: Struct, value: object, context: ToolContext) -> bool:
    raise AssertionError("a fake reads back by itself")


def _write(name: str, takes: type[Struct], undo: str = "") -> Any:
    async def reach(arguments: Struct, context: ToolContext) -> str:
        raise AssertionError("no test reaches the world")

    reach.__annotations__["arguments"] = takes
    tier = RiskTier.REVERSIBLE if undo else RiskTier.IRREVERSIBLE
    return tool(name=name, tier=tier, verify=stands, undo=undo, keyed=True)(reach)


TOOLS = (
    _write("label.buy", Order, "label.cancel"),
    _write("label.cancel", Bought),
    _write("status.set", Order, "status.revert"),
    _write("status.revert", Order, "status.set"),
    _write("bank.refund", Order),
    _write("mail.send", Order),
)
NAMES = tuple(each.name for each in TOOLS)


def declined(arguments: Order) -> str:
    raise KnownFailure("the account is closed")


def fakes(**instead: FakeTool) -> dict[str, FakeTool]:
    """Give fakes that do what they are asked for, but for the bank, which declines; `instead` names others."""
    made = {name: FakeTool(f"{name} done") for name in NAMES}
    return {
        **made,
        "bank.refund": FakeTool(does=declined),
        **{name.replace("_", "."): instead[name] for name in instead},
    }


@skill
async def ship(inputs: Order, work: Work) -> str:
    """Buy the label and set the status."""
    label = await work.call("label.buy", inputs, returns=str)
    await work.call("status.set", inputs, returns=str)
    return label


async def refund(case: Case, inputs: Order) -> None:
    """Do all of it, or none."""
    async with case.saga():
        await case.call("label.buy", inputs, returns=str)
        await case.call("status.set", inputs, returns=str)
        await case.call("bank.refund", inputs, returns=str)


async def entrusted(case: Case, inputs: Order) -> None:
    """Have an agent do what this flow may not do itself."""
    async with case.saga():
        await case.delegate(
            "ship",
            inputs,
            returns=str,
            goal="Ship it",
            tools=("label.buy", "status.set"),
            tier=RiskTier.REVERSIBLE,
            on_stop=OnStop.FAIL,
        )
        await case.call("bank.refund", inputs, returns=str)


def crew(*functions: Callable[..., Coroutine[object, object, object]], **rules: Any) -> Crew:
    """Make a crew with these flows; the one called `entrusted` may call the bank alone."""
    own = {each.__name__: ("bank.refund",) if each is entrusted else NAMES for each in functions}
    most = RiskTier.IRREVERSIBLE
    policy = Policy(
        name="refunds",
        agents={"shipping": Limits(tools=("label.buy", "status.set"), tier_max=RiskTier.REVERSIBLE)},
        flows={name: Limits(tools=tools, tier_max=most) for name, tools in own.items()},
        **rules,
    )
    agent = Agent("shipping", {"ship": ship}, tools=("label.buy", "status.set"), tier_max=RiskTier.REVERSIBLE)
    flows = [Flow.of(each, inputs=Order, tools=own[each.__name__]) for each in functions]
    return Crew("refunds", flows=flows, agents=[agent], tools=TOOLS, policy=policy)
