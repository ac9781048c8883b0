"""A day at the shop's counter for simulation: some refund requests, drawn anew for each seed, and the people behind it.

The systems are the sample's own, in a database in memory; what the tools would ask of them is asked here. People grant
and refuse by chance. It does not know what goes wrong in a run.
"""

import datetime as dt
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from casework.actors import OpenCase, ToolContext
from casework.actors.simulation import Finished, Question, Said, Scenario, invariant, stub_in_simulation
from casework.protocols.codec import unpack
from casework.protocols.records import Closed, Partial, ReviewAction
from casework.runtime.seams import Randomness
from examples.refunds.messages import (
    BookingTaken,
    BookRefund,
    Customer,
    CustomerRef,
    Delivery,
    LabelOrder,
    LabelTaken,
    Message,
    Order,
    OrderRef,
    PayBack,
    Request,
    Resolved,
    StatusChange,
    Tickets,
    Understood,
    Wish,
)
from examples.refunds.rules import REFUNDED
from examples.refunds.shop import CustomerSeed, OrderSeed, Seed, Shop
from examples.refunds.tools import there

REQUESTS: Final = (5, 9)
TODAY: Final = dt.date(2026, 5, 1)
TEXTS: Final = (
    "I changed my mind",
    "it is broken",
    "it never arrived",
    "I was charged twice",
    "how do I reset it?",
    "broken, and it never arrived",
    "hello?",
)
#: The part of requests that are about an order that somebody else asks about as well, or that is not there.
AGAIN: Final = 0.15
MISSING: Final = 0.05


class Counter(Scenario):
    """Customers, their orders and their requests in one run."""

    def __init__(self, randomness: Randomness) -> None:
        """Draw a day."""
        super().__init__(randomness)
        draw = randomness.stream("shop")
        count = draw.randint(*REQUESTS)
        customers = [
            CustomerSeed(
                customer=f"c-{number}",
                tier=draw.choice(("standard", "gold")),
                refunds=draw.randrange(5),
                account="closed" if draw.random() < 0.25 else "open",
            )
            for number in range(count)
        ]
        orders = [self._order(draw.random(), number) for number in range(count)]
        self.link = sqlite3.connect(":memory:", isolation_level=None)
        self.shop = Shop(self.link)
        self.shop.fill(Seed(customers=tuple(customers), orders=tuple(orders)))
        self.requests = [self._request(number, count) for number in range(count)]

    def cases(self) -> Iterator[OpenCase]:
        """Open a case for each request."""
        for each in self.requests:
            yield OpenCase("resolve_refund", each.id, each)

    def decide(self, question: Question) -> Said:
        """Grant mostly; what was not understood becomes damage."""
        chance = self.randomness.stream(f"people/{question.rule}/{question.case_id}")
        if chance.random() < 0.25:
            return Said(ReviewAction.REJECT, reason="not this time")
        if question.rule == "unclear":
            return Said(ReviewAction.EDIT, Understood(Wish.DAMAGED))
        return Said()

    # What the tools reach.

    @stub_in_simulation("read_order")
    async def read_order(self, arguments: OrderRef, context: ToolContext) -> Order:
        """Read the books."""
        return there(self.shop.order(arguments.order), "order")

    @stub_in_simulation("read_shipment")
    async def read_shipment(self, arguments: OrderRef, context: ToolContext) -> Delivery:
        """Read what the shop believes."""
        return there(self.shop.believed(arguments.order), "order")

    @stub_in_simulation("track_parcel")
    async def track_parcel(self, arguments: OrderRef, context: ToolContext) -> Delivery:
        """Ask the carrier."""
        return there(self.shop.carried(arguments.order), "parcel")

    @stub_in_simulation("read_customer")
    async def read_customer(self, arguments: CustomerRef, context: ToolContext) -> Customer:
        """Read a customer."""
        return there(self.shop.customer(arguments.customer), "customer")

    @stub_in_simulation("read_tickets")
    async def read_tickets(self, arguments: CustomerRef, context: ToolContext) -> Tickets:
        """Read what was refunded before."""
        return self.shop.tickets(arguments.customer)

    @stub_in_simulation("make_label")
    async def make_label(self, arguments: LabelOrder, context: ToolContext) -> str:
        """Make a label."""
        return self.shop.make_label(context.idempotency_key, arguments.order)

    @stub_in_simulation("cancel_label")
    async def cancel_label(self, arguments: LabelTaken, context: ToolContext) -> str:
        """Cancel a label, unless its parcel is on its way."""
        return self.shop.cancel_label(context.idempotency_key, arguments.result)

    @stub_in_simulation("set_status")
    async def set_status(self, arguments: StatusChange, context: ToolContext) -> str:
        """Change a status, if nobody else has."""
        change = arguments
        return self.shop.change_status(context.idempotency_key, change.order, change.was, change.becomes)

    @stub_in_simulation("put_status_back")
    async def put_status_back(self, arguments: StatusChange, context: ToolContext) -> str:
        """Change a status back."""
        change = arguments
        return self.shop.change_status(context.idempotency_key, change.order, change.becomes, change.was)

    @stub_in_simulation("book_refund")
    async def book_refund(self, arguments: BookRefund, context: ToolContext) -> str:
        """Book a refund."""
        return self.shop.book(context.idempotency_key, arguments.order, arguments.cents)

    @stub_in_simulation("reverse_booking")
    async def reverse_booking(self, arguments: BookingTaken, context: ToolContext) -> str:
        """Reverse a booking."""
        return self.shop.reverse(context.idempotency_key, arguments.result)

    @stub_in_simulation("pay_back")
    async def pay_back(self, arguments: PayBack, context: ToolContext) -> str:
        """Pay, unless the account is closed."""
        given = arguments
        return self.shop.pay(context.idempotency_key, given.order, given.customer, given.cents)

    @stub_in_simulation("send_letter")
    async def send_letter(self, arguments: Message, context: ToolContext) -> str:
        """Send a letter."""
        letter = arguments
        return self.shop.send(context.idempotency_key, letter.request, letter.customer, letter.template)

    # What must hold.

    @invariant("no order is refunded twice, and none for more than was taken")
    def refunded_once(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Look at the payments of each order."""
        for request in self.requests:
            paid = self.shop.paid(request.order)
            order = self.shop.order(request.order)
            if len(paid) > 1 or (order is not None and sum(paid) > order.charged_cents):
                yield request.id, f"{request.order} was paid back as {paid}"

    @invariant("the ledger has what was paid, unless a person was told that it does not")
    def books_agree(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare the ledger with the bank for each order."""
        for request in self.requests:
            paid, booked = sum(self.shop.paid(request.order)), self.shop.booked(request.order)
            if paid != booked and not self._left_open(finished, request.order):
                yield request.id, f"{request.order}: {paid} was paid, {booked} is booked"

    @invariant("an order is called refunded when its money went back, and only then")
    def status_agrees(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare the status with the bank for each order."""
        for request in self.requests:
            told, paid = self.shop.status(request.order) == REFUNDED, bool(self.shop.paid(request.order))
            if told != paid and not self._left_open(finished, request.order):
                yield request.id, f"{request.order}: paid is {paid}, but the status says {told}"

    @invariant("a customer is told how the request ended, once")
    def told_once(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare what a closed case says with the letters that were sent."""
        for request in self.requests:
            letters = self.shop.letters(request.id)
            resolved = _resolved(finished, request.id)
            if len(letters) > 1 or (resolved is not None and len(letters) != 1):
                yield request.id, f"letters: {letters}"

    def _left_open(self, finished: Finished, order: str) -> bool:
        """Tell whether a case about an order has not ended, or a person knows that it ended in part."""
        cases = [each.id for each in self.requests if each.order == order]
        return any(
            _resolved(finished, case_id) is None
            or any(isinstance(line.entry, Partial) for line in finished.lines[case_id])
            for case_id in cases
        )

    # How it is drawn.

    def _order(self, chance: float, number: int) -> OrderSeed:
        draw = self.randomness.stream(f"order/{number}")
        day = TODAY - dt.timedelta(days=draw.randrange(1, 80))
        told = (Delivery("delivered", day), Delivery("underway"), Delivery("lost"))
        cents = draw.choice((2_500, 12_000, 24_999, 25_001, 80_000))
        return OrderSeed(
            order=f"o-{number}",
            customer=f"c-{number}",
            product="thing",
            cents=cents,
            kind="digital" if chance < 0.1 else "goods",
            charged_cents=2 * cents if chance > 0.7 else cents,
            shop_says=draw.choice(told[:2]),
            carrier_says=draw.choice(told),
            collected=draw.random() < 0.3,
        )

    def _request(self, number: int, count: int) -> Request:
        draw = self.randomness.stream(f"request/{number}")
        mood, order = draw.random(), f"o-{number}"
        if mood < MISSING:
            order = "o-none"
        elif mood < MISSING + AGAIN:
            order = f"o-{draw.randrange(count)}"
        return Request(id=f"r-{number}", order=order, customer=f"c-{number}", received=TODAY, text=draw.choice(TEXTS))


def _resolved(finished: Finished, case_id: str) -> Resolved | None:
    """Give how a case ended; None if it has not, or not by itself."""
    lines = finished.lines.get(case_id)
    last = lines[-1].entry if lines else None
    if not isinstance(last, Closed) or last.result != "completed":
        return None
    return unpack(last.value, Resolved)
