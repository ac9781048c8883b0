"""What stands between a worked-out VAT claim and the books: the receipt itself, read again by the rules.

Whoever works out the VAT, a booking that no person decided on claims exactly what its receipt gives, at its rates.
It does not know who asks, nor what a person answers.
"""

from decimal import Decimal

from examples.bookkeeping.ledger import ReceiptFacts, VatLine
from examples.bookkeeping.messages import BrokenDown
from examples.bookkeeping.money import ZERO, add, to_cents
from examples.bookkeeping.vat import (
    RATES,
    WRONG_CLAIM,
    Finding,
    breakdown,
    check,
    check_claim,
    treatment_of,
    vat_on_net,
)


def objections(facts: ReceiptFacts, claim: BrokenDown) -> tuple[Finding, ...]:
    """Name what forbids to book the claim without a person; empty when it is the receipt's own breakdown."""
    found = claim.findings or check(facts)
    claimed = add(line.vat for line in claim.lines)
    guarded = check_claim(facts, claimed)
    if guarded is not None:
        return (guarded, *found)
    if claim.lines != breakdown(facts) or claim.treatment is not treatment_of(facts):
        text = "claims the right VAT in the wrong place; book rates and direction as the receipt has them"
        return (Finding(kind=WRONG_CLAIM, message=text, stated=claimed, computed=claimed), *found)
    return found


def safe_vat(facts: ReceiptFacts) -> Decimal:
    """Give the VAT to propose for a receipt that does not add up: what nobody would have to pay back.

    A purchase deducts what is both stated and right; on an own invoice, VAT that was charged is owed.
    """
    if facts.reverse_charge:
        return add(line.vat for line in breakdown(facts))
    choose = max if facts.sale else min
    pairs = [(line.vat, vat_on_net(line.net, line.rate) if line.rate in RATES else ZERO) for line in breakdown(facts)]
    return add(choose(pair, key=abs) for pair in pairs)


def decided_lines(facts: ReceiptFacts, text: str) -> tuple[VatLine, ...] | None:
    """Give the receipt's lines with as much VAT in all as a person said; None if they cannot hold it.

    Each line keeps its own VAT as far as the sum allows; what is over goes on the first.
    """
    lines = breakdown(facts)
    vat = _amount(text)
    if vat is None or not lines:
        return None
    sign = -1 if facts.total < 0 else 1
    left = sign * vat
    if left < 0:
        return None
    shares: list[Decimal] = []
    for line in lines:
        shares.append(min(max(sign * line.vat, ZERO), left))
        left -= shares[-1]
    shares[0] += left
    if any(share > sign * line.gross for share, line in zip(shares, lines, strict=True)):
        return None
    return tuple(
        _with_vat(line, sign * share, on_top=facts.reverse_charge) for line, share in zip(lines, shares, strict=True)
    )


def _with_vat(line: VatLine, vat: Decimal, *, on_top: bool) -> VatLine:
    """Put other VAT into a line; what was paid stays, but reverse-charged VAT comes on top of it."""
    if on_top:
        return VatLine(rate=line.rate, net=line.net, vat=vat, gross=line.net + vat)
    return VatLine(rate=line.rate, net=line.gross - vat, vat=vat, gross=line.gross)


def _amount(text: str) -> Decimal | None:
    try:
        vat = Decimal(text)
        return to_cents(vat) if vat.is_finite() else None
    except ArithmeticError:
        return None
