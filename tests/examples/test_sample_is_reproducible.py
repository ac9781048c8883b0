"""The checked-in sample is what its plan says, byte for byte, and sound enough to judge a crew by.

It does not know the crew: nothing here imports it.
"""

import csv
import importlib
import json
import pathlib
import re
import sys
from collections import Counter
from types import ModuleType

import pytest

PIL = pytest.importorskip("PIL")
reportlab = pytest.importorskip("reportlab")

ROOT = pathlib.Path(__file__).parents[2]
CREW = ROOT / "examples" / "bookkeeping"
SAMPLE = CREW / "sample"
# The versions that drew the checked-in files; others may write the same picture in other bytes.
PILLOW_VERSION = "13.0.0"
REPORTLAB_VERSION = "5.1.0"
SAMPLE_BYTES_MAX = 1_500_000
ONLY_FOR_THE_SAMPLE = (
    "expected", "generate", "sample_exports", "sample_names", "sample_paper", "sample_parties", "scenario",
)  # fmt: skip


def module(name: str) -> ModuleType:
    """Import a module of the example, which is no installed package."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"examples.bookkeeping.{name}")


generate, expected, names, paper_, scenario, parties = (
    module(name) for name in ("generate", "expected", "sample_names", "sample_paper", "scenario", "sample_parties")
)


def checked_in() -> dict[str, bytes]:
    files = (path for path in SAMPLE.rglob("*") if path.is_file())
    return {path.relative_to(SAMPLE).as_posix(): path.read_bytes() for path in files}


def test_the_same_seed_writes_the_same_bytes_as_are_checked_in(tmp_path: pathlib.Path) -> None:
    generate.write_sample(tmp_path, generate.SEED)
    written = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    kept = checked_in()
    about_it = {"README.md", "expected.json", ".gitattributes"}
    assert set(written) == set(kept) - about_it
    for name, path in written.items():
        if name.endswith(".jpg") and PIL.__version__ != PILLOW_VERSION:
            continue
        if name.endswith(".pdf") and reportlab.Version != REPORTLAB_VERSION:
            continue
        assert path.read_bytes() == kept[name], name


def test_the_expected_answers_follow_from_the_plan_and_not_from_the_seed() -> None:
    assert (SAMPLE / "expected.json").read_text(encoding="utf-8") == expected.expected_text()
    other = generate.sample_files(7)
    assert set(other) == set(generate.sample_files(generate.SEED))
    assert other["2026Q2/bank/ing.csv"] != checked_in()["2026Q2/bank/ing.csv"]


def test_each_pdf_gives_its_lines_in_reading_order() -> None:
    pdfium = pytest.importorskip("pypdfium2")
    dice = names.Dice(generate.SEED)
    for paper in names.papers():
        if paper.path.suffix == ".jpg":
            continue
        sold = parties.PARTIES[paper.party].category == "sales"
        lines = paper_.sale_lines(paper) if sold else paper_.purchase_lines(paper, dice)
        document = pdfium.PdfDocument(SAMPLE / paper.path)
        assert len(document) == 1
        page = document[0]
        text = page.get_textpage()
        found = [" ".join(line.split()) for line in text.get_text_range().splitlines()]
        for handle in (text, page, document):
            handle.close()
        assert found == [f"{line.left} {line.right}".strip() for line in lines], paper.path


def test_no_payment_fits_two_bills_but_the_one_that_should() -> None:
    bills = [(paper.party, paper.bill, paper.row) for paper in names.papers()]
    fitting: Counter[int] = Counter()
    for row, payment in enumerate(scenario.PAYMENTS):
        for party, _, owner in bills:
            amount = scenario.PAYMENTS[owner].cents
            if amount == payment.cents and (party == payment.party or owner == row):
                fitting[row] += 1
            # A bill of the same amount from somebody else would leave only the name to tell them apart.
            elif amount == payment.cents:
                pytest.fail(f"{payment} has the amount of a bill from {party}")
    cases = {scenario.PAYMENTS[row].case for row, count in fitting.items() if count > 1}
    assert cases == {scenario.Case.AMBIGUOUS}
    for payment in scenario.PAYMENTS:
        for bill in (payment.bill, payment.twin):
            assert bill is None or 0 <= (payment.day - bill.day).days <= 14


def test_every_special_case_occurs_as_often_as_promised() -> None:
    case = scenario.Case
    found = Counter(payment.case for payment in scenario.PAYMENTS)
    del found[case.PLAIN]
    twice = {case.PHOTO: 2, case.DUPLICATE: 2, case.LOW: 3, case.MISSING: 4}
    assert found == {one: twice.get(one, 1) for one in case if one is not case.PLAIN}
    assert len(scenario.PAYMENTS) == 150
    assert len(names.papers()) == 113


def test_only_the_unusual_payment_is_far_from_what_its_payee_usually_gets() -> None:
    amounts: dict[str, list[int]] = {}
    for payment in scenario.PAYMENTS:
        if payment.case is not scenario.Case.UNUSUAL:
            amounts.setdefault(payment.party, []).append(abs(payment.cents))
    assert all(max(cents) < 4 * min(cents) for cents in amounts.values())
    unusual = next(p for p in scenario.PAYMENTS if p.case is scenario.Case.UNUSUAL)
    assert -unusual.cents >= 5 * max(amounts[unusual.party])


def test_a_bill_states_vat_that_follows_from_its_net_amount_unless_it_is_the_wrong_one() -> None:
    wrong = []
    for payment in scenario.PAYMENTS:
        bill = payment.bill
        if bill is None or bill.style is not scenario.Style.RATES or payment.case is scenario.Case.WRONG_VAT:
            continue
        for rate, net, vat in expected.vat_lines(payment):
            if vat != scenario.half_up(net * rate, 100):
                wrong.append((payment.party, payment.day, rate))
    assert wrong == []


def test_the_mixed_receipt_gives_six_euros_seventy() -> None:
    mixed = next(p for p in scenario.PAYMENTS if p.case is scenario.Case.MIXED)
    assert [(rate, vat) for rate, _, vat in expected.vat_lines(mixed)] == [(9, 248), (21, 422)]


def test_the_three_overviews_differ_only_by_what_became_readable() -> None:
    answers = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
    deductible = {
        name: int(answers[name]["vat"]["5b"].replace(".", ""))
        for name in ("overview_without_ocr", "overview_with_ocr", "after_late_receipt_without_ocr")
    }
    plain = deductible["overview_without_ocr"]
    # 27.45 and 16.84 at 21 % were photographed: 4.76 + 2.92. The late bill is 181.50 at 21 %: 31.50.
    assert deductible["overview_with_ocr"] - plain == 476 + 292
    assert deductible["after_late_receipt_without_ocr"] - plain == 3150


def test_the_exports_hold_every_payment_in_the_quirks_of_their_bank() -> None:
    ing = (SAMPLE / "2026Q2/bank/ing.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(ing.splitlines(), delimiter=";"))
    assert len(rows) == 85
    assert [row["Datum"] for row in rows] == sorted((row["Datum"] for row in rows), reverse=True)
    data = (SAMPLE / "2026Q2/bank/rabobank.csv").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        data.decode("utf-8")
    rabo = list(csv.DictReader(data.decode("cp1252").splitlines()))
    assert len(rabo) == 65
    assert {"Daniëlle Faber Fotografie", "Boekhandel Lumière"} <= {row["Naam tegenpartij"] for row in rabo}


def test_every_account_number_in_the_sample_has_right_check_digits() -> None:
    kept = checked_in()
    text = b"".join(kept[f"2026Q2/{name}"] for name in ("business.toml", "bank/ing.csv", "bank/rabobank.csv"))
    ibans = set(re.findall(r"\b(?:NL\d\d[A-Z]{4}\d{10}|IE\d\d[A-Z]{4}\d{14})\b", text.decode("cp1252")))
    assert len(ibans) > 20
    for iban in ibans:
        assert int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1


def test_the_sample_is_small_enough_to_check_in() -> None:
    assert sum(map(len, checked_in().values())) < SAMPLE_BYTES_MAX


def test_the_crew_imports_nothing_that_only_makes_the_sample() -> None:
    forbidden = re.compile(rf"^\s*(?:from|import) .*\b(?:{'|'.join(ONLY_FOR_THE_SAMPLE)})\b", re.MULTILINE)
    for path in CREW.glob("*.py"):
        if path.stem not in ONLY_FOR_THE_SAMPLE:
            assert not forbidden.search(path.read_text(encoding="utf-8")), path


def test_the_expected_answers_are_worked_out_without_the_crew() -> None:
    allowed = {"sample_names", "sample_parties", "scenario"}
    for name in ("expected", *allowed):
        text = (CREW / f"{name}.py").read_text(encoding="utf-8")
        assert set(re.findall(r"examples\.bookkeeping\.(\w+) import", text)) <= allowed, name
