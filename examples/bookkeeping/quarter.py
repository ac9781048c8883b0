"""The quarter: one case that gathers those of its receipts and transactions into the VAT overview.

It reads the input, opens a case for each receipt, brings payments and receipts together, opens a case for each
payment, and then writes a revision of the overview whenever something has changed. It stays open until a person
closes it; nobody and nothing here can file the return. It does not know how a payment is worked on.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from casework.protocols.codec import unpack
from casework.protocols.records import Reported, ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Reviewed
from examples.bookkeeping.flows import receipt_key
from examples.bookkeeping.kor import THRESHOLD
from examples.bookkeeping.ledger import Booking, Flag, ReceiptFacts, Status, Transaction
from examples.bookkeeping.matching import Match, Verdict
from examples.bookkeeping.messages import (
    Closing,
    Folder,
    Imported,
    Matched,
    QuarterInputs,
    Read,
    ReceiptInputs,
    Scan,
    Settled,
    ToMatch,
    ToReport,
    ToScan,
    TransactionInputs,
    Written,
)
from examples.bookkeeping.money import money_text

NO_MATCH = Match(verdict=Verdict.NONE, rule="not matched")
#: What is asked of a person, by the rule that asks.
QUESTIONS = {
    "ambiguous_receipt": "several receipts fit it equally; which one is it?",
    "disagreement": "the payee says one thing and the receipt another, nearly as surely; what is it?",
    "low_confidence": "neither payee nor receipt says what it was for; what is it?",
    "single_rate_on_mixed_receipt": "one rate was claimed for a receipt of several; how much VAT is in it?",
    "wrong_claim": "the VAT claimed is not the receipt's; how much is in it?",
    "wrong_vat": "the VAT on the receipt does not follow from its amounts; how much may be booked?",
}
CONSEQUENCES = (
    ("approve", "the quarter closes with this revision; what is still open is left out and its cases are cancelled"),
    ("reject", "the quarter stays open"),
)


@dataclass(slots=True)
class Books:
    """What the quarter knows so far; made again by replay, never stored."""

    imported: Imported
    receipts: dict[str, str] = field(default_factory=dict[str, str])
    """Paths of receipts, by case."""
    payments: dict[str, Transaction] = field(default_factory=dict[str, Transaction])
    """Payments, by case."""
    heard: set[str] = field(default_factory=set[str])
    """Cases that have said where they stand."""
    bookings: dict[str, Booking] = field(default_factory=dict[str, Booking])
    flags: dict[str, tuple[Flag, ...]] = field(default_factory=dict[str, tuple[Flag, ...]])
    """What is worth telling about a case, by case."""
    fitting: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Receipts that fit a payment, by case."""
    facts: dict[str, ReceiptFacts] = field(default_factory=dict[str, ReceiptFacts])
    """What a receipt says, by case."""
    late: dict[str, ReceiptFacts] = field(default_factory=dict[str, ReceiptFacts])
    """Receipts that could be read only after payments and receipts were brought together, and fitted none since."""
    unused: int = 0
    """Receipts that fitted no payment when they were brought together."""
    kor_level: str = ""

    @property
    def waiting(self) -> list[str]:
        """Cases that still wait for something."""
        open_ = (Status.PARKED, Status.REVIEW)
        return [case_id for case_id, flags in self.flags.items() if any(flag.status in open_ for flag in flags)]

    @property
    def without_receipt(self) -> dict[str, str]:
        """Cases of payments that wait for a receipt, by payment."""
        return {
            payment.id: case_id
            for case_id, payment in self.payments.items()
            if any(flag.waits_for == receipt_key(payment.id) for flag in self.flags.get(case_id, ()))
        }

    def already_booked(self, booking: Booking) -> Booking | None:
        """Give the booking that has the same receipt already, by content or by file."""
        own = (booking.receipt_sha256, booking.receipt)
        same = (each for each in self.bookings.values() if each.transaction != booking.transaction)
        pairs = ((each, (each.receipt_sha256, each.receipt)) for each in same)
        return next((each for each, its in pairs if any(x and x == y for x, y in zip(own, its, strict=True))), None)


async def quarter(case: Case, inputs: QuarterInputs) -> Written:
    """Work on one quarter until a person closes it."""
    books = Books(await _import(case))
    task = ToScan(transactions=books.imported.transactions)
    scanned = await case.delegate("scan", task, returns=Scan, goal="Find duplicates and unusual amounts")
    await _open_receipts(case, books)
    await _hear_all(case, books, books.receipts)
    await _open_payments(case, books, scanned.value)
    await _hear_all(case, books, books.payments)
    await _offer_late(case, books)
    revision = 0
    while True:
        revision += 1
        overview = await _report(case, books, revision, closed=False)
        _, answer = await case.first(_ask_to_close(case, inputs, overview), case.next_report())
        if isinstance(answer, Reported):
            _hear(books, answer)
            await _offer_late(case, books)
        elif isinstance(answer, Reviewed) and answer.action is ReviewAction.APPROVE:
            await _leave_out(case, books, answer.by)
            return await _report(case, books, revision + 1, closed=True)
        elif isinstance(answer, Reviewed) and answer.action is ReviewAction.EDIT:
            why = "an overview cannot be edited, for it is made from its bookings"
            await case.note(f"{why}; the quarter stays open: approve it as it is to close it", level="warning")
        else:
            await case.note("the quarter stays open: it is closed by approving an overview as it is")


async def _import(case: Case) -> Imported:
    imported = await case.delegate(
        "import_input", Folder(), returns=Imported, goal="Read bank exports and receipts", tools=("read_input",)
    )
    for problem in imported.value.problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        await case.note(problem.message, level="error", place=place)
    return imported.value


async def _open_receipts(case: Case, books: Books) -> None:
    """Open a case for each receipt file."""
    for number, path in enumerate(books.imported.receipts, start=1):
        case_id = f"{case.id}/receipt/{number:04d}-{_as_name(path.rpartition('/')[2])}"
        books.receipts[case_id] = path
        await case.open("receipt", case_id, ReceiptInputs(path=path, own_name=books.imported.business.name))


async def _open_payments(case: Case, books: Books, scan: Scan) -> None:
    """Match payments and receipts, and open a case for each payment."""
    copies = {each.copy: each.original for each in scan.duplicates}
    unusual = {each.transaction: each for each in scan.unusual}
    by_source = {facts.source: facts for facts in books.facts.values()}
    once = tuple(each for each in books.imported.transactions if each.id not in copies)
    matched = await _match(case, once, tuple(by_source.values()))
    books.unused = len(matched.unused)
    for payment in books.imported.transactions:
        match = matched.matches.get(payment.id, NO_MATCH)
        case_id = f"{case.id}/tx/{_as_name(payment.id)}"
        books.payments[case_id] = payment
        books.fitting[case_id] = tuple(each.source for each in match.candidates)
        inputs = TransactionInputs(
            transaction=payment,
            business=books.imported.business,
            match=match,
            receipts=tuple(by_source[each.source] for each in match.candidates),
            duplicate_of=copies.get(payment.id, ""),
            unusual=unusual.get(payment.id),
        )
        await case.open("transaction", case_id, inputs)


async def _match(case: Case, payments: tuple[Transaction, ...], receipts: tuple[ReceiptFacts, ...]) -> Matched:
    task = ToMatch(transactions=payments, receipts=receipts)
    return (await case.delegate("match_receipts", task, returns=Matched, goal="Match payments and receipts")).value


async def _hear_all(case: Case, books: Books, cases: Iterable[str]) -> None:
    """Listen until each of these cases has closed or said what it waits for."""
    missing = set(cases)
    while missing - books.heard:
        _hear(books, await case.next_report())


def _hear(books: Books, report: Reported) -> None:
    """Take over what a case of this quarter says."""
    case_id = report.case_id
    books.heard.add(case_id)
    books.flags.pop(case_id, None)
    if report.status == "parked":
        flags = [_waiting(books, report, index) for index in range(len(report.needs))]
        # A photo that cannot be read waits for two things for one reason: that is one exception.
        books.flags[case_id] = tuple({flag.kind: flag for flag in reversed(flags)}.values())
    elif report.result != "completed":
        why = f"its case ended as {report.result}; it is in no total"
        books.flags[case_id] = (_flag(books, case_id, report.result, Status.EXCLUDED, why),)
    elif case_id in books.payments:
        _hear_settled(books, case_id, unpack(report.value, Settled))
    else:
        _hear_receipt(books, case_id, unpack(report.value, Read))


def _hear_settled(books: Books, case_id: str, settled: Settled) -> None:
    """Take over a booking; a receipt that is booked already is not booked a second time, whoever agreed to it."""
    books.flags[case_id] = settled.flags
    if settled.booking is None:
        return
    other = books.already_booked(settled.booking)
    if other is None:
        books.bookings[case_id] = settled.booking
        return
    why = f"its receipt is booked with {other.transaction} already; it is in no total"
    flag = _flag(books, case_id, "receipt_used_twice", Status.EXCLUDED, why)
    books.flags[case_id] = (msgspec.structs.replace(flag, evidence=(settled.booking.receipt,)),)


def _hear_receipt(books: Books, case_id: str, read: Read) -> None:
    """Take over what a receipt says; one that comes after all were matched is kept to be offered."""
    if read.facts is None:
        why = f"{read.reason}; deliver it in a readable form to the payment it belongs to"
        books.flags[case_id] = (_flag(books, case_id, "unreadable_receipt", Status.EXCLUDED, why),)
        return
    books.facts[case_id] = read.facts
    if books.payments:
        books.late[case_id] = read.facts


async def _offer_late(case: Case, books: Books) -> None:
    """Send receipts that came late to the payments that wait for them."""
    waiting = books.without_receipt
    if not books.late or not waiting:
        return
    payments = tuple(books.payments[each] for each in waiting.values())
    matched = await _match(case, payments, tuple(books.late.values()))
    cases = {facts.source: case_id for case_id, facts in books.late.items()}
    for payment_id, match in matched.matches.items():
        if match.verdict is Verdict.UNIQUE:
            facts = books.late.pop(cases[match.receipt])
            await case.send(waiting[payment_id], receipt_key(payment_id), facts)


async def _report(case: Case, books: Books, revision: int, *, closed: bool) -> Written:
    task = ToReport(
        business=books.imported.business,
        bookings=tuple(books.bookings[case_id] for case_id in sorted(books.bookings)),
        flags=tuple(flag for case_id in sorted(books.flags) for flag in books.flags[case_id]),
        receipts=len(books.imported.receipts),
        receipts_unused=books.unused + len(books.late),
        revision=revision,
        closed=closed,
        problems=books.imported.problems,
    )
    written = await case.delegate(
        "report",
        task,
        returns=Written,
        goal="Write the VAT overview and the exceptions for review",
        tools=("read_trails", "write_overview"),
        tier=RiskTier.REVERSIBLE,
    )
    level, before = written.value.kor_level, books.kor_level
    if level != before and level in ("warning", "exceeded"):
        text = f"turnover is at level {level!r} of the small-business threshold of {money_text(THRESHOLD)}"
        await case.note(text, level="warning")
    books.kor_level = level
    return written.value


async def _ask_to_close(case: Case, inputs: QuarterInputs, overview: Written) -> Reviewed[Closing]:
    return await case.review(
        f"Close {inputs.quarter} with revision {overview.revision}?",
        Closing(
            quarter=inputs.quarter,
            revision=overview.revision,
            to_pay=money_text(overview.to_pay),
            open_exceptions=overview.open,
            overview_sha256=overview.sha256,
        ),
        rule="close_quarter",
        summary=f"{money_text(overview.to_pay)} to pay; {overview.open} exceptions still wait",
        consequences=CONSEQUENCES,
    )


async def _leave_out(case: Case, books: Books, by: str) -> None:
    """Cancel what still waits, hear that it has stopped, and keep the bookings that were agreed to."""
    waiting, agreed = books.waiting, dict(books.bookings)
    for case_id in waiting:
        await case.cancel(case_id, reason=f"{by} closed the quarter without it")
    running = set(waiting)
    while running:
        report = await case.next_report()
        _hear(books, report)
        if report.status != "parked":
            running.discard(report.case_id)
    for case_id in [each for each in books.bookings if each not in agreed]:
        why = f"it was settled while {by} closed the quarter; the figures that were agreed to are without it"
        books.flags[case_id] = (_flag(books, case_id, "cancelled", Status.EXCLUDED, why),)
        del books.bookings[case_id]


def _waiting(books: Books, report: Reported, index: int) -> Flag:
    """Tell what a parked case waits for."""
    reason, key, kind_of_wait = report.reasons[index], report.needs[index], report.kinds[index]
    if kind_of_wait == "review":
        message = QUESTIONS.get(reason, "a person decides")
        return _flag(books, report.case_id, reason, Status.REVIEW, message, waits_for=f"review:{key}")
    kind, _, why = reason.partition(": ")
    if kind_of_wait == "operator":
        kind, why = "stopped", reason
    return _flag(books, report.case_id, kind, Status.PARKED, why, waits_for=key)


def _flag(books: Books, case_id: str, kind: str, status: Status, message: str, *, waits_for: str = "") -> Flag:
    payment, path = books.payments.get(case_id), books.receipts.get(case_id, "")
    return Flag(
        kind=kind,
        status=status,
        amount=payment.amount if payment else None,
        transaction=payment.id if payment else "",
        receipt=path.rpartition("/")[2],
        date=payment.date if payment else None,
        counterparty=payment.name if payment else "",
        message=message,
        waits_for=waits_for,
        evidence=(path,) if path else books.fitting.get(case_id, ()),
        trail=case_id,
    )


def _as_name(text: str) -> str:
    """Make a text fit for a case id."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:80]
