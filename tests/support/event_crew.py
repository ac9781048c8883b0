"""A crew of publishers, a topic and two who watch it, with its world in simulation: nothing is lost or comes twice.

Run it as `casework simulate tests.support.event_crew:crew`.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from casework.actors import Crew, OpenCase, ToolContext, tool
from casework.actors.patterns import TOPIC, Code, Cursor, Subscription, Terms, Topic, announce
from casework.actors.policy import Bounds, Limits, Policy
from casework.actors.simulation import Scenario, invariant, stub_in_simulation
from casework.actors.simulation.finished import Finished
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.errors import CallFailed
from casework.runtime.seams import MICROS, Randomness

#: Publishers, and what each of them announces.
PUBLISHERS: Final = 3
EVENTS: Final = 8


class Order(Struct, frozen=True):
    shop: str
    number: int


class Booking(Struct, frozen=True):
    watcher: str
    order: Order


class Watch(Struct, frozen=True, kw_only=True):
    cursor: Cursor = Cursor()


async def booked(booking: Booking, value: str, context: ToolContext) -> bool:
    raise AssertionError("in simulation the world is asked")


@tool(name="ledger.book", tier=RiskTier.IRREVERSIBLE, verify=booked, keyed=True)
async def book(booking: Booking, context: ToolContext) -> str:
    raise AssertionError("in simulation nothing is reached")


async def enter(case: Case, order: Order, terms: Terms) -> str:
    """Book an order; once more when it surely did not work."""
    while True:
        try:
            return await case.call("ledger.book", Booking(case.id, order), returns=str)
        except CallFailed as error:
            if error.kind is FailureKind.UNKNOWN:
                return "somebody saw that it is booked"
            await case.sleep(5)


ORDERS: Final = Subscription("orders", "orders", Order, Code("enter", Order, str, enter, ("ledger.book",)))


async def watch(case: Case, inputs: Watch) -> None:
    """Book every order, for ever."""

    def terms(now: int) -> Terms:
        tier = RiskTier.IRREVERSIBLE
        return Terms(deadline=now + 3_600 * MICROS, calls=100, tools=("ledger.book",), tier=tier)

    cursor = await ORDERS.follow(case, inputs.cursor, terms)
    await case.next_chapter(Watch(cursor=cursor))


async def shop(case: Case, inputs: Order) -> None:
    """Announce orders, one a second."""
    for number in range(inputs.number):
        await announce(case, "orders", Order(inputs.shop, number))
        await case.sleep(1)


class Ledger(Scenario):
    """The ledger outside of one run."""

    def __init__(self, randomness: Randomness) -> None:
        super().__init__(randomness)
        self.booked: defaultdict[str, list[Order]] = defaultdict(list)

    def cases(self) -> Iterator[OpenCase]:
        yield OpenCase("topic", "orders", Topic())
        yield OpenCase("watch", "early", Watch())
        for number in range(PUBLISHERS):
            yield OpenCase("shop", f"shop-{number}", Order(f"s{number}", EVENTS))
        yield OpenCase("watch", "late", Watch())

    @stub_in_simulation("ledger.book")
    async def book(self, booking: Booking, context: ToolContext) -> str:
        self.booked[booking.watcher].append(booking.order)
        return "booked"

    @invariant("every watcher books every order once, all in one order, and each shop's in its own")
    def each_once(self, finished: Finished) -> Iterator[tuple[str, str]]:
        wanted = {Order(f"s{shop}", number) for shop in range(PUBLISHERS) for number in range(EVENTS)}
        for watcher in ("early", "late"):
            had = self.booked[watcher]
            if len(had) != len(wanted) or set(had) != wanted:
                yield watcher, f"booked {len(had)} orders, {len(set(had))} of {len(wanted)}"
            for shop in range(PUBLISHERS):
                numbers = [order.number for order in had if order.shop == f"s{shop}"]
                if numbers != sorted(numbers):
                    yield watcher, f"booked the orders of s{shop} as {numbers}"
        if self.booked["early"] != self.booked["late"]:
            yield "late", "booked in another order than early"


LIMITS: Final = Limits(tools=("ledger.book",), tier_max=RiskTier.IRREVERSIBLE)
crew = Crew(
    "events",
    tools=[book],
    flows=[TOPIC, Flow.of(watch, inputs=Watch, tools=LIMITS.tools), Flow.of(shop, inputs=Order)],
    policy=Policy(name="events", flows={"watch": LIMITS}, bounds=Bounds(repeats_max=1_000)),
    scenario="tests.support.event_crew:Ledger",
)
