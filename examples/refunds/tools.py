"""The refund crew's tools: what it may read of the shop's systems, and each thing that it may change there.

Every write goes out under the key that the gate fixed, is read back, and, all but the payment and the letter, can be
undone. It does not know who calls, nor why.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from casework.actors import KnownFailure, ToolContext, tool
from casework.protocols.wire import RiskTier
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
    StatusChange,
    Tickets,
)
from examples.refunds.shop import Seed, Shop, shop_in

T = TypeVar("T")

#: The file of the input folder that says what the systems hold.
SYSTEMS: Final = "systems.json"


@tool(tier=RiskTier.READ_ONLY)
async def read_order(arguments: OrderRef, context: ToolContext) -> Order:
    """Read an order in the shop's books."""
    return there(await _asked(context, lambda shop: shop.order(arguments.order)), "order")


@tool(tier=RiskTier.READ_ONLY)
async def read_shipment(arguments: OrderRef, context: ToolContext) -> Delivery:
    """Read where the shop believes an order's parcel to be."""
    return there(await _asked(context, lambda shop: shop.believed(arguments.order)), "order")


@tool(tier=RiskTier.READ_ONLY)
async def track_parcel(arguments: OrderRef, context: ToolContext) -> Delivery:
    """Ask the carrier where an order's parcel is."""
    return there(await _asked(context, lambda shop: shop.carried(arguments.order)), "parcel")


@tool(tier=RiskTier.READ_ONLY)
async def read_customer(arguments: CustomerRef, context: ToolContext) -> Customer:
    """Read a customer's tier."""
    return there(await _asked(context, lambda shop: shop.customer(arguments.customer)), "customer")


@tool(tier=RiskTier.READ_ONLY)
async def read_tickets(arguments: CustomerRef, context: ToolContext) -> Tickets:
    """Read what a customer was refunded before."""
    return await _asked(context, lambda shop: shop.tickets(arguments.customer))


async def happened(arguments: msgspec.Struct, context: ToolContext) -> str | None:
    """Say whether a write was made under its key."""
    return await _asked(context, lambda shop: shop.happened(context.idempotency_key))


async def label_there(arguments: LabelOrder, code: str, context: ToolContext) -> bool:
    """Read a label back."""
    return await _asked(context, lambda shop: shop.state("label", code) in ("open", "collected"))


async def label_gone(arguments: LabelTaken, code: str, context: ToolContext) -> bool:
    """Read back that a label is cancelled."""
    return await _asked(context, lambda shop: shop.state("label", arguments.result) == "cancelled")


async def status_set(arguments: StatusChange, code: str, context: ToolContext) -> bool:
    """Read an order's status back."""
    return await _asked(context, lambda shop: shop.status(arguments.order) == arguments.becomes)


async def status_back(arguments: StatusChange, code: str, context: ToolContext) -> bool:
    """Read back that an order has its old status."""
    return await _asked(context, lambda shop: shop.status(arguments.order) == arguments.was)


async def booked(arguments: BookRefund, code: str, context: ToolContext) -> bool:
    """Read a booking back."""
    return await _asked(context, lambda shop: shop.state("booking", code) == "booked")


async def reversed_(arguments: BookingTaken, code: str, context: ToolContext) -> bool:
    """Read back that a booking is reversed."""
    return await _asked(context, lambda shop: shop.state("booking", arguments.result) == "reversed")


async def paid(arguments: PayBack, code: str, context: ToolContext) -> bool:
    """Read back that just this was paid for the order, and nothing beside it."""
    return await _asked(context, lambda shop: shop.paid(arguments.order) == [arguments.cents])


async def sent(arguments: Message, code: str, context: ToolContext) -> bool:
    """Read a letter back."""
    return await _asked(context, lambda shop: arguments.template in shop.letters(arguments.request))


@tool(tier=RiskTier.REVERSIBLE, verify=label_there, lookup=happened, undo="cancel_label", keyed=True)
async def make_label(arguments: LabelOrder, context: ToolContext) -> str:
    """Make a return label; gives its code."""
    return await _asked(context, lambda shop: shop.make_label(context.idempotency_key, arguments.order))


@tool(tier=RiskTier.IRREVERSIBLE, verify=label_gone, lookup=happened, keyed=True)
async def cancel_label(arguments: LabelTaken, context: ToolContext) -> str:
    """Cancel a return label; impossible once the parcel is on its way."""
    return await _asked(context, lambda shop: shop.cancel_label(context.idempotency_key, arguments.result))


@tool(tier=RiskTier.REVERSIBLE, verify=status_set, lookup=happened, undo="put_status_back", keyed=True)
async def set_status(arguments: StatusChange, context: ToolContext) -> str:
    """Change an order's status, if nobody else has changed it."""
    key, change = context.idempotency_key, arguments
    return await _asked(context, lambda shop: shop.change_status(key, change.order, change.was, change.becomes))


@tool(tier=RiskTier.REVERSIBLE, verify=status_back, lookup=happened, undo="set_status", keyed=True)
async def put_status_back(arguments: StatusChange, context: ToolContext) -> str:
    """Give an order its old status."""
    key, change = context.idempotency_key, arguments
    return await _asked(context, lambda shop: shop.change_status(key, change.order, change.becomes, change.was))


@tool(tier=RiskTier.REVERSIBLE, verify=booked, lookup=happened, undo="reverse_booking", keyed=True)
async def book_refund(arguments: BookRefund, context: ToolContext) -> str:
    """Book a refund in the ledger; gives the booking's number."""
    key = context.idempotency_key
    return await _asked(context, lambda shop: shop.book(key, arguments.order, arguments.cents))


@tool(tier=RiskTier.IRREVERSIBLE, verify=reversed_, lookup=happened, keyed=True)
async def reverse_booking(arguments: BookingTaken, context: ToolContext) -> str:
    """Reverse a booking; a reversal stays in the ledger as well."""
    return await _asked(context, lambda shop: shop.reverse(context.idempotency_key, arguments.result))


@tool(tier=RiskTier.IRREVERSIBLE, verify=paid, lookup=happened, keyed=True)
async def pay_back(arguments: PayBack, context: ToolContext) -> str:
    """Pay money back to a customer; nothing undoes it."""
    key, given = context.idempotency_key, arguments
    return await _asked(context, lambda shop: shop.pay(key, given.order, given.customer, given.cents))


@tool(tier=RiskTier.IRREVERSIBLE, verify=sent, lookup=happened, keyed=True)
async def send_letter(arguments: Message, context: ToolContext) -> str:
    """Send a letter made of a template."""
    key, letter = context.idempotency_key, arguments
    return await _asked(context, lambda shop: shop.send(key, letter.request, letter.customer, letter.template))


TOOLS: Final = (
    *(read_order, read_shipment, track_parcel, read_customer, read_tickets),
    *(make_label, cancel_label, set_status, put_status_back, book_refund, reverse_booking, pay_back, send_letter),
)


async def _asked(context: ToolContext, question: Callable[[Shop], T]) -> T:
    """Ask the systems in the output folder; they are set up from the input folder when they are first asked."""
    return await context.offload(_ask, _folder(context, "input"), _folder(context, "out"), question)


def _ask(source: Path, out: Path, question: Callable[[Shop], T]) -> T:
    with shop_in(out) as shop:
        shop.fill(read_seed(source))
        return question(shop)


def there(found: T | None, what: str) -> T:
    """Give what was found; the systems surely have no such thing if there is nothing."""
    if found is None:
        raise KnownFailure(f"there is no such {what}")
    return found


def read_seed(folder: Path) -> Seed:
    """Read what the systems hold at first.

    Raises:
        KnownFailure: the file is not there, or says something else; names the place.
    """
    try:
        return msgspec.json.decode((folder / SYSTEMS).read_bytes(), type=Seed)
    except OSError as error:
        raise KnownFailure(f"{SYSTEMS} cannot be read ({error.strerror}): the input folder needs it") from error
    except msgspec.MsgspecError as error:
        raise KnownFailure(f"{SYSTEMS}: {error}") from error


def _folder(context: ToolContext, name: str) -> Path:
    if name not in context.settings:
        raise KnownFailure(f"the run has no setting {name!r}; name the folder with `casework run CREW INPUT --out OUT`")
    return Path(context.settings[name])
