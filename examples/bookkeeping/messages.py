"""What flows and agents of this crew hand to each other: the inputs that each declared, and what it gives back.

It does not know who sends them.
"""

import enum
from decimal import Decimal

import msgspec

from examples.bookkeeping.anomalies import Duplicate, Unusual
from examples.bookkeeping.business import Business
from examples.bookkeeping.ledger import Booking, Flag, Problem, ReceiptFacts, Transaction, Treatment, VatLine
from examples.bookkeeping.matching import Match
from examples.bookkeeping.overview import Overview, TrailEntry
from examples.bookkeeping.vat import Finding


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """The input folder as the import agent is shown it: by name, below the run's input folder."""

    bank: str = "bank"
    receipts: str = "receipts"


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the input folder holds."""

    business: Business
    transactions: tuple[Transaction, ...]
    receipts: tuple[str, ...]
    """Paths below the input folder."""
    problems: tuple[Problem, ...] = ()


class ToRead(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt to be read."""

    ref: str
    """`input:<path below the input folder>` or `artifact:<sha256>`."""
    label: str
    """What people call it."""
    own_name: str


class Reading(enum.Enum):
    """How far the reading of a receipt came."""

    READ = "read"
    UNREADABLE = "unreadable"
    NEEDS_OCR = "needs_ocr"


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one receipt file."""

    outcome: Reading
    sha256: str
    text: str = ""
    reason: str = ""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one receipt file."""

    outcome: Reading
    facts: ReceiptFacts | None = None
    reason: str = ""


class ToCategorise(msgspec.Struct, frozen=True, kw_only=True):
    """A bank line to be named."""

    transaction: Transaction
    own_accounts: tuple[str, ...]


class ToNameReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt to be named by what was bought."""

    receipt: ReceiptFacts


class ToMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Payments and receipts to be brought together."""

    transactions: tuple[Transaction, ...]
    receipts: tuple[ReceiptFacts, ...]


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """Which receipt belongs to which payment."""

    matches: dict[str, Match]
    """By transaction id."""
    unused: tuple[str, ...]


class ToScan(msgspec.Struct, frozen=True, kw_only=True):
    """The quarter's payments, to be looked through for what is odd."""

    transactions: tuple[Transaction, ...]


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """What is odd about the quarter's payments."""

    duplicates: tuple[Duplicate, ...]
    unusual: tuple[Unusual, ...]


class ToBreakDown(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt whose VAT is to be worked out and checked."""

    receipt: ReceiptFacts


class BrokenDown(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt's VAT per rate, and what is wrong with it."""

    treatment: Treatment
    lines: tuple[VatLine, ...]
    findings: tuple[Finding, ...]


class ToReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the overview of a quarter is made of."""

    business: Business
    bookings: tuple[Booking, ...]
    flags: tuple[Flag, ...]
    receipts: int
    receipts_unused: int
    revision: int
    closed: bool
    problems: tuple[Problem, ...]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """An overview as it was written."""

    revision: int
    sha256: str
    """Of overview.json."""
    to_pay: Decimal
    open: int
    """Exceptions that still wait for something."""
    kor_level: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Cases whose decisions are wanted."""

    cases: dict[str, str]
    """Case id by the name under which the overview shows it."""


class Trails(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided, by the name under which the overview shows it."""

    trails: dict[str, tuple[TrailEntry, ...]]


class OverviewFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The overview to be written into the output folder."""

    overview: Overview


class QuarterInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a quarter's case is opened with."""

    quarter: str


class ReceiptInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt's case is opened with."""

    path: str
    own_name: str


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """The category that a person is asked to confirm or to change."""

    category: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt that a person is asked to confirm or to change."""

    receipt: str


class Deduction(msgspec.Struct, frozen=True, kw_only=True):
    """The VAT that a person is asked to confirm or to change, as text with two decimals."""

    vat: str


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What a person agrees to by closing a quarter."""

    quarter: str
    revision: int
    to_pay: str
    open_exceptions: int
    overview_sha256: str


class TransactionInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction's case is opened with."""

    transaction: Transaction
    business: Business
    match: Match
    receipts: tuple[ReceiptFacts, ...] = ()
    """The receipts that fit, the best first."""
    duplicate_of: str = ""
    unusual: Unusual | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How a transaction's case ended."""

    booking: Booking | None = None
    flags: tuple[Flag, ...] = ()
