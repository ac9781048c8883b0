"""How a receipt and a transaction are worked on: one case each.

A transaction goes its way in this order: is there evidence, what does it say, what is it, and only then VAT. Where
evidence is missing the case parks under a name and resumes by itself; where two answers are too close, or one is too
weak, a person decides. They do not know the quarter that they belong to.
"""

from typing import Final, get_args

from casework.protocols.codec import unpack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, ReviewAction
from casework.protocols.wire import Evidence
from casework.runtime import Case
from examples.bookkeeping.categories import CONFIDENCE_MIN, WITHOUT_VAT, Proposal, Settlement, needs_receipt, settle
from examples.bookkeeping.categories import Category as CategoryName
from examples.bookkeeping.categories import Settled as Settling
from examples.bookkeeping.claims import decided_lines, objections, safe_vat
from examples.bookkeeping.errors import CANNOT_BE_READ
from examples.bookkeeping.ledger import Booking, Flag, ReceiptFacts, Status, Transaction, Treatment, VatLine
from examples.bookkeeping.matching import Verdict, bank_amount
from examples.bookkeeping.messages import (
    BrokenDown,
    Category,
    Choice,
    Deduction,
    Read,
    Reading,
    ReceiptInputs,
    Settled,
    ToBreakDown,
    ToCategorise,
    ToNameReceipt,
    ToRead,
    TransactionInputs,
)
from examples.bookkeeping.money import add, money_text
from examples.bookkeeping.paths import shown
from examples.bookkeeping.vat import Finding, treatment_of

#: What a photographed receipt waits for while the reader of photos is not installed.
OCR_KEY: Final = "extra:ocr"
CATEGORIES: Final = frozenset(get_args(CategoryName)) - {"unknown"}
CONSEQUENCES: Final = (
    ("approve", "it is booked as proposed"),
    ("edit", "it is booked with your value"),
    ("reject", "it is not booked and waits for another receipt"),
)


def receipt_key(transaction: str) -> str:
    """Name the receipt that a transaction waits for."""
    return f"receipt:{transaction}"


async def receipt(case: Case, inputs: ReceiptInputs) -> Read:
    """Read one receipt file; a photo waits for the reader of photos."""
    label = inputs.path.rpartition("/")[2]
    while True:
        read = await _read(case, f"input:{inputs.path}", label, inputs.own_name)
        if read.outcome is not Reading.NEEDS_OCR:
            break
        await case.park(OCR_KEY, reason=f"needs_ocr: {read.reason}")
    if read.outcome is Reading.UNREADABLE:
        await case.note(read.reason, level="error", place=inputs.path)
    return read


async def transaction(case: Case, inputs: TransactionInputs) -> Settled:
    """Book one payment, or find out what stands in the way."""
    payment = inputs.transaction
    if inputs.duplicate_of:
        why = f"{payment.id} is {inputs.duplicate_of} once more: same account, amount, day and text"
        await case.decide("duplicate", ("book", "exclude"), "exclude", rule="same_payment_in_both_exports", why=why)
        return Settled(flags=(_flag(case, inputs, "duplicate", Status.EXCLUDED, why),))
    task = ToCategorise(transaction=payment, own_accounts=inputs.business.accounts)
    named = await case.delegate("categorise", task, returns=Proposal, goal="Say what this payment was for")
    sure = named.value.confidence >= CONFIDENCE_MIN
    if inputs.match.verdict is Verdict.NONE and sure and not needs_receipt(named.value.category):
        await case.decide("evidence", ("receipt", "none"), "none", rule="no_receipt_is_ever_written_for_this")
        return _booked(case, inputs, _without_vat(payment, named.value))
    facts = await _evidence(case, inputs)
    while True:
        booking = await _work_out(case, inputs, named.value, facts)
        if booking is not None:
            return _booked(case, inputs, booking)
        facts = await _wait_for_receipt(case, inputs, "rejected: a person rejected the booking")


async def _evidence(case: Case, inputs: TransactionInputs) -> ReceiptFacts:
    """Get the receipt that belongs to a payment; wait for it if there is none."""
    by_source = {facts.source: facts for facts in inputs.receipts}
    match = inputs.match
    if match.verdict is Verdict.UNIQUE:
        await case.decide("receipt", tuple(by_source), match.receipt, rule="match", why=match.rule)
        return by_source[match.receipt]
    if match.verdict is Verdict.NONE:
        return await _wait_for_receipt(case, inputs, f"missing_receipt: {match.rule}")
    while True:
        reviewed = await case.review(
            f"Which receipt belongs to {_told(inputs.transaction)}?",
            Choice(receipt=match.candidates[0].source),
            rule="ambiguous_receipt",
            summary="; ".join(f"{each.source}: {each.reason}" for each in match.candidates),
            evidence=[_evidence_of(facts) for facts in inputs.receipts],
            consequences=CONSEQUENCES,
        )
        if reviewed.action is ReviewAction.REJECT:
            return await _wait_for_receipt(case, inputs, "rejected: a person rejected the receipts that fit")
        if reviewed.value.receipt in by_source:
            return by_source[reviewed.value.receipt]
        choose = f"asked again: choose one of {', '.join(by_source)}"
        await case.note(f"{reviewed.value.receipt!r} is none of the receipts that fit; {choose}", level="warning")


async def _wait_for_receipt(case: Case, inputs: TransactionInputs, reason: str) -> ReceiptFacts:
    """Wait until a receipt arrives that fits the payment's amount; one that does not is named, and the wait goes on."""
    payment = inputs.transaction
    photo: Arrived | None = None
    while True:
        arrived = await _arrival(case, payment.id, reason, photo)
        read = await _read_arrived(case, arrived, inputs.business.name)
        photo = arrived if read.outcome is Reading.NEEDS_OCR else None
        if read.facts is not None and bank_amount(read.facts) == payment.amount:
            await case.decide("receipt", ("accept", "refuse"), "accept", rule="amount_agrees", why=arrived.by)
            return read.facts
        told = _unusable(arrived, read, payment)
        await case.note(told, level="warning")
        reason = f"{'needs_ocr' if photo else 'missing_receipt'}: {told}"


def _unusable(arrived: Arrived, read: Read, payment: Transaction) -> str:
    """Say in one line what is wrong with what was delivered, and what to do."""
    what = shown(arrived.evidence.label) if arrived.evidence and arrived.evidence.label else "what was delivered"
    if read.facts is None:
        return f"{what} cannot be used: {read.reason.removeprefix(CANNOT_BE_READ)}"
    amounts = f"is of {money_text(bank_amount(read.facts))}, the payment of {money_text(payment.amount)}"
    return f"{what} {amounts}; deliver the receipt of this payment"


async def _arrival(case: Case, payment_id: str, reason: str, photo: Arrived | None) -> Arrived:
    """Wait for a receipt; while a delivered photo cannot be read, for the reader of photos as well."""
    if photo is None:
        return await case.park(receipt_key(payment_id), reason=reason)
    receipt_parked = case.park(receipt_key(payment_id), reason=reason)
    which, arrived = await case.first(receipt_parked, case.park(OCR_KEY, reason=reason))
    return arrived if which == 0 and isinstance(arrived, Arrived) else photo


async def _read_arrived(case: Case, arrived: Arrived, own_name: str) -> Read:
    if arrived.evidence is not None:
        return await _read(case, arrived.evidence.ref, arrived.evidence.label, own_name)
    try:
        return Read(outcome=Reading.READ, facts=unpack(arrived.value, ReceiptFacts))
    except ProtocolError:
        return Read(outcome=Reading.UNREADABLE, reason="it is no receipt; deliver a PDF or a photo of one")


async def _read(case: Case, ref: str, label: str, own_name: str) -> Read:
    task = ToRead(ref=ref, label=label, own_name=own_name)
    goal = "Read the receipt and its VAT breakdown"
    result = await case.delegate("read_receipt", task, returns=Read, goal=goal, tools=("read_receipt",))
    return result.value


async def _work_out(case: Case, inputs: TransactionInputs, named: Proposal, facts: ReceiptFacts) -> Booking | None:
    """Category first, VAT last; None when a person rejected one of them."""
    payment = inputs.transaction
    settlement = await _settle(case, named, facts)
    category = await _category(case, payment, settlement, facts)
    if category is None:
        return None
    treatment, lines = Treatment.NO_VAT, tuple[VatLine, ...]()
    if category not in WITHOUT_VAT:
        claimed = await _claim(case, payment, facts)
        if claimed is None:
            return None
        treatment, lines = treatment_of(facts), claimed
    return Booking(
        transaction=payment.id,
        date=payment.date,
        amount=payment.amount,
        category=category,
        treatment=treatment,
        vat_lines=lines,
        receipt=facts.source,
        receipt_sha256=facts.sha256,
        counterparty=payment.name,
        confidence=settlement.chosen.confidence,
        rule=settlement.rule,
    )


async def _claim(case: Case, payment: Transaction, facts: ReceiptFacts) -> tuple[VatLine, ...] | None:
    """Have the VAT worked out; what is not the receipt's own breakdown is never booked without a person."""
    task = ToBreakDown(receipt=facts)
    broken = await case.delegate("break_down", task, returns=BrokenDown, goal="Work out the VAT and check the receipt")
    found = objections(facts, broken.value)
    if found:
        return await _deduction(case, payment, found, facts)
    return broken.value.lines


async def _settle(case: Case, named: Proposal, facts: ReceiptFacts) -> Settlement:
    """Bring the two proposals together by a named rule; the one that lost stays in the log with the reason."""
    task = ToNameReceipt(receipt=facts)
    bought = await case.delegate("name_receipt", task, returns=Proposal, goal="Say what was bought")
    settlement = settle(named, bought.value)
    lost = settlement.lost
    dropped = f"; dropped {lost.category} ({lost.confidence:.2f}, {lost.rule})" if lost else ""
    await case.decide(
        "category",
        tuple(dict.fromkeys((named.category, bought.value.category))),
        settlement.chosen.category,
        rule=settlement.settled.value,
        why=settlement.rule + dropped,
        confidence=settlement.chosen.confidence,
    )
    return settlement


async def _category(case: Case, payment: Transaction, settlement: Settlement, facts: ReceiptFacts) -> str | None:
    """Give the category; a person says it where the answers are too close, too weak, or speak against the receipt."""
    chosen, lost = settlement.chosen.category, settlement.lost
    possible = sorted(each for each in CATEGORIES if (each == "sales") is facts.sale)
    if not settlement.needs_person and chosen in possible:
        return chosen
    fallback = "sales" if facts.sale else "other"
    proposed = next((each for each in (chosen, lost.category if lost else "") if each in possible), fallback)
    weak = settlement.settled is Settling.PERSON_LOW_CONFIDENCE
    while True:
        reviewed = await case.review(
            f"What is {_told(payment)}?",
            Category(category=proposed),
            rule="low_confidence" if weak else "disagreement",
            summary=f"{settlement.rule}. Categories: {', '.join(possible)}",
            evidence=[_evidence_of(facts)],
            consequences=CONSEQUENCES,
        )
        if reviewed.action is ReviewAction.REJECT:
            return None
        if reviewed.value.category in possible:
            return reviewed.value.category
        choose = f"asked again: choose one of {', '.join(possible)}"
        await case.note(f"{reviewed.value.category!r} cannot be booked for this; {choose}", level="warning")


async def _deduction(
    case: Case, payment: Transaction, found: tuple[Finding, ...], facts: ReceiptFacts
) -> tuple[VatLine, ...] | None:
    """Have a person say how much VAT to book where the receipt or the claim does not add up."""
    while True:
        reviewed = await case.review(
            f"How much VAT of {_told(payment)} {'is due' if facts.sale else 'may be deducted'}?",
            Deduction(vat=money_text(safe_vat(facts))),
            rule=found[0].kind,
            summary="; ".join(each.message for each in found),
            evidence=[_evidence_of(facts)],
            consequences=CONSEQUENCES,
        )
        if reviewed.action is ReviewAction.REJECT:
            return None
        lines = decided_lines(facts, reviewed.value.vat)
        if lines is not None:
            return lines
        again = f"asked again: give one like {money_text(safe_vat(facts))}, no more than was paid"
        await case.note(f"{reviewed.value.vat!r} is no amount of VAT on this receipt; {again}", level="warning")


def _without_vat(payment: Transaction, named: Proposal) -> Booking:
    return Booking(
        transaction=payment.id,
        date=payment.date,
        amount=payment.amount,
        category=named.category,
        treatment=Treatment.NO_VAT,
        counterparty=payment.name,
        confidence=named.confidence,
        rule=named.rule,
    )


def _booked(case: Case, inputs: TransactionInputs, booking: Booking) -> Settled:
    """End with a booking, and with what is worth knowing about it."""
    flags: list[Flag] = []
    evidence = (booking.receipt,) if booking.receipt else ()
    if booking.treatment is Treatment.REVERSE_CHARGE:
        vat = money_text(add(line.vat for line in booking.vat_lines))
        why = f"service from another EU country: {vat} VAT is due here (4b) and deductible"
        flags.append(_flag(case, inputs, "reverse_charge", Status.BOOKED, why, evidence))
    if inputs.unusual is not None:
        why = f"{inputs.unusual.factor} times what this payee usually gets ({money_text(inputs.unusual.usual)})"
        flags.append(_flag(case, inputs, "unusual_amount", Status.BOOKED, why, evidence))
    return Settled(booking=booking, flags=tuple(flags))


def _flag(
    case: Case, inputs: TransactionInputs, kind: str, status: Status, message: str, evidence: tuple[str, ...] = ()
) -> Flag:
    payment = inputs.transaction
    return Flag(
        kind=kind,
        status=status,
        amount=payment.amount,
        transaction=payment.id,
        date=payment.date,
        counterparty=payment.name,
        message=message,
        evidence=evidence,
        trail=case.id,
    )


def _evidence_of(facts: ReceiptFacts) -> Evidence:
    ref = facts.source if facts.source.startswith("artifact:") else f"input:{facts.source}"
    return Evidence(ref=ref, sha256=facts.sha256, label=facts.source.rpartition("/")[2])


def _told(payment: Transaction) -> str:
    return f"{payment.name} of {payment.date.isoformat()}, {money_text(payment.amount)}"
