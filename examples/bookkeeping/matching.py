"""Which receipt belongs to which payment: same gross amount, a name or number that fits, and a date near enough.

A receipt matches by evidence alone, never by being the only one left.
It does not know categories, nor what happens to a payment without a receipt.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Final

import msgspec

from examples.bookkeeping.ledger import ReceiptFacts, Transaction
from examples.bookkeeping.names import ALIKE_MIN, likeness, plain

# Thirty days to pay and two weeks late; before the bill only by the days a card payment takes to be billed.
PAID_AFTER_DAYS_MAX: Final = 45
PAID_BEFORE_DAYS_MAX: Final = 5
# Bills of one vendor and one amount that lie this far apart are a subscription: each month's payment has its own.
RECURRING_DAYS_MIN: Final = 21
# Shorter invoice numbers ("12") occur in descriptions by chance.
NUMBER_CHARACTERS_MIN: Final = 4

SCORE_NUMBER: Final = 1.0
SCORE_NAME_MIN: Final = 0.6
SCORE_NAME_SPAN: Final = 0.3


class Candidate(msgspec.Struct, frozen=True, kw_only=True, tag="candidate"):
    """A receipt that fits a payment."""

    source: str
    score: float
    """1.0 by invoice number; 0.6 to 0.9 by name and date."""
    reason: str
    days: int
    """From the receipt to the payment."""


class Verdict(Enum):
    """How many receipts fit."""

    UNIQUE = "unique"
    AMBIGUOUS = "ambiguous"
    NONE = "none"


class Match(msgspec.Struct, frozen=True, kw_only=True, tag="match"):
    """The receipt of one payment, or why there is none."""

    verdict: Verdict
    rule: str
    receipt: str = ""
    """Source of the chosen receipt; empty unless unique."""
    candidates: tuple[Candidate, ...] = ()


def bank_amount(receipt: ReceiptFacts) -> Decimal:
    """Give the signed amount that the bank shows when this receipt is paid."""
    return receipt.total if receipt.sale else -receipt.total


def candidates(transaction: Transaction, receipts: Iterable[ReceiptFacts]) -> list[Candidate]:
    """Give the receipts that fit, the best first; equal ones by file name."""
    found = [fit for receipt in receipts if (fit := _fit(transaction, receipt)) is not None]
    return sorted(found, key=lambda candidate: (-candidate.score, abs(candidate.days), candidate.source))


def match(transaction: Transaction, receipts: Iterable[ReceiptFacts]) -> Match:
    """Choose a receipt for one payment, or say that none or several fit."""
    found = candidates(transaction, receipts)
    if not found:
        return Match(verdict=Verdict.NONE, rule="no receipt of this amount, name and date")
    listed = tuple(found)
    numbered = [candidate for candidate in found if candidate.score == SCORE_NUMBER]
    rivals = numbered or found
    if len(rivals) == 1:
        rule = "invoice number" if numbered else "the only one of this amount, name and date"
        return Match(verdict=Verdict.UNIQUE, rule=rule, receipt=rivals[0].source, candidates=listed)
    nearest, second = sorted(rivals, key=lambda candidate: (abs(candidate.days), candidate.source))[:2]
    if abs(second.days) - abs(nearest.days) >= RECURRING_DAYS_MIN:
        rule = "the nearest of a recurring bill"
        return Match(verdict=Verdict.UNIQUE, rule=rule, receipt=nearest.source, candidates=listed)
    return Match(verdict=Verdict.AMBIGUOUS, rule="several receipts fit equally", candidates=listed)


def match_all(transactions: Sequence[Transaction], receipts: Sequence[ReceiptFacts]) -> dict[str, Match]:
    """Match every payment; a receipt that an invoice number gave away is out of reach for the others.

    Two payments that end at one receipt are both ambiguous: one bill, paid twice, is for a person.
    """
    first = {transaction.id: match(transaction, receipts) for transaction in transactions}
    taken = {found.receipt: id_ for id_, found in first.items() if found.receipt and _by_number(found)}
    matches = {
        transaction.id: first[transaction.id]
        if taken.get(first[transaction.id].receipt) == transaction.id
        else match(transaction, [receipt for receipt in receipts if receipt.source not in taken])
        for transaction in transactions
    }
    return {id_: _contested(id_, found, matches) for id_, found in matches.items()}


def unused(matches: Iterable[Match], receipts: Iterable[ReceiptFacts]) -> list[str]:
    """Name the receipts that no payment wants, the candidates of an ambiguous match counted as wanted."""
    wanted: set[str] = set()
    for found in matches:
        wanted.update(candidate.source for candidate in found.candidates if not found.receipt)
        wanted.add(found.receipt)
    return sorted(receipt.source for receipt in receipts if receipt.source not in wanted)


def _fit(transaction: Transaction, receipt: ReceiptFacts) -> Candidate | None:
    if bank_amount(receipt) != transaction.amount:
        return None
    days = (transaction.date - receipt.date).days
    if _number_told(transaction, receipt):
        reason = f"amount and number {receipt.number} agree"
        return Candidate(source=receipt.source, score=SCORE_NUMBER, reason=reason, days=days)
    alike = likeness(receipt.customer if receipt.sale else receipt.vendor, transaction.name)
    if alike < ALIKE_MIN or not -PAID_BEFORE_DAYS_MAX <= days <= PAID_AFTER_DAYS_MAX:
        return None
    score = round(SCORE_NAME_MIN + SCORE_NAME_SPAN * (alike - ALIKE_MIN) / (1 - ALIKE_MIN), 2)
    reason = f"amount agrees, name is {alike:.0%} alike, {_distance(transaction.date, receipt.date)}"
    return Candidate(source=receipt.source, score=score, reason=reason, days=days)


def _number_told(transaction: Transaction, receipt: ReceiptFacts) -> bool:
    number = plain(receipt.number)
    if len(number.replace(" ", "")) < NUMBER_CHARACTERS_MIN:
        return False
    told = plain(f"{transaction.description} {transaction.reference}")
    return f" {number} " in f" {told} "


def _distance(paid: dt.date, billed: dt.date) -> str:
    days = (paid - billed).days
    if days == 0:
        return "paid the same day"
    return f"paid {abs(days)} day{'s' if abs(days) > 1 else ''} {'later' if days > 0 else 'earlier'}"


def _by_number(found: Match) -> bool:
    return any(candidate.source == found.receipt and candidate.score == SCORE_NUMBER for candidate in found.candidates)


def _contested(id_: str, found: Match, matches: dict[str, Match]) -> Match:
    others = [other for other, match_ in matches.items() if other != id_ and match_.receipt == found.receipt]
    if not found.receipt or not others:
        return found
    rule = f"receipt fits payment {others[0]} as well"
    return msgspec.structs.replace(found, verdict=Verdict.AMBIGUOUS, rule=rule, receipt="")
