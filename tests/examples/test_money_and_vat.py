"""Money and VAT: every cent where the law puts it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.bookkeeping import kor, vat
from examples.bookkeeping.errors import MoneyUnclear
from examples.bookkeeping.ledger import Booking, RateLine, ReceiptFacts, Treatment
from examples.bookkeeping.money import add, money_text, parse_money, to_cents

CENTS = st.integers(min_value=-(10**11), max_value=10**11)
DAY = dt.date(2026, 5, 16)
MIXED = ReceiptFacts(
    vendor="Boekhandel",
    date=DAY,
    total=Decimal("54.30"),
    rates=(RateLine(rate=9, gross=Decimal("30.00")), RateLine(rate=21, gross=Decimal("24.30"))),
)
ABROAD = ReceiptFacts(vendor="Cloud", date=DAY, total=Decimal("120.00"), reverse_charge=True)


def stated(net: str, tax: str, rate: int = 21) -> ReceiptFacts:
    line = RateLine(rate=rate, net=Decimal(net), vat=Decimal(tax), gross=Decimal(net) + Decimal(tax))
    return ReceiptFacts(vendor="V", date=DAY, total=line.gross, rates=(line,))


def booked(receipt: ReceiptFacts) -> Booking:
    return Booking(
        transaction="t",
        date=DAY,
        amount=-receipt.total,
        category="office",
        treatment=vat.treatment_of(receipt),
        vat_lines=vat.breakdown(receipt),
        receipt="r.pdf",
    )


@given(CENTS)
def test_what_is_written_in_dutch_is_read_back(cents: int) -> None:
    value = Decimal(cents).scaleb(-2)
    dutch = f"{value:,.2f}".translate(str.maketrans(",.", ".,"))
    assert parse_money(dutch) == parse_money(dutch.replace(".", "")) == value


@given(CENTS)
def test_money_survives_its_json_form(cents: int) -> None:
    value = Decimal(cents).scaleb(-2)
    assert Decimal(money_text(value)) == value


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_a_typed_refusal(text: str) -> None:
    try:
        value = parse_money(text)
    except MoneyUnclear:
        return
    assert value == to_cents(value)


@pytest.mark.parametrize(
    "text",
    ["", "1,234,56", "1.234", "12,5", "12.50", "1.23,45", "--1,00", "1,00-", "\N{ARABIC-INDIC DIGIT THREE},00", "NaN"],
)
def test_what_is_no_dutch_amount_is_refused(text: str) -> None:
    with pytest.raises(MoneyUnclear):
        parse_money(text)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=5))
def test_rounding_is_never_off_by_more_than_half_a_cent_and_mirrors_a_credit(value: Decimal) -> None:
    assert abs(to_cents(value) - value) <= Decimal("0.005")
    assert to_cents(-value) == -to_cents(value)


@given(CENTS, st.sampled_from(vat.RATES))
def test_net_and_vat_always_add_up_to_the_gross_amount(cents: int, rate: int) -> None:
    gross = Decimal(cents).scaleb(-2)
    receipt = ReceiptFacts(vendor="V", date=DAY, total=gross, rates=(RateLine(rate=rate, gross=gross),))
    (line,) = vat.breakdown(receipt)
    assert line.net + line.vat == gross
    assert vat.check(receipt) == ()


@given(CENTS, st.sampled_from(vat.RATES))
def test_vat_worked_out_from_net_always_passes_the_check(cents: int, rate: int) -> None:
    net = Decimal(cents).scaleb(-2)
    assert vat.check(stated(str(net), str(vat.vat_on_net(net, rate)), rate)) == ()


def test_half_a_cent_goes_up() -> None:
    assert to_cents(Decimal("2.485")) == Decimal("2.49")
    assert to_cents(Decimal("-2.485")) == Decimal("-2.49")


def test_the_mixed_receipt_gives_six_seventy_and_not_six_sixty_nine() -> None:
    assert [line.vat for line in vat.breakdown(MIXED)] == [Decimal("2.48"), Decimal("4.22")]
    assert vat.boxes([booked(MIXED)]).deductible == Decimal("6.70")


def test_claiming_all_of_a_mixed_receipt_at_21_is_refused_by_name() -> None:
    finding = vat.check_claim(MIXED, Decimal("9.42"))
    assert finding is not None
    assert (finding.kind, finding.computed) == (vat.SINGLE_RATE, Decimal("6.70"))


def test_the_unrounded_sum_is_refused_and_the_right_claim_is_not() -> None:
    wrong = vat.check_claim(MIXED, Decimal("6.69"))
    assert wrong is not None
    assert wrong.kind == vat.WRONG_CLAIM
    assert vat.check_claim(MIXED, Decimal("6.70")) is None


@pytest.mark.parametrize(("tax", "wrong"), [("21.00", False), ("21.02", False), ("21.03", True), ("25.00", True)])
def test_stated_vat_may_differ_by_two_cents_of_rounding(tax: str, wrong: bool) -> None:
    assert bool(vat.check(stated("100.00", tax))) is wrong


def test_a_rate_that_does_not_exist_is_wrong() -> None:
    assert vat.check(stated("100.00", "19.00", 19))[0].kind == vat.WRONG_VAT


def test_a_total_that_the_rates_do_not_reach_is_wrong() -> None:
    assert vat.check(msgspec.structs.replace(MIXED, total=Decimal("60.00")))[0].kind == vat.WRONG_VAT


def test_reverse_charge_is_due_and_deductible_alike() -> None:
    boxes = vat.boxes([booked(ABROAD)])
    assert (boxes.reverse_charge.turnover, boxes.reverse_charge.vat) == (Decimal("120.00"), Decimal("25.20"))
    assert (boxes.due, boxes.deductible, boxes.to_pay) == (Decimal("25.20"), Decimal("25.20"), Decimal("0.00"))


def test_a_member_of_the_small_business_scheme_deducts_nothing() -> None:
    assert vat.boxes([booked(MIXED)], may_deduct=False).deductible == 0


def test_a_credit_note_takes_back_its_invoice_to_the_cent() -> None:
    bill, credit = stated("30.00", "6.30"), stated("-30.00", "-6.30")
    assert vat.boxes([booked(bill), booked(credit)]).deductible == 0


def test_a_payment_without_receipt_carries_no_vat() -> None:
    assert vat.treatment_of(None) is Treatment.NO_VAT


def test_nothing_adds_up_to_nought() -> None:
    assert money_text(add([])) == "0.00"


@pytest.mark.parametrize(
    ("turnover", "level"),
    [
        ("0.00", "ok"),
        ("14999.99", "ok"),
        ("15000.00", "notice"),
        ("17999.99", "notice"),
        ("18000.00", "warning"),
        ("19999.99", "warning"),
        ("20000.00", "exceeded"),
    ],
)
def test_the_threshold_warns_at_its_levels(turnover: str, level: str) -> None:
    assert kor.assess(Decimal(0), Decimal(turnover), member=False).level == level
