"""Work out the right answers of the sample quarter from its plan alone, in whole cents.

This is the yardstick for the crew, so it shares nothing with it: no code, no decimals, no file that was read.
VAT is rounded half-up for each rate of each bill, and only then added. What lacks evidence or waits for a
person is in no total.
Run `python -m examples.bookkeeping.expected --out FILE`.
It does not know how the crew gets to its answers, nor in which words it explains them.
"""

import argparse
import json
import pathlib
from collections import Counter
from typing import Final

from examples.bookkeeping.sample_names import Paper, papers, transaction_ids
from examples.bookkeeping.sample_parties import BUSINESS, PARTIES
from examples.bookkeeping.scenario import (
    DEADLINE,
    PAYMENTS,
    QUARTER,
    TURNOVER_BEFORE,
    Bill,
    Case,
    Payment,
    Style,
    by_rate,
    half_up,
)

Json = dict[str, object]

KOR_THRESHOLD: Final = 2_000_000
STANDARD: Final = 21
REDUCED: Final = 9
_REVIEWED: Final = frozenset({Case.AMBIGUOUS, Case.LOW, Case.DISPUTED, Case.WRONG_VAT})
_STATUS: Final = {"parked": "parked", "review": "review", "booked": "booked", "duplicate": "excluded"}
# What the exception list calls a case; the other cases are no exception.
_KIND: Final = {
    Case.MISSING: "missing_receipt",
    Case.LATE: "missing_receipt",
    Case.PHOTO: "missing_receipt",
    Case.DUPLICATE: "duplicate",
    Case.AMBIGUOUS: "ambiguous_receipt",
    Case.LOW: "low_confidence",
    Case.DISPUTED: "disagreement",
    Case.REVERSE: "reverse_charge",
    Case.WRONG_VAT: "wrong_vat",
    Case.UNUSUAL: "unusual_amount",
}
_WAITS_FOR_EVIDENCE: Final = frozenset({Case.MISSING, Case.LATE, Case.PHOTO})


def money(cents: int) -> str:
    """Write cents as the overview writes money: `-36.30`."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def treatment(case: Case, *, ocr: bool, late: bool) -> str:
    """Say what becomes of a payment: booked, parked, review or duplicate."""
    if case is Case.DUPLICATE:
        return "duplicate"
    if case in _REVIEWED:
        return "review"
    arrived = {Case.MISSING: False, Case.LATE: late, Case.PHOTO: ocr}
    return "booked" if arrived.get(case, True) else "parked"


def vat_lines(payment: Payment) -> list[tuple[int, int, int]]:
    """Give rate, net and VAT for each rate of a payment's bill; nothing without a bill."""
    bill = payment.bill
    if bill is None:
        return []
    if PARTIES[payment.party].category == "sales":
        return [(rate, net, half_up(net * rate, 100)) for rate, net in by_rate(bill)]
    return [(rate, gross - _vat_in(gross, rate), _vat_in(gross, rate)) for rate, gross in by_rate(bill)]


def reverse_charged(bill: Bill | None) -> int:
    """Give the VAT that the business itself owes on a bill, and may deduct as well."""
    if bill is None or bill.style is not Style.REVERSE:
        return 0
    return sum(half_up(net * STANDARD, 100) for _, net in by_rate(bill))


def overview(*, ocr: bool, late: bool) -> Json:
    """Give the overview with or without the reader of photographs, before or after the late receipt."""
    ways = [treatment(payment.case, ocr=ocr, late=late) for payment in PAYMENTS]
    booked = [payment for payment, way in zip(PAYMENTS, ways, strict=True) if way == "booked"]
    return {
        "business": BUSINESS.name,
        "quarter": QUARTER,
        "deadline": DEADLINE,
        "status": "provisional",
        "vat": _vat(booked),
        "categories": _categories(booked),
        "kor": _kor(booked),
        "counts": _counts(ways),
        "exceptions": _exceptions(ways, ocr=ocr),
    }


def expected() -> Json:
    """Give everything that `expected.json` holds."""
    return {
        "overview_without_ocr": overview(ocr=False, late=False),
        "overview_with_ocr": overview(ocr=True, late=False),
        "after_late_receipt_without_ocr": overview(ocr=False, late=True),
        "transactions": _transactions(),
    }


def expected_text() -> str:
    """Give `expected.json` as text."""
    return json.dumps(expected(), indent=1, ensure_ascii=False) + "\n"


def _vat_in(gross: int, rate: int) -> int:
    return half_up(gross * rate, 100 + rate)


def _is_sale(payment: Payment) -> bool:
    return PARTIES[payment.party].category == "sales"


def _vat(booked: list[Payment]) -> Json:
    sold = [line for payment in booked if _is_sale(payment) for line in vat_lines(payment)]
    bought = [line for payment in booked if not _is_sale(payment) for line in vat_lines(payment)]
    imported = [payment for payment in booked if reverse_charged(payment.bill)]
    shifted = sum(reverse_charged(payment.bill) for payment in imported)
    due = sum(vat for _, _, vat in sold) + shifted
    deductible = sum(vat for _, _, vat in bought) + shifted
    return {
        "1a": _box([line for line in sold if line[0] == STANDARD]),
        "1b": _box([line for line in sold if line[0] == REDUCED]),
        "4b": {"turnover": money(sum(-payment.cents for payment in imported)), "vat": money(shifted)},
        "5a": money(due),
        "5b": money(deductible),
        "5c": money(due - deductible),
    }


def _box(lines: list[tuple[int, int, int]]) -> Json:
    return {"turnover": money(sum(net for _, net, _ in lines)), "vat": money(sum(vat for _, _, vat in lines))}


def _categories(booked: list[Payment]) -> list[Json]:
    """Add up by category; VAT is what the bill charges, so a reverse-charged bill adds none here."""
    rows: list[Json] = []
    for category in sorted({PARTIES[payment.party].category for payment in booked}):
        own = [payment for payment in booked if PARTIES[payment.party].category == category]
        gross = sum(payment.cents for payment in own) * (1 if category == "sales" else -1)
        vat = sum(vat for payment in own for _, _, vat in vat_lines(payment))
        rows.append(
            {
                "category": category,
                "count": len(own),
                "net": money(gross - vat),
                "vat": money(vat),
                "gross": money(gross),
            }
        )
    return rows


def _kor(booked: list[Payment]) -> Json:
    quarter = sum(net for payment in booked if _is_sale(payment) for _, net, _ in vat_lines(payment))
    year = TURNOVER_BEFORE + quarter
    levels = ((100, "exceeded"), (90, "warning"), (75, "notice"), (0, "ok"))
    return {
        "member": False,
        "turnover_before": money(TURNOVER_BEFORE),
        "turnover_year": money(year),
        "threshold": money(KOR_THRESHOLD),
        "share": money(half_up(year * 100, KOR_THRESHOLD)),
        "level": next(name for percent, name in levels if year * 100 >= percent * KOR_THRESHOLD),
    }


def _counts(ways: list[str]) -> Json:
    """Count; `receipts` are the files in the input folder, so a late one does not raise it."""
    count = Counter(ways)
    return {
        "transactions": len(ways),
        **{way: count[way] for way in ("booked", "parked", "review", "duplicate")},
        "receipts": sum(1 for paper in papers() if paper.path.parts[0] == QUARTER),
        "receipts_unused": 0,
    }


def _exceptions(ways: list[str], *, ocr: bool) -> list[Json]:
    found: list[Json] = []
    for id_, payment, way in zip(transaction_ids(), PAYMENTS, ways, strict=True):
        kind = _KIND.get(payment.case)
        if kind is None or (payment.case in _WAITS_FOR_EVIDENCE and way == "booked"):
            continue
        found.append({"transaction": id_, "kind": kind, "status": _STATUS[way], "amount": money(payment.cents)})
    if not ocr:
        photos = [paper.path.name for paper in papers() if paper.payment.case is Case.PHOTO]
        # Nobody could read what such a receipt says, so there is no amount.
        found.extend({"receipt": name, "kind": "needs_ocr", "status": "parked", "amount": None} for name in photos)
    return sorted(found, key=lambda row: (str(row["kind"]), str(row.get("transaction", ""))))


def _transactions() -> list[Json]:
    """Give every transaction as it stands before the late receipt and without the reader of photographs."""
    files: dict[int, list[str]] = {}
    for paper in papers():
        files.setdefault(paper.row, []).append(_receipt_name(paper))
    return [
        {
            "id": id_,
            "amount": money(payment.cents),
            "date": payment.day.isoformat(),
            "category": PARTIES[payment.party].category,
            "treatment": treatment(payment.case, ocr=False, late=False),
            "vat": money(sum(vat for _, _, vat in vat_lines(payment)) + reverse_charged(payment.bill)),
            "receipt": files.get(row, [None])[0],
            **({"receipts_that_fit": files[row]} if payment.twin else {}),
            **({"special": payment.case.value} if payment.case is not Case.PLAIN else {}),
        }
        for row, (id_, payment) in enumerate(zip(transaction_ids(), PAYMENTS, strict=True))
    ]


def _receipt_name(paper: Paper) -> str:
    in_late = paper.path.parts[0] != QUARTER
    return f"late/{paper.path.name}" if in_late else f"receipts/{paper.path.name}"


def main() -> None:
    """Read the command line and write the expected answers."""
    parser = argparse.ArgumentParser(description="Work out the expected answers of the sample quarter.")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="file to write")
    arguments = parser.parse_args()
    arguments.out.write_text(expected_text(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
