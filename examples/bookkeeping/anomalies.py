"""What looks odd among the quarter's payments: the same payment in two exports, and amounts unlike the payee's others.

History is the quarter itself, so that the same input always gives the same findings.
It does not know receipts or VAT, and it excludes nothing by itself.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from statistics import median
from typing import Final

import msgspec

from examples.bookkeeping.ledger import Transaction
from examples.bookkeeping.names import plain, words

UNUSUAL_FACTOR: Final = Decimal(5)
# With fewer other payments there is no "usual".
HISTORY_MIN: Final = 3


class Duplicate(msgspec.Struct, frozen=True, kw_only=True, tag="duplicate"):
    """One payment that stands in two exports."""

    copy: str
    """Id of the transaction to leave out."""
    original: str
    reason: str


class Unusual(msgspec.Struct, frozen=True, kw_only=True, tag="unusual"):
    """A payment many times the payee's usual."""

    transaction: str
    usual: Decimal
    """Median of the payee's other payments in the quarter."""
    factor: Decimal
    """How many times the usual, one decimal."""


def find_duplicates(transactions: Sequence[Transaction]) -> list[Duplicate]:
    """Find payments with the same counterparty account, amount, day and text in exports of two banks.

    The ING line is kept, the other is the copy. Two equal lines in one export are two payments.
    """
    originals: dict[tuple[object, ...], list[Transaction]] = defaultdict(list)
    found: list[Duplicate] = []
    for transaction in sorted(transactions, key=lambda each: (each.bank, each.date, each.id)):
        if not transaction.counter_iban:
            continue
        same = originals[(transaction.counter_iban, transaction.amount, transaction.date)]
        original = next(
            (each for each in same if each.bank != transaction.bank and _same_text(each, transaction)), None
        )
        if original is None:
            same.append(transaction)
            continue
        # One original answers for one copy: a second copy is a payment of its own.
        same.remove(original)
        reason = "same account, amount, day and text in both exports"
        found.append(Duplicate(copy=transaction.id, original=original.id, reason=reason))
    return found


def find_unusual(transactions: Sequence[Transaction], categories: Mapping[str, str] | None = None) -> list[Unusual]:
    """Find payments of at least five times the median of the payee's other payments.

    With `categories` (by transaction id), private drawings and transfers are left out: they follow no pattern.
    """
    payees: dict[str, list[Transaction]] = defaultdict(list)
    for transaction in transactions:
        category = (categories or {}).get(transaction.id, "")
        if transaction.amount < 0 and category not in ("private", "transfer"):
            payees[_payee(transaction)].append(transaction)
    found = [unusual for group in payees.values() for each in group if (unusual := _unusual(each, group)) is not None]
    return sorted(found, key=lambda unusual: unusual.transaction)


def _unusual(transaction: Transaction, group: Sequence[Transaction]) -> Unusual | None:
    others = [-each.amount for each in group if each.id != transaction.id]
    if len(others) < HISTORY_MIN:
        return None
    usual = median(others)
    if usual <= 0 or -transaction.amount < UNUSUAL_FACTOR * usual:
        return None
    factor = (-transaction.amount / usual).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    return Unusual(transaction=transaction.id, usual=usual.quantize(Decimal("0.01"), ROUND_HALF_UP), factor=factor)


def _payee(transaction: Transaction) -> str:
    return transaction.counter_iban or " ".join(words(transaction.name)) or plain(transaction.name)


def _same_text(one: Transaction, other: Transaction) -> bool:
    if one.reference and plain(one.reference) == plain(other.reference):
        return True
    left, right = plain(one.description), plain(other.description)
    return left == right or (bool(left) and bool(right) and (left in right or right in left))
