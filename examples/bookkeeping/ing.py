"""Rows of an ING export, comma or semicolon separated, become transactions.

It does not know files, encodings or line limits.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

from examples.bookkeeping.exports import Row, RowRefused, parse_date, squeeze
from examples.bookkeeping.ledger import Transaction
from examples.bookkeeping.money import parse_money

DELIMITERS: Final = (";", ",")
DATE: Final = "Datum"
# The newer export adds "Saldo na mutatie" and "Tag"; neither is needed.
COLUMNS: Final = (
    DATE,
    "Naam / Omschrijving",
    "Rekening",
    "Tegenrekening",
    "Code",
    "Af Bij",
    "Bedrag (EUR)",
    "Mutatiesoort",
    "Mededelingen",
)

_SIGNS: Final = {"af": -1, "bij": 1}
# The bank writes its remarks as "Label: value" pairs on one line; a value ends where the next label begins.
_LABELS: Final = (
    "Naam", "Omschrijving", "IBAN", "Kenmerk", "Machtiging ID", "Incassant ID", "Valutadatum", "Datum/Tijd",
    "Pasvolgnr", "Transactie", "Term",
)  # fmt: skip
_LABEL = re.compile(r"(?:^|(?<=\s))(" + "|".join(_LABELS) + r"):\s*")


def read_row(row: Row, id_: str) -> Transaction:
    """Turn one row into a transaction with the given id; RowRefused or MoneyUnclear if it cannot be."""
    sign = _SIGNS.get(row.needed("Af Bij").lower())
    if sign is None:
        raise RowRefused(f"column 'Af Bij' says {row.text('Af Bij')[:40]!r}; expected Af or Bij")
    amount = parse_money(row.needed("Bedrag (EUR)"))
    if amount < 0:
        raise RowRefused(f"amount {row.text('Bedrag (EUR)')[:40]!r} is signed; expected the sign in 'Af Bij' alone")
    remarks = split_remarks(row.text("Mededelingen"))
    return Transaction(
        id=id_,
        bank="ing",
        account=row.iban("Rekening"),
        date=parse_date(row.needed(DATE), "yyyymmdd"),
        amount=sign * amount,
        name=row.text("Naam / Omschrijving"),
        counter_iban=row.iban("Tegenrekening") or remarks.get("IBAN", "").replace(" ", "").upper(),
        description=remarks.get("Omschrijving", "") or row.text("Mededelingen"),
        reference=remarks.get("Kenmerk", ""),
        code=row.text("Code"),
        source=row.file,
        line=row.line,
    )


def split_remarks(text: str) -> dict[str, str]:
    """Split "Naam: X Omschrijving: Y IBAN: Z" into its labelled parts; text before the first label is dropped."""
    found = list(_LABEL.finditer(text))
    parts: dict[str, str] = {}
    for match, following in zip_longest(found, found[1:]):
        end = following.start() if following else len(text)
        parts.setdefault(match[1], squeeze(text[match.end() : end]))
    return parts
