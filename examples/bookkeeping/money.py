"""Amounts of money: Dutch notation in, `Decimal` of whole cents inside, plain notation out.

Rounding is half-up and away from zero, so that a credit note mirrors its invoice to the cent.
This module does not know what an amount is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from examples.bookkeeping.errors import MoneyUnclear

CENT: Final = Decimal("0.01")
ZERO: Final = Decimal("0.00")

# Twelve digits before the comma is more than any business here owns, and keeps every sum exact in 28 digits.
EURO_DIGITS_MAX: Final = 12

_PLAIN = re.compile(r"[+-]?\d+,\d{2}", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d{2}", re.ASCII)
_SYMBOL = re.compile(r"^([+-]?)\s*(?:€|EUR)\s*", re.IGNORECASE)


def to_cents(value: Decimal) -> Decimal:
    """Round to whole cents, half-up (2.485 becomes 2.49, -2.485 becomes -2.49)."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def add(values: Iterable[Decimal]) -> Decimal:
    """Add amounts; nothing gives 0.00."""
    return sum(values, ZERO)


def parse_money(text: str) -> Decimal:
    """Read an amount in Dutch notation: `1234,56`, `1.234,56`, `+12,50`, `-36,30`, `€ 5,00`.

    Raises:
        MoneyUnclear: two commas, no two decimals, wrong grouping, or anything that is not a number.
    """
    bare = _SYMBOL.sub(r"\1", text.strip())
    if not (_PLAIN.fullmatch(bare) or _GROUPED.fullmatch(bare)):
        raise MoneyUnclear(text[:40], _complaint(bare))
    digits = bare.replace(".", "").replace(",", ".")
    if len(digits.lstrip("+-")) > EURO_DIGITS_MAX + 3:
        raise MoneyUnclear(text[:40], "is larger than this program accepts")
    return Decimal(digits)


def money_text(value: Decimal) -> str:
    """Write an amount with two decimals and a point, as it stands in JSON: `-36.30`."""
    return str(to_cents(value))


def _complaint(bare: str) -> str:
    if not bare:
        return "is empty"
    if bare.count(",") > 1:
        return "has two commas" if bare.count(",") == 2 else "has several commas"
    if re.fullmatch(r"[+-]?[\d.]*\.\d{2}", bare):
        return "has a decimal point"
    return "is not an amount"
