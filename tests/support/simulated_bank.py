"""A bank outside of every simulated process, and the crew that moves money by it.

What the bank did outlives every crash, as the world does. Each payment is on its books with its key and case, so that
a check at the end can say whether anything happened twice, or although a person said no.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Struct

from casework.actors import Agent, Crew, ToolContext, Work, skill, tool
from casework.actors.policy import Bounds, Limits, Policy
from casework.actors.tools import Tool
from casework.protocols.codec import unpack
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import CallFailed, TaskFailed
from casework.runtime.simulation import Simulation

T = TypeVar("T")

IRREVERSIBLE = RiskTier.IRREVERSIBLE
#: Above this a person decides.
LIMIT = 100
#: Times that a flow asks again after a call that is known not to have happened.
TRIES = 40


class Refund(Struct, frozen=True):
    customer: str
    euros: int


class Customer(Struct, frozen=True):
    customer: str


@dataclass
class Payment:
    tool: str
    key: str
    case_id: str
    euros: int


@dataclass
class Bank:
    """The books of the bank."""

    payments: list[Payment] = field(default_factory=list)
    asked_twice: int = 0
    """Keys that came again and were honoured."""

    def pay(self, tool_name: str, arguments: Refund, context: ToolContext, *, honours_key: bool) -> str:
        known = self.find(tool_name, context.idempotency_key)
        if known is not None and honours_key:
            self.asked_twice += 1
            return known
        self.payments.append(Payment(tool_name, context.idempotency_key, context.case_id, arguments.euros))
        return f"paid {arguments.euros}"

    def find(self, tool_name: str, key: str) -> str | None:
        return next((f"paid {each.euros}" for each in self.payments if (each.tool, each.key) == (tool_name, key)), None)

    def paid(self, case_id: str) -> list[Payment]:
        return [each for each in self.payments if each.case_id == case_id]


def bank_tools(bank: Bank, simulation: Simulation) -> tuple[Tool, ...]:
    """Make the tools by which a run's bank is reached, as badly as its plan says."""

    async def reach(name: str, effect: Callable[[], T]) -> T:
        return await simulation.outside.reach(name, effect)

    def writes(name: str, *, keyed: bool, asked: bool) -> Tool:
        async def verify(arguments: Refund, value: object, context: ToolContext) -> bool:
            return await reach("bank.read", lambda: bank.find(name, context.idempotency_key)) is not None

        async def lookup(arguments: Refund, context: ToolContext) -> str | None:
            return await reach("bank.read", lambda: bank.find(name, context.idempotency_key))

        async def pay(arguments: Refund, context: ToolContext) -> str:
            return await reach(name, lambda: bank.pay(name, arguments, context, honours_key=keyed))

        finding = lookup if asked else None
        return tool(name=name, tier=IRREVERSIBLE, verify=verify, lookup=finding, keyed=keyed, timeout_seconds=8)(pay)

    @tool(tier=RiskTier.READ_ONLY, timeout_seconds=8)
    async def limit(arguments: Customer, context: ToolContext) -> int:
        return await reach("bank.limit", lambda: LIMIT)

    @tool(name="model.judge", tier=RiskTier.READ_ONLY, timeout_seconds=8)
    async def model(arguments: Refund, context: ToolContext) -> str:
        return await reach("model.judge", lambda: simulation.mischief.answered(f"verdict: {arguments.euros <= LIMIT}"))

    keyed = writes("bank.pay", keyed=True, asked=False)
    asked = writes("bank.claim", keyed=False, asked=True)
    return (keyed, asked, writes("bank.cash", keyed=False, asked=False), limit, model)


@skill
async def judge(inputs: Refund, work: Work) -> bool:
    """Have a model say whether a refund is within what is paid at once; fails where it says nothing of use."""
    answer = await work.call("model.judge", inputs, returns=str)
    return {"verdict: True": True, "verdict: False": False}[answer]


@skill
async def settle(inputs: Refund, work: Work) -> object:
    """Pay a refund; None where only a person knows that it was paid."""
    return await work.call("bank.pay", inputs, returns=object)


async def refund(case: Case, inputs: Refund) -> str:
    """Have it judged, ask a person above the limit, and have it paid, all by agents."""
    fine = await _again(
        case,
        lambda: case.delegate(
            "judge",
            inputs,
            returns=bool,
            goal="Judge",
            tools=["model.judge"],
            deadline_seconds=3_600,
            on_stop=OnStop.FAIL,
        ),
    )
    if not fine.value:
        decided = await case.review(f"Refund {inputs.customer}", inputs, rule="above_limit")
        if decided.action == "reject":
            return "rejected"
    try:
        paid = await case.delegate(
            "settle",
            inputs,
            returns=object,
            goal="Pay",
            tools=["bank.pay"],
            tier=IRREVERSIBLE,
            deadline_seconds=3_600,
            on_stop=OnStop.FAIL,
        )
    except TaskFailed:
        # It may have been paid all the same: whoever asked again would pay twice.
        return "given up"
    return str(paid.value)


async def claim(case: Case, inputs: Refund) -> str:
    """Pay by a tool that knows no keys, but can be asked."""
    return str(await _again(case, lambda: case.call("bank.claim", inputs, returns=object)))


async def cash(case: Case, inputs: Refund) -> str:
    """Pay by a tool that knows no keys and cannot be asked, after a while and two looks at once."""
    await case.sleep(45)
    look = {"customer": inputs.customer}
    await case.gather(
        _again(case, lambda: case.call("limit", look, returns=int)),
        _again(case, lambda: case.call("limit", look, returns=int)),
    )
    return str(await _again(case, lambda: case.call("bank.cash", inputs, returns=object)))


async def letter(case: Case, inputs: Refund) -> str:
    """Wait for a letter, then pay."""
    await case.park(f"letter:{inputs.customer}", reason="the customer writes")
    return str(await _again(case, lambda: case.call("bank.pay", inputs, returns=object)))


async def coins(case: Case, inputs: Refund) -> int:
    """Take three coins, each under the same key, and count what they are worth."""
    worth = 0
    for _ in range(3):
        arrived = await case.park("coin", reason="more is to come")
        worth += unpack(arrived.value, int)
    return worth


async def _again(case: Case, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again after a failure that is known to have left nothing, with pauses."""
    for _ in range(TRIES):
        try:
            return await ask()
        except (CallFailed, TaskFailed):
            await case.sleep(20)
    return await ask()


def bank_crew(bank: Bank, simulation: Simulation) -> Crew:
    """Make the crew that works with a run's bank."""
    tools = bank_tools(bank, simulation)
    names = tuple(each.name for each in tools)
    flows = [Flow.of(each, inputs=Refund, tools=names) for each in (refund, claim, cash, letter, coins)]
    agents = [
        Agent(name, {name: known}, tools=names, tier_max=IRREVERSIBLE)
        for name, known in (("judge", judge), ("settle", settle))
    ]
    everything = Limits(tools=names, tier_max=IRREVERSIBLE)
    policy = Policy(
        name="bank",
        agents={each.name: everything for each in agents},
        flows={each.name: everything for each in flows},
        bounds=Bounds(repeats_max=1_000),
    )
    return Crew("bank", flows=flows, agents=agents, tools=tools, policy=policy)
