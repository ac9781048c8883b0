"""Rows of a Rabobank export become transactions.

It does not know files, encodings or line limits.
"""

from __future__ import annotations

import re
from typing import Final

from examples.bookkeeping.exports import Row, RowRefused, parse_date, squeeze
from examples.bookkeeping.ledger import Transaction
from examples.bookkeeping.money import parse_money

DELIMITERS: Final = (",",)
SEQUENCE: Final = "Volgnr"
COLUMNS: Final = (
    "IBAN/BBAN",
    "Munt",
    SEQUENCE,
    "Datum",
    "Bedrag",
    "Tegenrekening IBAN/BBAN",
    "Naam tegenpartij",
    "Code",
    "Transactiereferentie",
    "Betalingskenmerk",
    "Omschrijving-1",
    "Omschrijving-2",
    "Omschrijving-3",
)
CURRENCY: Final = "EUR"

_SEQUENCE = re.compile(r"\d{1,18}", re.ASCII)


def read_row(row: Row) -> Transaction:
    """Turn one row into a transaction; RowRefused or MoneyUnclear if it cannot be."""
    currency = row.needed("Munt")
    if currency != CURRENCY:
        raise RowRefused(f"currency {currency[:40]!r} is unknown; only {CURRENCY} accounts can be booked")
    sequence = row.needed(SEQUENCE)
    if not _SEQUENCE.fullmatch(sequence):
        raise RowRefused(f"column {SEQUENCE!r} says {sequence[:40]!r}; expected up to 18 digits")
    amount = row.needed("Bedrag")
    if amount[0] not in "+-":
        raise RowRefused(f"amount {amount[:40]!r} has no sign; expected it like +12,50 or -12,50")
    return Transaction(
        id=f"rabo-{int(sequence)}",
        bank="rabobank",
        account=row.iban("IBAN/BBAN"),
        date=parse_date(row.needed("Datum"), "yyyy-mm-dd"),
        amount=parse_money(amount),
        name=row.text("Naam tegenpartij"),
        counter_iban=row.iban("Tegenrekening IBAN/BBAN"),
        description=squeeze(" ".join(row.text(f"Omschrijving-{number}") for number in (1, 2, 3))),
        reference=row.text("Betalingskenmerk") or row.text("Transactiereferentie"),
        code=row.text("Code"),
        source=row.file,
        line=row.line,
    )
