"""The text of a receipt becomes facts: vendor, number, date, lines, rates, total.

Text from a photo is read by the same rules: white space may be missing in it and marks may be of the wide kind.
It does not judge the facts; whether the stated VAT is right is for the VAT rules.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from examples.bookkeeping.errors import MoneyUnclear, ReceiptUnclear
from examples.bookkeeping.ledger import RateLine, ReceiptFacts, ReceiptLine
from examples.bookkeeping.money import parse_money
from examples.bookkeeping.pdf import read_pdf

# A till slip of 200 lines is a metre long; text beyond this is not a receipt.
TEXT_LINES_MAX: Final = 500
HINTS_MAX: Final = 20

# A photo's "over" is often read as "0ver"; a nought inside or before small letters is never a digit on a receipt.
_ZERO_FOR_O: Final = re.compile(r"(?<![\dA-Z])0(?=[a-z]{2})|(?<=[a-z])0(?=[a-z])")
_MONEY: Final = r"([+-]?\s*(?:€|EUR)?\s*[\d.]+,\d{2})"
_PATTERNS: Final = {
    "credit": re.compile(r"credit(?:factuur|nota)\b.*", re.IGNORECASE),
    "number": re.compile(r"(?:factuurnummer|factuurnr\.?|bonnummer|bonnr\.?)\s*:\s*(\S.*)", re.IGNORECASE),
    "date": re.compile(r"(?:factuurdatum|bondatum|datum)\s*:\s*(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})\b.*", re.IGNORECASE),
    "vat_id": re.compile(r"btw-?\s*(?:nr|nummer|id)\.?\s*:\s*(\S.*)", re.IGNORECASE),
    "customer": re.compile(r"(?:aan|klant)\s*:\s*(\S.*)", re.IGNORECASE),
    "reverse": re.compile(r".*btw\s*(?:is\s*)?verlegd.*", re.IGNORECASE),
    "rate": re.compile(rf"btw\s*(\d{{1,2}})\s*%\s*over\s*{_MONEY}\s*:?\s*{_MONEY}", re.IGNORECASE),
    "gross": re.compile(rf"(?:bedrag|totaal)\s*incl\.?\s*(\d{{1,2}})\s*%\s*btw\s*:?\s*{_MONEY}", re.IGNORECASE),
    "total": re.compile(rf"(?:totaal|te\s*betalen|totaalbedrag)(?:\s*incl\.?\s*btw)?\s*:?\s*{_MONEY}", re.IGNORECASE),
    "subtotal": re.compile(rf"(?:subtotaal|totaal\s*excl\.?\s*btw)\s*:?\s*{_MONEY}", re.IGNORECASE),
    "line": re.compile(rf"(\S.*?)\s*{_MONEY}"),
}


@dataclass(slots=True)
class _Draft:
    """What was found so far; one method per label keeps the reading flat."""

    number: str = ""
    vat_id: str = ""
    customer: str = ""
    date: dt.date | None = None
    total: Decimal | None = None
    credit: bool = False
    reverse: bool = False
    lines: list[ReceiptLine] = field(default_factory=list[ReceiptLine])
    rates: list[RateLine] = field(default_factory=list[RateLine])
    hints: list[str] = field(default_factory=list[str])

    def take(self, name: str, found: re.Match[str]) -> None:
        """Store what the pattern `name` found; ValueError or MoneyUnclear if the text is not what it looks like."""
        takers: dict[str, Callable[[re.Match[str]], None]] = {
            "date": self._take_date,
            "rate": self._take_rate,
            "gross": self._take_gross,
            "line": self._take_line,
        }
        if name in takers:
            takers[name](found)
        elif name == "number":
            self.number = self.number or found[1].strip()
        elif name == "vat_id":
            self.vat_id = self.vat_id or re.sub(r"[\s.]", "", found[1]).upper()
        elif name == "customer":
            self.customer = self.customer or found[1].strip()
        elif name == "total":
            self.total = _money(found[1])
        elif name == "credit":
            self.credit = True
        elif name == "reverse":
            self.reverse = True

    def _take_date(self, found: re.Match[str]) -> None:
        self.date = self.date or dt.date(int(found[3]), int(found[2]), int(found[1]))

    def _take_rate(self, found: re.Match[str]) -> None:
        net, vat = _money(found[2]), _money(found[3])
        self.rates.append(RateLine(rate=int(found[1]), net=net, vat=vat, gross=net + vat))

    def _take_gross(self, found: re.Match[str]) -> None:
        self.rates.append(RateLine(rate=int(found[1]), gross=_money(found[2])))

    def _take_line(self, found: re.Match[str]) -> None:
        self.lines.append(ReceiptLine(description=found[1].strip(), amount=_money(found[2])))

    def missing(self) -> tuple[str, ...]:
        """Name what a booking needs and the text did not give."""
        return tuple(
            name
            for name, absent in (
                ("the date", self.date is None),
                ("the total", self.total is None),
                ("the VAT per rate", not self.rates and not self.reverse),
            )
            if absent
        )


def read_receipt(source: str, data: bytes, *, own_name: str | None = None) -> ReceiptFacts:
    """Read a PDF receipt and note where it came from and its hash.

    Raises:
        ReceiptUnreadable: the file gives no text.
        ReceiptUnclear: the text lacks facts.
    """
    facts = parse_receipt(read_pdf(data), own_name=own_name, source=source)
    return with_hash(facts, data)


def with_hash(facts: ReceiptFacts, data: bytes) -> ReceiptFacts:
    """Note the SHA-256 of the file that the facts were read from."""
    return msgspec.structs.replace(facts, sha256=hashlib.sha256(data).hexdigest())


def parse_receipt(text: str, *, own_name: str | None = None, source: str = "") -> ReceiptFacts:
    """Read the facts from a receipt's text.

    `own_name` is the business whose books these are: an invoice headed by it is a sale.
    Without it, an invoice that names its customer counts as one.

    Raises:
        ReceiptUnclear: vendor, date, total or VAT breakdown is missing; the error names them all.
    """
    texts = [line for each in text.splitlines() if (line := _clean(each))][:TEXT_LINES_MAX]
    draft, vendor = _Draft(), ""
    for line in texts:
        name = _read_line(draft, line)
        if not vendor and name in (None, "line"):
            vendor = line
            draft.lines.clear()
        elif name is None and line != vendor and len(draft.hints) < HINTS_MAX:
            draft.hints.append(line)
    missing = (() if vendor else ("the vendor",)) + draft.missing()
    if missing or draft.date is None or draft.total is None:
        raise ReceiptUnclear(missing)
    return _facts(draft, vendor, draft.date, draft.total, own_name=own_name, source=source)


def _clean(line: str) -> str:
    return _ZERO_FOR_O.sub("o", unicodedata.normalize("NFKC", " ".join(line.split())))


def _read_line(draft: _Draft, line: str) -> str | None:
    for name, pattern in _PATTERNS.items():
        found = pattern.fullmatch(line)
        if found is None:
            continue
        try:
            draft.take(name, found)
        except (ValueError, MoneyUnclear):
            continue
        return name
    return None


def _money(text: str) -> Decimal:
    return parse_money(re.sub(r"\s", "", text))


def _facts(
    draft: _Draft, vendor: str, date: dt.date, total: Decimal, *, own_name: str | None, source: str
) -> ReceiptFacts:
    # Some till systems print a credit note's amounts without a sign; here they always carry it.
    sign = -1 if draft.credit and total > 0 else 1
    return ReceiptFacts(
        vendor=vendor,
        date=date,
        total=sign * total,
        number=draft.number,
        vat_id=draft.vat_id,
        lines=tuple(ReceiptLine(description=line.description, amount=sign * line.amount) for line in draft.lines),
        rates=tuple(_signed(rate, sign) for rate in draft.rates),
        reverse_charge=draft.reverse,
        credit=draft.credit or total < 0,
        sale=bool(draft.customer) if own_name is None else _same(vendor, own_name),
        customer=draft.customer,
        source=source,
        hints=tuple(draft.hints),
    )


def _signed(rate: RateLine, sign: int) -> RateLine:
    return RateLine(
        rate=rate.rate,
        gross=sign * rate.gross,
        net=None if rate.net is None else sign * rate.net,
        vat=None if rate.vat is None else sign * rate.vat,
    )


def _same(one: str, other: str) -> bool:
    # A photo loses spaces, never letters.
    return re.sub(r"\W", "", one).casefold() == re.sub(r"\W", "", other).casefold()
