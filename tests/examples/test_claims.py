"""Claims of VAT: only the receipt's own breakdown passes without a person, and a person cannot break the sums."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.bookkeeping.claims import decided_lines, objections, safe_vat
from examples.bookkeeping.ledger import RateLine, ReceiptFacts, Treatment
from examples.bookkeeping.messages import BrokenDown
from examples.bookkeeping.money import add
from examples.bookkeeping.vat import breakdown, check, treatment_of

MIXED = ReceiptFacts(
    vendor="Boekhandel",
    date=dt.date(2026, 5, 16),
    total=Decimal("54.30"),
    rates=(RateLine(rate=9, gross=Decimal("30.00")), RateLine(rate=21, gross=Decimal("24.30"))),
)
CREDIT = msgspec.structs.replace(
    MIXED,
    total=Decimal("-54.30"),
    credit=True,
    rates=tuple(msgspec.structs.replace(line, gross=-line.gross) for line in MIXED.rates),
)
ABROAD = ReceiptFacts(vendor="Cloud", date=dt.date(2026, 5, 20), total=Decimal("120.00"), reverse_charge=True)
PAPERS = [MIXED, CREDIT, ABROAD]


def wrong(stated: str, *, sale: bool = False) -> ReceiptFacts:
    vat = Decimal(stated)
    line = RateLine(rate=21, net=Decimal("100.00"), vat=vat, gross=Decimal("100.00") + vat)
    return msgspec.structs.replace(MIXED, total=line.gross, rates=(line,), sale=sale)


def claim(receipt: ReceiptFacts) -> BrokenDown:
    return BrokenDown(treatment=treatment_of(receipt), lines=breakdown(receipt), findings=check(receipt))


@pytest.mark.parametrize("receipt", PAPERS)
def test_the_receipts_own_breakdown_passes(receipt: ReceiptFacts) -> None:
    assert objections(receipt, claim(receipt)) == ()


@pytest.mark.parametrize("receipt", PAPERS)
def test_a_claim_in_the_wrong_direction_is_stopped(receipt: ReceiptFacts) -> None:
    turned = msgspec.structs.replace(claim(receipt), treatment=Treatment.SALE)
    assert [found.kind for found in objections(receipt, turned)] == ["wrong_claim"]


def test_what_a_receipt_has_wrong_is_found_even_if_the_agent_says_nothing() -> None:
    silent = msgspec.structs.replace(claim(wrong("25.00")), findings=())
    assert [found.kind for found in objections(wrong("25.00"), silent)] == ["wrong_vat"]


@pytest.mark.parametrize(
    ("receipt", "vat"),
    [
        (wrong("25.00"), "21.00"),
        (wrong("19.00"), "19.00"),
        (wrong("25.00", sale=True), "25.00"),
        (wrong("19.00", sale=True), "21.00"),
        (msgspec.structs.replace(MIXED, total=Decimal("99.00")), "6.70"),
        (ABROAD, "25.20"),
    ],
)
def test_the_proposal_is_what_nobody_would_have_to_pay_back(receipt: ReceiptFacts, vat: str) -> None:
    assert safe_vat(receipt) == Decimal(vat)


@given(st.sampled_from(PAPERS), st.integers(min_value=-6000, max_value=20000))
def test_what_a_person_says_is_booked_to_the_cent_or_asked_again(receipt: ReceiptFacts, cents: int) -> None:
    vat = Decimal(cents).scaleb(-2)
    lines = decided_lines(receipt, str(vat))
    if lines is None:
        assert vat * receipt.total < 0 or abs(vat) > Decimal("21.82")
        return
    assert add(line.vat for line in lines) == vat
    assert all(line.net + line.vat == line.gross for line in lines)
    assert all(line.vat * receipt.total >= 0 and line.net * receipt.total >= 0 for line in lines)
    if not receipt.reverse_charge:
        assert add(line.gross for line in lines) == receipt.total


@pytest.mark.parametrize("text", ["", "six", "NaN", "Infinity", "1e400", "6,70"])
def test_what_is_no_amount_is_asked_again(text: str) -> None:
    assert decided_lines(MIXED, text) is None
