"""A crew that lacks a safeguard: whoever hears of no payment pays anew, under another key. Simulation finds it.

Run it as `hasty_shop:crew` from this folder.
"""

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from casework.actors import Agent, Crew, OpenCase, ToolContext, Work, skill, tool
from casework.actors.policy import Limits, Policy
from casework.actors.simulation import Finished, Scenario, invariant, stub_in_simulation
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import TaskFailed
from casework.runtime.seams import Randomness


class Refund(Struct, frozen=True):
    """Who gets how much."""

    customer: str
    euros: int


async def stands(arguments: Refund, value: str, context: ToolContext) -> bool:
    """Read back; a stub does it in simulation."""
    raise AssertionError("only a simulation runs this crew")


@tool(name="bank.pay", tier=RiskTier.IRREVERSIBLE, verify=stands, keyed=True, timeout_seconds=15.0)
async def pay(arguments: Refund, context: ToolContext) -> str:
    """Pay."""
    raise AssertionError("only a simulation runs this crew")


@skill
async def settle(inputs: Refund, work: Work) -> str:
    """Pay a refund."""
    return await work.call("bank.pay", inputs, returns=str)


async def refund(case: Case, inputs: Refund) -> str:
    """Pay, and pay again where that did not seem to work: it may have."""
    for _ in range(3):
        try:
            paid = await case.delegate(
                "settle",
                inputs,
                returns=object,
                goal="Pay",
                tools=["bank.pay"],
                tier=RiskTier.IRREVERSIBLE,
                deadline_seconds=20,
                on_stop=OnStop.FAIL,
            )
        except TaskFailed:
            continue
        return str(paid.value)
    return "given up"


class Shop(Scenario):
    """A bank that keeps books."""

    def __init__(self, randomness: Randomness) -> None:
        super().__init__(randomness)
        self.refunds = [Refund(f"c{number}", 10 + number) for number in range(3)]
        self.books: Counter[str] = Counter()

    def cases(self) -> Iterator[OpenCase]:
        """Open a refund for each customer."""
        for each in self.refunds:
            yield OpenCase("refund", f"r-{each.customer}", each)

    @stub_in_simulation("bank.pay")
    async def pay(self, arguments: Refund, context: ToolContext) -> str:
        """Pay, and write it down."""
        self.books[arguments.customer] += 1
        return f"paid {arguments.euros}"

    @invariant("nobody is paid twice")
    def paid_once(self, finished: Finished) -> Iterator[tuple[str, str]]:
        """Look at the books."""
        for customer, times in self.books.items():
            if times > 1:
                yield f"r-{customer}", f"was paid {times} times"


LIMITS = Limits(tools=("bank.pay",), tier_max=RiskTier.IRREVERSIBLE)
crew = Crew(
    "hasty",
    flows=(Flow.of(refund, inputs=Refund),),
    agents=(Agent("payer", {"settle": settle}, tools=LIMITS.tools, tier_max=RiskTier.IRREVERSIBLE),),
    tools=(pay,),
    policy=Policy(name="hasty", agents={"payer": LIMITS}),
    scenario="hasty_shop:Shop",
)
