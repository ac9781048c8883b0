"""The crew's agents: the front door and two desks, three that look things up, a judge, a cashier, and one that writes.

Nobody holds everything: who reads the text sees no amounts, who judges cannot pay, who pays does not judge.
"""

from typing import Final, TypeVar

from msgspec import Struct

from casework.actors import Agent, Answer, CallRefused, Work, WorkFailed, skill
from casework.actors.patterns import Choice, Handoff
from casework.protocols.wire import FailureKind, RiskTier
from examples.refunds.messages import (
    BookRefund,
    Customer,
    CustomerRef,
    Delivery,
    Done,
    Facts,
    Judged,
    LabelOrder,
    Letter,
    Message,
    Order,
    OrderRef,
    PayBack,
    Plan,
    StatusChange,
    Tickets,
    Understood,
)
from examples.refunds.model import Reader, Script, wishes
from examples.refunds.rules import REFUNDED, figures_of
from examples.refunds.rules import judge as judge_facts

T = TypeVar("T")

#: Who reads texts; another reader may stand here.
READER: Final[Reader] = Script()


#: How sure the shop can be of where a parcel is that somebody else carries, and how sure the carrier.
BELIEVED: Final = 0.6
CARRIED: Final = 0.95


@skill
async def triage(inputs: Letter, work: Work) -> Choice:
    """Say whose business a text is."""
    return await READER.read(inputs.text)


@skill
async def read_billing(inputs: Letter, work: Work) -> Understood | Handoff:
    """Say what is asked of billing; a text about a parcel is for shipping."""
    return _understood("billing", "shipping", inputs.text)


@skill
async def read_shipping(inputs: Letter, work: Work) -> Understood | Handoff:
    """Say what is asked of shipping; a text about money is for billing."""
    return _understood("shipping", "billing", inputs.text)


def _understood(desk: str, other: str, text: str) -> Understood | Handoff:
    found = wishes(desk, text)
    return Understood(found[0]) if found else Handoff(route=other, reason=f"nothing in it is for {desk}")


@skill
async def find_order(inputs: OrderRef, work: Work) -> Order:
    """Look an order up in the shop's books."""
    return await _looked_up("read_order", inputs, Order, work)


@skill
async def find_shipment(inputs: OrderRef, work: Work) -> Answer[Delivery]:
    """Look up where the shop believes a parcel to be."""
    return Answer(await _looked_up("read_shipment", inputs, Delivery, work), BELIEVED)


@skill
async def track(inputs: OrderRef, work: Work) -> Answer[Delivery]:
    """Ask the carrier where a parcel is."""
    return Answer(await _looked_up("track_parcel", inputs, Delivery, work), CARRIED)


@skill
async def find_customer(inputs: CustomerRef, work: Work) -> Customer:
    """Look a customer up."""
    return await _looked_up("read_customer", inputs, Customer, work)


async def _looked_up(tool: str, ref: OrderRef | CustomerRef, returns: type[T], work: Work) -> T:
    """Read a thing; one that is surely not there is no reason to try again."""
    try:
        return await work.call(tool, ref, returns=returns)
    except CallRefused as error:
        if error.kind is not FailureKind.ERROR:
            raise
        raise WorkFailed(error.message, kind=FailureKind.INVALID) from error


@skill
async def find_tickets(inputs: CustomerRef, work: Work) -> Tickets:
    """Look up what a customer was refunded before."""
    return await work.call("read_tickets", inputs, returns=Tickets)


@skill
async def judge(inputs: Facts, work: Work) -> Judged:
    """Hold a request against the policy."""
    return judge_facts(inputs, figures_of(work.policy))


@skill
async def refund(inputs: Plan, work: Work) -> Done:
    """Carry a refund out: label, status, booking, and the money last, for nothing takes that back."""
    label = ""
    try:
        if inputs.goods_come_back:
            label = await _written("make_label", LabelOrder(inputs.order), work)
        await _written("set_status", StatusChange(inputs.order, inputs.was, REFUNDED), work)
        booking = await _written("book_refund", BookRefund(inputs.order, inputs.cents), work)
        payment = await _written("pay_back", PayBack(inputs.order, inputs.customer, inputs.cents), work)
    except CallRefused as error:
        raise WorkFailed(error.message, kind=error.kind) from error
    return Done(booking, payment, label)


@skill
async def tell(inputs: Message, work: Work) -> str:
    """Write to the customer."""
    return await _written("send_letter", inputs, work)


async def _written(tool: str, arguments: Struct, work: Work) -> str:
    """Have a write made and give its code; where a person had to say that it happened, that is not known."""
    code = await work.call(tool, arguments, returns=object)
    return code if isinstance(code, str) else ""


AGENTS: Final = (
    Agent("front_door", {"triage": triage}),
    Agent("billing", {"read_billing": read_billing}),
    Agent("shipping", {"read_shipping": read_shipping}),
    Agent("clerk", {"find_order": find_order, "find_shipment": find_shipment}, tools=("read_order", "read_shipment")),
    Agent("carrier", {"track": track}, tools=("track_parcel",)),
    Agent(
        "relations",
        {"find_customer": find_customer, "find_tickets": find_tickets},
        tools=("read_customer", "read_tickets"),
    ),
    Agent("judge", {"judge": judge}),
    Agent(
        "cashier",
        {"refund": refund},
        tools=("make_label", "set_status", "book_refund", "pay_back"),
        tier_max=RiskTier.IRREVERSIBLE,
    ),
    Agent("writer", {"tell": tell}, tools=("send_letter",), tier_max=RiskTier.IRREVERSIBLE),
)
