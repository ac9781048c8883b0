"""A tiny crew with a scenario: refunds that an agent judges, a person approves above a limit, and an agent pays."""

from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

import anyio
from msgspec import Struct

from casework.actors import Agent, Crew, OpenCase, Skill, ToolContext, Work, skill, tool
from casework.actors.policy import Approval, Limits, Policy
from casework.actors.simulation import Arrival, Finished, Question, Said, Scenario, invariant, stub_in_simulation
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import TaskFailed
from casework.runtime.seams import Randomness

#: Above this a person decides.
LIMIT = 100


class Refund(Struct, frozen=True):
    """Who gets how much."""

    customer: str
    euros: int


class Customer(Struct, frozen=True):
    """Who is asked about."""

    customer: str


async def stands(arguments: Refund, value: str, context: ToolContext) -> bool:
    """Read back; a stub does it in simulation."""
    raise AssertionError("only a simulation runs this crew")


@tool(name="bank.pay", tier=RiskTier.IRREVERSIBLE, verify=stands, keyed=True, timeout_seconds=15.0)
async def pay(arguments: Refund, context: ToolContext) -> str:
    """Pay."""
    raise AssertionError("only a simulation runs this crew")


@tool(tier=RiskTier.READ_ONLY, timeout_seconds=15.0)
async def tier_of(arguments: Customer, context: ToolContext) -> str:
    """Say which customer it is; real code, with no stub."""
    return "gold" if arguments.customer.endswith("1") else "plain"


@skill
async def settle(inputs: Refund, work: Work) -> str:
    """Pay a refund."""
    await work.call("tier_of", {"customer": inputs.customer}, returns=str)
    return await work.call("bank.pay", inputs, returns=str)


async def refund(case: Case, inputs: Refund) -> str:
    """Ask a person above the limit, wait for the letter of every third, then pay."""
    if inputs.euros > LIMIT:
        decided = await case.review(f"Refund {inputs.customer}", inputs, rule="above_limit")
        if decided.action == "reject":
            return "rejected"
    if inputs.euros % 3 == 0:
        await case.park(f"letter:{inputs.customer}", reason="the customer writes")
    try:
        paid = await case.delegate(
            "settle",
            inputs,
            returns=object,
            goal="Pay",
            tools=["bank.pay", "tier_of"],
            tier=RiskTier.IRREVERSIBLE,
            deadline_seconds=3_600,
            calls=2,
            micros=1_000,
            on_stop=OnStop.FAIL,
        )
    except TaskFailed:
        return "given up"
    return str(paid.value)


class Shop(Scenario):
    """A bank that keeps books, customers who write letters, and a person who says no to the greedy."""

    def __init__(self, randomness: Randomness) -> None:
        super().__init__(randomness)
        draw = randomness.stream("euros")
        self.refunds = [Refund(f"c{number}", draw.randrange(1, 200)) for number in range(6)]
        self.books: list[Refund] = []

    def cases(self) -> Iterator[OpenCase]:
        """Open a refund for each customer."""
        for each in self.refunds:
            yield OpenCase("refund", f"r-{each.customer}", each)

    def arrivals(self) -> Iterator[Arrival]:
        """Write a letter for each refund that waits for one."""
        for each in self.refunds:
            if each.euros % 3 == 0:
                yield Arrival(f"letter:{each.customer}", "hello")

    def decide(self, question: Question) -> Said:
        """Say no to whoever wants more than 180, and to a payment above 140."""
        assert isinstance(question.proposal, dict)
        euros = question.proposal["euros"]
        assert isinstance(euros, int)
        return Said("reject" if euros > (140 if question.rule == "large" else 180) else "approve")

    @stub_in_simulation("bank.pay")
    async def pay(self, arguments: Refund, context: ToolContext) -> str:
        """Pay, and write it down."""
        self.books.append(arguments)
        return f"paid {arguments.euros}"

    @invariant("everybody gets what they asked for, once, or nothing")
    def fair(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare the books with what was asked."""
        for each in self.refunds:
            paid = [entry for entry in self.books if entry.customer == each.customer]
            if paid not in ([], [each]):
                yield f"r-{each.customer}", f"was paid {paid}"


class ClumsyShop(Shop):
    """A shop whose stand-in breaks: it does not know its customers."""

    @stub_in_simulation("bank.pay")
    async def pay(self, arguments: Refund, context: ToolContext) -> str:
        """Pay, unless the customer is not in the list."""
        return {"c0": "paid"}[arguments.customer]


class GenerousShop(Shop):
    """A shop that pays each customer twice what was asked for."""

    @stub_in_simulation("bank.pay")
    async def pay(self, arguments: Refund, context: ToolContext) -> str:
        """Pay too much."""
        return await super().pay(Refund(arguments.customer, 2 * arguments.euros), context)


class WaitingShop(Shop):
    """A shop whose stand-in waits."""

    @stub_in_simulation("bank.pay")
    async def pay(self, arguments: Refund, context: ToolContext) -> str:
        """Wait for ever."""
        await anyio.sleep_forever()
        return ""


EVERYTHING = Limits(tools=("bank.pay", "tier_of"), tier_max=RiskTier.IRREVERSIBLE)


def make_crew(
    flow: Callable[..., Coroutine[object, object, str]] = refund,
    settling: Skill = settle,
    scenario: str = "Shop",
    price: int = 0,
) -> Crew:
    """Make the crew, or a broken one, with another flow or another skill, or with payments at a price."""
    return Crew(
        "shop",
        flows=(Flow.of(flow, inputs=Refund),),
        agents=(Agent("payer", {"settle": settling}, tools=EVERYTHING.tools, tier_max=RiskTier.IRREVERSIBLE),),
        tools=(replace(pay, micros_max=price), tier_of),
        policy=Policy(
            name="shop",
            agents={"payer": EVERYTHING},
            flows={"refund": Limits()},
            approvals=(
                Approval(
                    rule="large", title="Pay this?", tool="bank.pay", amount_field="euros", amount_above=Decimal(120)
                ),
            ),
        ),
        scenario=f"tests.support.shop_crew:{scenario}",
    )


crew = make_crew()
