"""The quarter's overview: VAT boxes, categories, small-business scheme, counts, exceptions.

A pure fold of bookings and flags; the same ones always give the same overview.
It does not know how anything was decided, nor how the overview is shown.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from examples.bookkeeping.business import Business, filing_deadline
from examples.bookkeeping.errors import EvidenceMissing
from examples.bookkeeping.kor import LEVELS, KorState, assess
from examples.bookkeeping.ledger import Booking, Flag, Problem, Status, Treatment
from examples.bookkeeping.money import add, to_cents
from examples.bookkeeping.vat import VatBoxes, boxes, turnover

PROVISIONAL: Final = "provisional"
CLOSED: Final = "closed"
# The kind of a flag on a payment that stands in two exports.
DUPLICATE: Final = "duplicate"


class CategoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked in one category, positive in the category's normal direction."""

    category: str
    count: int
    net: Decimal
    vat: Decimal
    gross: Decimal


class Counts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many of each; every transaction is in exactly one of booked, parked, review, duplicate and left out."""

    transactions: int
    booked: int
    parked: int
    review: int
    duplicate: int
    receipts: int
    receipts_unused: int
    left_out: int = 0
    """Payments that the quarter was closed without, or that could not be booked."""


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision on the way of a transaction, as its case's log has it."""

    seq: int
    who: str
    """The agent or person that decided."""
    what: str
    """The decision, in a few words."""
    why: str = ""
    """The rule, and what it was chosen over."""
    at: str = ""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """overview.json, field by field."""

    business: str
    quarter: str
    deadline: dt.date
    status: Literal["provisional", "closed"]
    revision: int
    vat: VatBoxes
    categories: tuple[CategoryRow, ...]
    kor: KorState
    counts: Counts
    exceptions: tuple[Flag, ...]
    problems: tuple[Problem, ...] = ()
    """Input that was refused."""
    trails: dict[str, tuple[TrailEntry, ...]] = {}
    """Decisions by transaction id or receipt file name."""


def build_overview(
    business: Business,
    bookings: Sequence[Booking],
    flags: Sequence[Flag],
    *,
    receipts: int,
    receipts_unused: int = 0,
    revision: int = 1,
    closed: bool = False,
    problems: Sequence[Problem] = (),
    trails: Mapping[str, Sequence[TrailEntry]] | None = None,
    kor_levels: Mapping[str, Decimal] = LEVELS,
) -> Overview:
    """Fold the quarter's bookings and flags into its overview; `kor_levels` as in the policy.

    Raises:
        EvidenceMissing: a booking carries VAT and has no receipt.
    """
    bare = tuple(booking.transaction for booking in bookings if booking.vat_lines and not booking.receipt)
    if bare:
        raise EvidenceMissing(bare)
    return Overview(
        business=business.name,
        quarter=business.quarter,
        deadline=filing_deadline(business.quarter),
        status=CLOSED if closed else PROVISIONAL,
        revision=revision,
        vat=boxes(bookings, may_deduct=not business.kor),
        categories=category_rows(bookings),
        kor=assess(business.turnover_before, turnover(bookings), member=business.kor, levels=kor_levels),
        counts=_counts(bookings, flags, receipts, receipts_unused),
        exceptions=tuple(sorted(flags, key=lambda flag: (flag.kind, flag.transaction, flag.receipt))),
        problems=tuple(problems),
        trails={key: tuple(entries) for key, entries in (trails or {}).items()},
    )


def category_rows(bookings: Iterable[Booking]) -> tuple[CategoryRow, ...]:
    """Add the bookings by category, in alphabetical order."""
    groups: dict[str, list[tuple[Decimal, Decimal, Decimal]]] = defaultdict(list)
    for booking in bookings:
        groups[booking.category].append(_amounts(booking))
    return tuple(
        CategoryRow(
            category=category,
            count=len(rows),
            net=add(net for net, _, _ in rows),
            vat=add(vat for _, vat, _ in rows),
            gross=add(gross for _, _, gross in rows),
        )
        for category, rows in sorted(groups.items())
    )


def overview_json(overview: Overview) -> bytes:
    """Encode for overview.json: indented, money as strings with two decimals."""
    return msgspec.json.format(msgspec.json.encode(overview), indent=2) + b"\n"


def _amounts(booking: Booking) -> tuple[Decimal, Decimal, Decimal]:
    """Give net, VAT and gross as paid: reverse-charged VAT is due to the state, not part of the price."""
    if booking.treatment in (Treatment.NO_VAT, Treatment.REVERSE_CHARGE) or not booking.vat_lines:
        paid = to_cents(booking.amount if booking.category == "sales" else -booking.amount)
        return paid, to_cents(Decimal(0)), paid
    lines = booking.vat_lines
    return add(line.net for line in lines), add(line.vat for line in lines), add(line.gross for line in lines)


def _counts(bookings: Sequence[Booking], flags: Sequence[Flag], receipts: int, receipts_unused: int) -> Counts:
    by_status = {
        status: {flag.transaction for flag in flags if flag.status is status and flag.transaction} for status in Status
    }
    booked = {booking.transaction for booking in bookings}
    # Parked for one reason and in review for another: the review is what a person sees, so it counts there.
    review = by_status[Status.REVIEW] - booked
    parked = by_status[Status.PARKED] - booked - review
    excluded = by_status[Status.EXCLUDED] - booked - review - parked
    duplicate = excluded & {flag.transaction for flag in flags if flag.kind == DUPLICATE}
    return Counts(
        transactions=len(booked | review | parked | excluded),
        booked=len(booked),
        parked=len(parked),
        review=len(review),
        duplicate=len(duplicate),
        receipts=receipts,
        receipts_unused=receipts_unused,
        left_out=len(excluded - duplicate),
    )
