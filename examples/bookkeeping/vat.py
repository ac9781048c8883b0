"""Dutch VAT on receipts: breakdown per rate, the checks, and the boxes of the return.

Each rate line is rounded to cents half-up, and only then are lines added: 2.48 + 4.22 = 6.70, not 6.69.
It does not know whether a booking has its evidence; callers give it only those that have.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from examples.bookkeeping.ledger import Booking, RateLine, ReceiptFacts, Treatment, VatLine
from examples.bookkeeping.money import ZERO, add, money_text, to_cents

STANDARD: Final = 21
REDUCED: Final = 9
ZERO_RATE: Final = 0
RATES: Final = (STANDARD, REDUCED, ZERO_RATE)

# VAT worked out from a net or a gross amount that was itself rounded differs by under a cent; a till that rounds each
# article adds about a cent more. What differs by more than two cents did not come from rounding.
TOLERANCE: Final = Decimal("0.02")

WRONG_VAT: Final = "wrong_vat"
SINGLE_RATE: Final = "single_rate_on_mixed_receipt"
WRONG_CLAIM: Final = "wrong_claim"


class Finding(msgspec.Struct, frozen=True, kw_only=True, tag="finding"):
    """What is wrong with the VAT of a receipt or of a claim; a finding goes to a person."""

    kind: str
    message: str
    stated: Decimal
    computed: Decimal


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """One box of the return with its base."""

    turnover: Decimal = ZERO
    vat: Decimal = ZERO


class VatBoxes(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "standard": "1a",
        "reduced": "1b",
        "reverse_charge": "4b",
        "due": "5a",
        "deductible": "5b",
        "to_pay": "5c",
    },
):
    """The boxes of the Dutch return that this crew fills."""

    standard: Box
    """1a, supplies at 21 %."""
    reduced: Box
    """1b, supplies at 9 %."""
    reverse_charge: Box
    """4b, services from other EU countries."""
    due: Decimal
    """5a, the sum of the above."""
    deductible: Decimal
    """5b, input VAT, that of 4b included."""
    to_pay: Decimal
    """5c, 5a less 5b; negative is a refund."""


def vat_on_net(net: Decimal, rate: int) -> Decimal:
    """Work out the VAT on an amount without VAT, to the cent."""
    return to_cents(net * rate / 100)


def vat_in_gross(gross: Decimal, rate: int) -> Decimal:
    """Work out the VAT inside an amount that includes it, to the cent."""
    return to_cents(gross * rate / (100 + rate))


def breakdown(receipt: ReceiptFacts) -> tuple[VatLine, ...]:
    """Give net, VAT and gross per rate: as stated on the receipt, worked out where it gives only the gross amount.

    The stated amount is the one the vendor owes, hence the one to deduct; `check` says whether to believe it.
    A reverse-charged receipt gives one line at 21 %, on top of what was paid.
    """
    if receipt.reverse_charge:
        vat = vat_on_net(receipt.total, STANDARD)
        return (VatLine(rate=STANDARD, net=receipt.total, vat=vat, gross=receipt.total + vat),)
    return tuple(_worked_out(line) for line in receipt.rates)


def check(receipt: ReceiptFacts) -> tuple[Finding, ...]:
    """Find what does not add up: an unknown rate, VAT that does not follow from its net, a total that is another."""
    found = [finding for line in receipt.rates if (finding := _check_line(line)) is not None]
    if receipt.reverse_charge:
        charged = add(line.vat or ZERO for line in receipt.rates)
        if charged:
            text = "receipt says reverse charge and charges VAT as well; ask the vendor for a corrected invoice"
            found.append(Finding(kind=WRONG_VAT, message=text, stated=charged, computed=ZERO))
        return tuple(found)
    total = add(line.gross for line in receipt.rates)
    if abs(total - receipt.total) > TOLERANCE:
        text = f"rate lines add up to {money_text(total)}, the receipt says {money_text(receipt.total)}; ask the vendor"
        found.append(Finding(kind=WRONG_VAT, message=text, stated=receipt.total, computed=total))
    return tuple(found)


def check_claim(receipt: ReceiptFacts, claimed: Decimal) -> Finding | None:
    """Refuse a claim that is not the receipt's own breakdown, naming the mistake 'everything at 21 %' if it is that."""
    lines = breakdown(receipt)
    right = add(line.vat for line in lines)
    if claimed == right:
        return None
    rates = {line.rate for line in lines}
    for rate in RATES:
        if len(rates) > 1 and claimed == vat_in_gross(receipt.total, rate):
            text = f"claims all of a mixed receipt at {rate} %; its rates apart give {money_text(right)}"
            return Finding(kind=SINGLE_RATE, message=text, stated=claimed, computed=right)
    text = f"claims {money_text(claimed)}, the receipt gives {money_text(right)}; claim what the receipt gives"
    return Finding(kind=WRONG_CLAIM, message=text, stated=claimed, computed=right)


def treatment_of(receipt: ReceiptFacts | None) -> Treatment:
    """Say how a receipt enters the return; without a receipt there is no VAT to book."""
    if receipt is None:
        return Treatment.NO_VAT
    if receipt.sale:
        return Treatment.SALE
    return Treatment.REVERSE_CHARGE if receipt.reverse_charge else Treatment.PURCHASE


def boxes(bookings: Iterable[Booking], *, may_deduct: bool = True) -> VatBoxes:
    """Add the bookings' VAT lines into the boxes of the return.

    A member of the small-business scheme may not deduct: 5b stays empty, reverse-charged VAT is due all the same.
    """
    booked = list(bookings)
    standard = _box(_lines(booked, Treatment.SALE, STANDARD))
    reduced = _box(_lines(booked, Treatment.SALE, REDUCED))
    reverse = _box(_lines(booked, Treatment.REVERSE_CHARGE))
    due = standard.vat + reduced.vat + reverse.vat
    paid = add(line.vat for line in _lines(booked, Treatment.PURCHASE))
    deductible = paid + reverse.vat if may_deduct else ZERO
    return VatBoxes(
        standard=standard,
        reduced=reduced,
        reverse_charge=reverse,
        due=due,
        deductible=deductible,
        to_pay=due - deductible,
    )


def turnover(bookings: Iterable[Booking]) -> Decimal:
    """Add the sales without VAT, at whatever rate."""
    return add(line.net for line in _lines(list(bookings), Treatment.SALE))


def _lines(bookings: Sequence[Booking], treatment: Treatment, rate: int | None = None) -> list[VatLine]:
    return [
        line
        for booking in bookings
        if booking.treatment is treatment
        for line in booking.vat_lines
        if rate is None or line.rate == rate
    ]


def _box(lines: Sequence[VatLine]) -> Box:
    return Box(turnover=add(line.net for line in lines), vat=add(line.vat for line in lines))


def _worked_out(line: RateLine) -> VatLine:
    vat = vat_in_gross(line.gross, line.rate) if line.vat is None else line.vat
    net = line.gross - vat if line.net is None else line.net
    return VatLine(rate=line.rate, net=net, vat=vat, gross=line.gross)


def _check_line(line: RateLine) -> Finding | None:
    stated = line.vat or ZERO
    if line.rate not in RATES:
        text = f"rate {line.rate} % does not exist; the rates are 21, 9 and 0 %: ask the vendor for a corrected invoice"
        return Finding(kind=WRONG_VAT, message=text, stated=stated, computed=ZERO)
    if line.vat is None or line.net is None:
        return None
    computed = vat_on_net(line.net, line.rate)
    if abs(stated - computed) <= TOLERANCE:
        return None
    net = money_text(line.net)
    text = (
        f"receipt states {money_text(stated)} VAT, {line.rate} % of {net} is {money_text(computed)}; "
        "ask the vendor for a corrected invoice"
    )
    return Finding(kind=WRONG_VAT, message=text, stated=stated, computed=computed)
