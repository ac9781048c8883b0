"""Matching, categories, anomalies and the overview: each rule by an example, all of them on the sample."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from examples.bookkeeping import anomalies, categories, matching
from examples.bookkeeping.bank import read_bank_folder
from examples.bookkeeping.business import Business, filing_deadline, quarter_dates, read_business
from examples.bookkeeping.categories import Proposal, Settled, settle
from examples.bookkeeping.errors import BusinessUnclear, EvidenceMissing
from examples.bookkeeping.ledger import (
    Booking,
    Flag,
    RateLine,
    ReceiptFacts,
    ReceiptLine,
    Status,
    Transaction,
    Treatment,
    VatLine,
)
from examples.bookkeeping.matching import Verdict
from examples.bookkeeping.overview import TrailEntry, build_overview, overview_json
from examples.bookkeeping.receipts import read_receipt
from examples.bookkeeping.render import render_overview

SAMPLE = pathlib.Path(__file__).parents[2] / "examples/bookkeeping/sample"
RULES = categories.read_rules()
DAY = dt.date(2026, 5, 19)
LINDE = Business(name="Studio Linde", quarter="2026Q2")


def paid(id_: str = "t1", amount: str = "-72.60", day: dt.date = DAY, **more: str) -> Transaction:
    plain = Transaction(id=id_, bank="ing", account="A", date=day, amount=Decimal(amount), name="DRUKKERIJ HET HOF")
    return msgspec.structs.replace(plain, **more)


def bill(source: str, day: dt.date = DAY, total: str = "72.60", number: str = "") -> ReceiptFacts:
    return ReceiptFacts(vendor="Drukkerij Het Hof", date=day, total=Decimal(total), number=number, source=source)


def proposal(category: categories.Category, confidence: float) -> Proposal:
    return Proposal(category=category, confidence=confidence, rule="r")


def test_one_receipt_that_fits_is_chosen() -> None:
    assert matching.match(paid(), [bill("a"), bill("b", total="72.61")]).receipt == "a"


def test_two_receipts_that_fit_are_ambiguous_unless_the_number_is_told() -> None:
    both = [bill("a", number="F2026-1111"), bill("b", number="F2026-2222")]
    assert matching.match(paid(), both).verdict is Verdict.AMBIGUOUS
    assert matching.match(paid(description="Factuur F2026-2222"), both).receipt == "b"


def test_a_recurring_bill_goes_to_the_nearest_month() -> None:
    months = [bill("april", dt.date(2026, 4, 15)), bill("may", dt.date(2026, 5, 15))]
    assert matching.match(paid(), months).receipt == "may"


@pytest.mark.parametrize(("days", "fits"), [(-6, False), (-5, True), (45, True), (46, False)])
def test_a_receipt_fits_only_within_its_window(days: int, fits: bool) -> None:
    assert bool(matching.candidates(paid(), [bill("a", DAY - dt.timedelta(days=days))])) is fits


def test_money_in_never_takes_a_purchase_receipt() -> None:
    assert matching.match(paid(amount="72.60"), [bill("a")]).verdict is Verdict.NONE


def test_one_receipt_for_two_payments_is_for_a_person() -> None:
    found = matching.match_all([paid("t1"), paid("t2")], [bill("a")])
    assert {each.verdict for each in found.values()} == {Verdict.AMBIGUOUS}


def test_the_clearly_surer_proposal_wins_and_the_loser_is_kept() -> None:
    found = settle(proposal("office", 0.80), proposal("travel", 0.95))
    assert (found.settled, found.chosen.category) == (Settled.HIGHER_CONFIDENCE, "travel")
    assert found.lost == proposal("office", 0.80)


@pytest.mark.parametrize(("name", "person"), [(0.85, False), (0.86, True), (0.90, True)])
def test_proposals_nearer_than_a_tenth_go_to_a_person(name: float, person: bool) -> None:
    assert settle(proposal("training", name), proposal("travel", 0.95)).needs_person is person


def test_a_lone_guess_goes_to_a_person() -> None:
    assert settle(proposal("unknown", 0.30), proposal("unknown", 0.30)).settled is Settled.PERSON_LOW_CONFIDENCE


def test_what_is_bought_stands_first_in_its_line() -> None:
    facts = parse("Lunch workshop")
    assert categories.propose_by_receipt(facts, RULES).category == "meals"


def parse(description: str) -> ReceiptFacts:
    line = ReceiptLine(description=description, amount=Decimal("10.00"))
    return msgspec.structs.replace(bill("a"), lines=(line,))


def test_only_the_same_payment_in_another_bank_is_a_duplicate() -> None:
    one = paid("t1", counter_iban="NL1", description="Factuur 7")
    other = msgspec.structs.replace(one, id="t2", bank="rabobank")
    assert [each.copy for each in anomalies.find_duplicates([other, one])] == ["t2"]
    assert anomalies.find_duplicates([one, msgspec.structs.replace(one, id="t3")]) == []
    assert anomalies.find_duplicates([one, msgspec.structs.replace(other, description="Factuur 8")]) == []


@pytest.mark.parametrize(("amount", "odd"), [("-49.99", False), ("-50.00", True)])
def test_five_times_the_usual_is_unusual(amount: str, odd: bool) -> None:
    usual = [paid(f"t{number}", "-10.00") for number in range(3)]
    assert bool(anomalies.find_unusual([*usual, paid("big", amount)])) is odd


def test_the_deadlines_are_those_of_the_tax_office() -> None:
    deadlines = [filing_deadline(f"2026Q{number}").isoformat() for number in (1, 2, 3, 4)]
    assert deadlines == ["2026-04-30", "2026-07-31", "2026-10-31", "2027-01-31"]
    assert quarter_dates("2026Q2") == (dt.date(2026, 4, 1), dt.date(2026, 6, 30))


def test_an_unusable_business_file_says_what_is_expected(tmp_path: pathlib.Path) -> None:
    for content in (None, "= no toml", 'name = "X"', 'name = "X"\nquarter = "spring"'):
        if content is not None:
            (tmp_path / "business.toml").write_text(content)
        with pytest.raises(BusinessUnclear, match="expected a file"):
            read_business(tmp_path)


def test_vat_without_a_receipt_cannot_be_totalled() -> None:
    line = VatLine(rate=21, net=Decimal(100), vat=Decimal(21), gross=Decimal(121))
    bare = Booking(
        transaction="t1", date=DAY, amount=Decimal(-121), category="office",
        treatment=Treatment.PURCHASE, vat_lines=(line,),
    )  # fmt: skip
    with pytest.raises(EvidenceMissing, match="t1"):
        build_overview(LINDE, [bare], [], receipts=0)


def test_the_page_escapes_its_input_and_fetches_nothing() -> None:
    evil = '<script>alert("x")</script>'
    flag = Flag(
        kind=evil, status=Status.REVIEW, amount=Decimal("-1.00"), transaction="t1", counterparty=evil,
        message=evil, evidence=("javascript:alert(1)", 'a" onclick="b.pdf'),
    )  # fmt: skip
    trails = {"t1": [TrailEntry(seq=1, who=evil, what=evil)]}
    page = render_overview(build_overview(LINDE, [], [flag], receipts=0, trails=trails))
    assert "<script" not in page
    assert 'href="javascript:' not in page
    assert 'onclick="' not in page
    assert "http" not in page
    assert 'href="#trail-t1"' in page
    assert 'id="trail-t1"' in page


def test_the_page_says_whether_it_is_final() -> None:
    provisional = build_overview(LINDE, [], [], receipts=0, revision=3)
    assert "PROVISIONAL" in render_overview(provisional)
    assert "revision 3" in render_overview(provisional)
    closed = render_overview(build_overview(LINDE, [], [], receipts=0, closed=True))
    assert "CLOSED" in closed
    assert "PROVISIONAL" not in closed


def test_money_in_the_json_is_text_with_two_decimals() -> None:
    got = json.loads(overview_json(build_overview(LINDE, [], [], receipts=0)))
    assert got["vat"]["1a"] == {"turnover": "0.00", "vat": "0.00"}
    assert (got["status"], got["deadline"], got["kor"]["level"]) == ("provisional", "2026-07-31", "ok")


def test_the_samples_receipts_and_categories_are_those_expected() -> None:
    expected = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
    business = read_business(SAMPLE / "2026Q2")
    transactions, problems = read_bank_folder(SAMPLE / "2026Q2/bank")
    receipts = [
        read_receipt(f"receipts/{path.name}", path.read_bytes(), own_name=business.name)
        for path in sorted((SAMPLE / "2026Q2/receipts").glob("*.pdf"))
    ]
    assert problems == []
    copies = {each.copy for each in anomalies.find_duplicates(transactions)}
    wanted = {
        each["transaction"] for each in expected["overview_without_ocr"]["exceptions"] if each["kind"] == "duplicate"
    }
    assert copies == wanted
    names = {each.id: categories.propose_by_name(each, RULES, business.accounts) for each in transactions}
    open_ = [
        each for each in transactions if each.id not in copies and categories.needs_receipt(names[each.id].category)
    ]
    matches = matching.match_all(open_, receipts)
    by_source = {receipt.source: receipt for receipt in receipts}
    booked = 0
    for truth in expected["transactions"]:
        found = matches.get(truth["id"])
        if truth["treatment"] != "booked":
            continue
        if found is None:
            assert (truth["receipt"], names[truth["id"]].category) == (None, truth["category"])
        elif not (truth["receipt"] or "").endswith(".jpg"):
            facts = by_source[found.receipt]
            chosen = settle(names[truth["id"]], categories.propose_by_receipt(facts, RULES)).chosen
            assert (found.receipt, chosen.category) == (truth["receipt"], truth["category"]), truth
        booked += 1
    assert booked == expected["overview_without_ocr"]["counts"]["booked"]
    kinds = Counter(each.verdict for each in matches.values())
    assert (kinds[Verdict.AMBIGUOUS], kinds[Verdict.NONE]) == (1, 7)
    assert matching.unused(matches.values(), receipts) == []


def test_the_rates_of_a_receipt_survive_encoding() -> None:
    facts = msgspec.structs.replace(bill("a"), rates=(RateLine(rate=9, gross=Decimal("30.00")),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(facts), type=ReceiptFacts) == facts
