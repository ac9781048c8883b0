"""The records of the ledger: transactions, receipts, bookings, and what is wrong with them.

Every amount is a `Decimal` of whole cents. These records know no rules; the modules beside this one do.
"""

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Annotated, Final, Literal

import msgspec

from casework.actors.personal import kept, personal

#: Why people stand here by name and account: this is the one thing that books must tell.
_BOOKS: Final = "the books say who was paid and who paid, and the law has them kept for seven years"


class Problem(msgspec.Struct, frozen=True, kw_only=True, tag="problem"):
    """Something in the input that was refused, while everything else went on."""

    file: str
    line: int = 0
    """1-based line in the file; 0 when the whole file is meant."""
    message: str
    """One line: what was found, what was expected, what to do."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class Transaction(msgspec.Struct, frozen=True, kw_only=True, tag="transaction"):
    """One line of a bank export, normalised."""

    id: str
    bank: Literal["ing", "rabobank"]
    account: str
    """Own IBAN, without spaces."""
    date: dt.date
    amount: Decimal
    """Signed: money in is positive."""
    name: Annotated[str, personal("the name of a person, if it is not a firm's"), kept(_BOOKS)]
    """Counterparty as the bank writes it, white space collapsed."""
    counter_iban: Annotated[str, kept(_BOOKS)] = ""
    description: str = ""
    reference: str = ""
    """Payment reference of the payer or the collector, if the export has one."""
    code: str = ""
    source: str = ""
    """File name of the export."""
    line: int = 0


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True, tag="receipt_line"):
    """One thing bought or sold, as printed."""

    description: str
    amount: Decimal


class RateLine(msgspec.Struct, frozen=True, kw_only=True, tag="rate_line"):
    """What a receipt says about one VAT rate; `net` and `vat` are None where it gives only the gross amount."""

    rate: int
    """Per cent."""
    gross: Decimal
    net: Decimal | None = None
    vat: Decimal | None = None


class VatLine(msgspec.Struct, frozen=True, kw_only=True, tag="vat_line"):
    """One rate of a booking, worked out to whole cents."""

    rate: int
    net: Decimal
    vat: Decimal
    gross: Decimal


class ReceiptFacts(msgspec.Struct, frozen=True, kw_only=True, tag="receipt_facts"):
    """What a receipt or invoice says, before anybody judges it."""

    vendor: str
    date: dt.date
    total: Decimal
    """Including VAT; negative on a credit note."""
    number: str = ""
    vat_id: str = ""
    lines: tuple[ReceiptLine, ...] = ()
    rates: tuple[RateLine, ...] = ()
    reverse_charge: bool = False
    credit: bool = False
    sale: bool = False
    """An invoice that the business itself sent."""
    customer: str = ""
    source: str = ""
    """Path of the file, relative to the input folder."""
    sha256: str = ""
    hints: tuple[str, ...] = ()
    """Lines with no known label, kept for the categoriser and for a person."""


class Treatment(Enum):
    """How a booking enters the VAT return."""

    SALE = "sale"
    PURCHASE = "purchase"
    REVERSE_CHARGE = "reverse_charge"
    NO_VAT = "no_vat"


class Booking(msgspec.Struct, frozen=True, kw_only=True, tag="booking"):
    """A transaction that is in the totals, with the evidence for it."""

    transaction: str
    date: dt.date
    amount: Decimal
    """Signed bank amount."""
    category: str
    treatment: Treatment
    vat_lines: tuple[VatLine, ...] = ()
    """Positive in the booking's normal direction, negative for a credit note; empty without VAT."""
    receipt: str = ""
    receipt_sha256: str = ""
    counterparty: str = ""
    confidence: float = 1.0
    rule: str = ""


class Status(Enum):
    """What became of a transaction that somebody should look at."""

    PARKED = "parked"
    REVIEW = "review"
    BOOKED = "booked"
    EXCLUDED = "excluded"


class Flag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the exception list. Untagged: it stands in overview.json as it is."""

    kind: str
    status: Status
    amount: Decimal | None
    """Signed bank amount; None where the flag is about a receipt alone."""
    transaction: str = ""
    receipt: str = ""
    """File name, when the flag is about a receipt and no transaction is known."""
    date: dt.date | None = None
    counterparty: str = ""
    message: str = ""
    """One sentence for a person: what is odd and what to do."""
    waits_for: str = ""
    evidence: tuple[str, ...] = ()
    """Paths of the files that bear on it, relative to the input folder."""
    trail: str = ""
    """Case whose decisions led here; a key of the overview's trails."""
