"""Categories: what a payee's name proposes, what a receipt proposes, and which of the two counts.

The patterns are data, in vendors.toml. It does not know amounts of VAT, nor who decides what it hands to a person.
"""

import pathlib
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Final, Literal

import msgspec

from examples.bookkeeping.errors import RulesUnclear
from examples.bookkeeping.ledger import ReceiptFacts, Transaction
from examples.bookkeeping.money import ZERO
from examples.bookkeeping.names import plain

RULES_FILE: Final = pathlib.Path(__file__).with_name("vendors.toml")

Category = Literal[
    "sales", "office", "software", "travel", "telecom", "meals", "subscriptions", "insurance", "bank_fees", "tax",
    "private", "transfer", "training", "marketing", "hardware", "rent", "fuel", "other", "unknown",
]  # fmt: skip

# Paid to oneself, to the bank or to the state: no bill is ever written.
WITHOUT_RECEIPT: Final = frozenset({"bank_fees", "tax", "private", "transfer"})

# Not of the business, or not a supply: no VAT is in these, whatever a receipt says.
WITHOUT_VAT: Final = frozenset({"tax", "private", "transfer"})

# Below this a proposal is a guess and goes to a person.
CONFIDENCE_MIN: Final = 0.60
# Nearer than this, two proposals that differ are equally good and go to a person.
CONFIDENCE_GAP_MIN: Final = 0.10

CONFIDENCE_NAME: Final = 0.80
CONFIDENCE_RECEIPT: Final = 0.95
CONFIDENCE_CERTAIN: Final = 0.99
# Some lines of a receipt point one way and some another: the larger sum counts, but only just.
CONFIDENCE_RECEIPT_MIXED: Final = 0.70
CONFIDENCE_NONE: Final = 0.30


class VendorRule(msgspec.Struct, frozen=True, kw_only=True):
    """Words that stand together in a payee's name, and the category they mean."""

    names: tuple[str, ...]
    category: Category
    confidence: float = CONFIDENCE_NAME


class LineRule(msgspec.Struct, frozen=True, kw_only=True):
    """Beginnings of words in a receipt's lines, and the category they mean."""

    words: tuple[str, ...]
    category: Category


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of vendors.toml."""

    vendor: tuple[VendorRule, ...]
    line: tuple[LineRule, ...]


class Proposal(msgspec.Struct, frozen=True, kw_only=True, tag="proposal"):
    """A category, how sure it is, and by which rule."""

    category: Category
    confidence: float
    rule: str


class Settled(Enum):
    """What becomes of one or two proposals."""

    AGREED = "agreed"
    HIGHER_CONFIDENCE = "higher_confidence"
    PERSON_DISAGREEMENT = "person_disagreement"
    PERSON_LOW_CONFIDENCE = "person_low_confidence"


class Settlement(msgspec.Struct, frozen=True, kw_only=True, tag="settlement"):
    """The winner, the loser that stays in the log, and the rule that chose."""

    settled: Settled
    chosen: Proposal
    lost: Proposal | None = None
    rule: str

    @property
    def needs_person(self) -> bool:
        """Whether a person decides."""
        return self.settled in (Settled.PERSON_DISAGREEMENT, Settled.PERSON_LOW_CONFIDENCE)


def read_rules(path: pathlib.Path = RULES_FILE) -> Rules:
    """Read the vendor and line patterns.

    Raises:
        RulesUnclear: the file is absent, no TOML, or holds something that is no rule.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Rules)
    except OSError as error:
        raise RulesUnclear(str(path), f"cannot be read ({error.strerror}); restore it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise RulesUnclear(str(path), f"is not a file of rules ({error}); see the comment at its head") from error


def needs_receipt(category: str) -> bool:
    """Say whether a payment of this category must be backed by a receipt."""
    return category not in WITHOUT_RECEIPT


def propose_by_name(transaction: Transaction, rules: Rules, own_accounts: Sequence[str] = ()) -> Proposal:
    """Propose a category from the bank line alone; the longest pattern in the payee's name wins."""
    if transaction.counter_iban and transaction.counter_iban in own_accounts:
        return Proposal(category="transfer", confidence=CONFIDENCE_CERTAIN, rule="own account")
    if transaction.amount > 0 and _names_invoice(transaction):
        return Proposal(category="sales", confidence=CONFIDENCE_NAME, rule="money in that names an invoice")
    name = f" {plain(transaction.name)} "
    hits = [(len(words), words, rule) for rule in rules.vendor for words in rule.names if f" {plain(words)} " in name]
    if hits:
        _, words, rule = max(hits, key=lambda hit: hit[0])
        return Proposal(category=rule.category, confidence=rule.confidence, rule=f"name holds {words!r}")
    return Proposal(category="unknown", confidence=CONFIDENCE_NONE, rule="no pattern knows this payee")


def propose_by_receipt(receipt: ReceiptFacts, rules: Rules) -> Proposal:
    """Propose a category from what was bought."""
    if receipt.sale:
        return Proposal(category="sales", confidence=CONFIDENCE_CERTAIN, rule="own invoice")
    weights: dict[Category, Decimal] = {}
    told: dict[Category, str] = {}
    for line in receipt.lines:
        hit = _line_category(line.description, rules)
        if hit is not None:
            category, word = hit
            weights[category] = weights.get(category, ZERO) + abs(line.amount)
            told.setdefault(category, word)
    if not weights:
        return Proposal(category="unknown", confidence=CONFIDENCE_NONE, rule="the receipt's lines hold no known word")
    best = max(weights, key=lambda category: weights[category])
    sure = CONFIDENCE_RECEIPT if len(weights) == 1 else CONFIDENCE_RECEIPT_MIXED
    return Proposal(category=best, confidence=sure, rule=f"receipt holds {told[best]!r}")


def settle(by_name: Proposal, by_receipt: Proposal | None = None) -> Settlement:
    """Choose between two proposals: the clearly surer one, else a person; a lone guess goes to a person too."""
    if by_receipt is None or by_receipt.category == "unknown":
        return _alone(by_name, by_receipt)
    if by_name.category == "unknown":
        return _alone(by_receipt, by_name)
    surer, other = sorted((by_name, by_receipt), key=lambda proposal: -proposal.confidence)
    if surer.category == other.category:
        return Settlement(settled=Settled.AGREED, chosen=surer, rule="name and receipt agree")
    # Confidences have two decimals; binary fractions must not decide whether a gap of exactly 0.10 is enough.
    if round(surer.confidence - other.confidence, 2) >= CONFIDENCE_GAP_MIN:
        rule = f"higher confidence wins: {surer.confidence:.2f} against {other.confidence:.2f}"
        return Settlement(settled=Settled.HIGHER_CONFIDENCE, chosen=surer, lost=other, rule=rule)
    rule = f"confidences {surer.confidence:.2f} and {other.confidence:.2f} are too close: a person decides"
    return Settlement(settled=Settled.PERSON_DISAGREEMENT, chosen=surer, lost=other, rule=rule)


def _alone(proposal: Proposal, other: Proposal | None) -> Settlement:
    if proposal.confidence < CONFIDENCE_MIN:
        rule = f"confidence {proposal.confidence:.2f} is below {CONFIDENCE_MIN:.2f}: a person decides"
        return Settlement(settled=Settled.PERSON_LOW_CONFIDENCE, chosen=proposal, lost=other, rule=rule)
    return Settlement(settled=Settled.AGREED, chosen=proposal, lost=other, rule=f"only one proposal: {proposal.rule}")


def _line_category(description: str, rules: Rules) -> tuple[Category, str] | None:
    """The first known word decides, for the thing bought stands first: "Lunch workshop" is a lunch."""
    text = f" {plain(description)}"
    hits: list[tuple[int, int, Category, str]] = [
        (text.find(f" {plain(word)}"), -len(word), rule.category, word) for rule in rules.line for word in rule.words
    ]
    found = [hit for hit in hits if hit[0] >= 0]
    if not found:
        return None
    _, _, category, word = min(found, key=lambda hit: hit[:2])
    return category, word


def _names_invoice(transaction: Transaction) -> bool:
    told = set(plain(f"{transaction.description} {transaction.reference}").split())
    return "factuur" in told and not told & {"retour", "credit", "terugbetaling"}
