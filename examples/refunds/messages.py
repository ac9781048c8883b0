"""What the refund crew's agents and tools say to each other.

Amounts are whole cents. An agent is shown the fields that its message has and nothing more: the one that judges never
sees what the customer wrote, the one that reads the text never sees what was paid.
"""

import datetime as dt
from enum import StrEnum
from typing import Literal

from msgspec import Struct

Tier = Literal["standard", "gold"]
Kind = Literal["goods", "digital"]


class Wish(StrEnum):
    """Why a customer wants money back, as the shop's policy tells it apart."""

    CHANGED_MIND = "changed_mind"
    DAMAGED = "damaged"
    NOT_RECEIVED = "not_received"
    CHARGED_TWICE = "charged_twice"
    HELP = "help"
    """No money back, but help."""
    OTHER = "other"


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's request, as it stands in the folder; also the inputs of its case."""

    id: str
    order: str
    customer: str
    received: dt.date
    text: str


class Letter(Struct, frozen=True):
    """What the front door and the desks read: the text alone."""

    text: str


class Understood(Struct, frozen=True, tag="understood"):
    """What a text asks for; a desk gives this or a `Handoff`, so both have a tag."""

    wish: Wish


class Asked(Struct, frozen=True):
    """What things are looked up by."""

    order: str
    customer: str


class OrderRef(Struct, frozen=True):
    """An order by its number."""

    order: str


class CustomerRef(Struct, frozen=True):
    """A customer by number."""

    customer: str


class Delivery(Struct, frozen=True):
    """Where a parcel is, as one source tells it."""

    state: Literal["underway", "delivered", "lost"]
    on: dt.date | None = None
    """The day of delivery."""


class Order(Struct, frozen=True, kw_only=True):
    """An order in the shop's books."""

    order: str
    customer: str
    product: str
    kind: Kind
    cents: int
    charged_cents: int
    """What was taken from the customer in all; more than `cents` if the bank was asked twice."""
    status: str


class Customer(Struct, frozen=True, kw_only=True):
    """A customer, as far as the policy asks."""

    customer: str
    tier: Tier


class Tickets(Struct, frozen=True):
    """Refunds that a customer had in the twelve months before."""

    refunds: int


class Found(Struct, frozen=True, kw_only=True):
    """What the shop's systems say, once they agree."""

    order: Order
    customer: Customer
    tickets: Tickets
    delivery: Delivery


class Facts(Found, frozen=True, kw_only=True):
    """All that is judged."""

    wish: Wish
    received: dt.date


class Judged(Struct, frozen=True, kw_only=True):
    """What the policy says of a request."""

    verdict: Literal["refund", "exception", "refuse"]
    cents: int
    rule: str
    why: str
    goods_come_back: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """A refund that is to be made."""

    request: str
    order: str
    customer: str
    cents: int
    was: str
    """The order's status before."""
    goods_come_back: bool


class LabelOrder(Struct, frozen=True):
    """A return label to be made for an order."""

    order: str


class LabelTaken(Struct, frozen=True):
    """A label that is to be cancelled; `result` is its code."""

    order: str
    result: str


class StatusChange(Struct, frozen=True):
    """An order's status is to become another one, if it is still `was`."""

    order: str
    was: str
    becomes: str


class BookRefund(Struct, frozen=True):
    """A refund in the shop's ledger."""

    order: str
    cents: int


class BookingTaken(Struct, frozen=True):
    """A booking that is to be reversed; `result` is its number."""

    order: str
    cents: int
    result: str


class PayBack(Struct, frozen=True):
    """Money that goes back to a customer."""

    order: str
    customer: str
    cents: int


class Message(Struct, frozen=True):
    """A letter to a customer made of a template; free text does not exist here."""

    request: str
    customer: str
    template: Literal["refunded", "refused", "exception_refused", "sorry", "passed_on"]


class Done(Struct, frozen=True):
    """What a finished refund left behind."""

    booking: str
    payment: str
    label: str = ""


class Resolved(Struct, frozen=True, kw_only=True):
    """How a request ended."""

    outcome: Literal["refunded", "refused", "passed_on", "failed"]
    rule: str
    why: str
    cents: int = 0
    by: str = ""
    """Who decided, if it was a person."""
