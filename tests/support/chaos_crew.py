"""The crew that is killed, stopped and cut off: each case reads, has a task done, pays, waits and wires.

The payment is keyed, and made by an agent; the wire is irreversible, has no key and cannot be looked up, and is made
by the flow itself: should its process end in the middle, only a person can say whether it happened.
It does not know what happens to its processes.
"""

from msgspec import Struct

from casework.actors import Agent, Crew, Policy, ToolContext, Work, skill, tool
from casework.actors.policy import Limits
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import CallFailed
from tests.support.chaos_bank import Order, ask

#: Where the bank is, among the settings of a runtime.
BANK = "bank"
#: A task outlives every outage here; what becomes of one that does not is tested elsewhere.
DEADLINE_SECONDS = 900.0


class Item(Struct, frozen=True, kw_only=True):
    """What a case is about."""

    number: int
    timer_seconds: float = 0.05


class Reading(Struct, frozen=True, kw_only=True):
    """One thing to read."""

    number: int
    part: int


class Transfer(Struct, frozen=True, kw_only=True):
    """What is paid or wired."""

    number: int
    euros: int


async def _paid(arguments: Transfer, value: int, context: ToolContext) -> bool:
    return bool((await ask(context.settings[BANK], Order("find", context.case_id, context.idempotency_key))).happened)


async def _wired(arguments: Transfer, value: int, context: ToolContext) -> bool:
    return bool((await ask(context.settings[BANK], Order("find", context.case_id))).happened)


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Reading, context: ToolContext) -> int:
    """Read something, which takes a moment."""
    await context.world.clock.sleep(0.001)
    return arguments.number + arguments.part


@tool(tier=RiskTier.IRREVERSIBLE, verify=_paid, keyed=True)
async def pay(arguments: Transfer, context: ToolContext) -> int:
    """Pay, once under its key."""
    return (await ask(context.settings[BANK], Order("pay", context.case_id, context.idempotency_key))).happened


@tool(tier=RiskTier.IRREVERSIBLE, verify=_wired)
async def wire(arguments: Transfer, context: ToolContext) -> int:
    """Wire, each time that it is called."""
    return (await ask(context.settings[BANK], Order("wire", context.case_id))).happened


@skill
async def price(inputs: Item, work: Work) -> int:
    """Read twice and say what it costs."""
    read_first = await work.call("read", Reading(number=inputs.number, part=3), returns=int)
    return read_first + await work.call("read", Reading(number=inputs.number, part=4), returns=int)


@skill
async def settle(inputs: Transfer, work: Work) -> int:
    """Pay."""
    return await work.call("pay", inputs, returns=int)


async def order(case: Case, inputs: Item) -> str:
    """Read, have it priced and paid, wait, and wire."""
    parts = (Reading(number=inputs.number, part=part) for part in range(3))
    await case.gather(*(case.call("read", part, returns=int) for part in parts))
    priced = await case.delegate(
        "price", inputs, returns=int, goal="Price it", tools=["read"], deadline_seconds=DEADLINE_SECONDS
    )
    await case.delegate(
        "settle",
        Transfer(number=inputs.number, euros=priced.value),
        returns=int,
        goal="Pay it",
        tools=["pay"],
        tier=RiskTier.IRREVERSIBLE,
        deadline_seconds=DEADLINE_SECONDS,
    )
    await case.sleep(inputs.timer_seconds)
    try:
        await case.call("wire", Transfer(number=inputs.number, euros=1), returns=object)
    except CallFailed:
        return "unsent"
    return "sent"


_EVERYTHING = Limits(tools=("read", "pay", "wire"), tier_max=RiskTier.IRREVERSIBLE)

crew = Crew(
    "chaos",
    flows=[Flow.of(order, inputs=Item, tools=("read", "wire"))],
    agents=[
        Agent("pricer", {"price": price}, tools=("read",)),
        Agent("settler", {"settle": settle}, tools=("pay",), tier_max=RiskTier.IRREVERSIBLE),
    ],
    tools=[read, pay, wire],
    policy=Policy(name="chaos", agents={"pricer": _EVERYTHING, "settler": _EVERYTHING}, flows={"order": _EVERYTHING}),
)
