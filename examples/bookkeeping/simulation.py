"""A quarter of 10 to 14 payments for simulation: drawn from the sample, with its receipts' recorded texts and people.

Some receipts are missing and come later, some photos cannot be read at first; people confirm, change, refuse and
mistype, and close the quarter soon, late or never. No file is opened: what the tools would read is drawn, what they
would write is kept here. It does not know what goes wrong in a run.
"""

import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from casework.actors import KnownFailure, OpenCase, ToolContext
from casework.actors.simulation import Arrival, Finished, Question, Said, Scenario, invariant, stub_in_simulation
from casework.protocols.codec import unpack
from casework.protocols.records import Closed, Decided, ReviewAction
from casework.runtime.seams import Randomness
from examples.bookkeeping.flows import CATEGORIES, OCR_KEY, receipt_key
from examples.bookkeeping.messages import (
    Category,
    Choice,
    Deduction,
    Folder,
    Imported,
    OverviewFiles,
    QuarterInputs,
    Reading,
    Settled,
    ToRead,
    Transcript,
    Written,
)
from examples.bookkeeping.money import add
from examples.bookkeeping.overview import Overview, overview_json
from examples.bookkeeping.recording import Paper, Recorded, Recording, read_recording

#: Read when a simulation begins, before its first run.
RECORDING: Final[Recording] = read_recording()
#: Payments with something special about them in one quarter.
SPECIALS: Final = (3, 5)
PAYMENTS: Final = (10, 14)
#: The part of receipts that come only later.
LATE: Final = 0.15
#: Seconds of the run within which what is late comes.
LATE_SECONDS: Final = 90.0
PHOTO: Final = "photographed receipt"
TO_COME: Final = "missing receipt that comes later"


class Quarter(Scenario):
    """The business, its bank, its receipts and its people in one run."""

    settings = {"input": "/input", "out": "/out"}  # noqa: RUF012 - as the base class declares it: nobody changes it

    def __init__(self, randomness: Randomness) -> None:
        """Draw a quarter."""
        super().__init__(randomness)
        self.payments = self._drawn()
        late = randomness.stream("late")
        self.late = {
            each.path: each for each in self._papers() if late.random() < LATE or self._special(each) == TO_COME
        }
        self.shown: list[Overview] = []
        """Revisions of the overview, the one that is shown last."""
        self._by_path = {paper.path: paper for paper in self._papers() if paper.path not in self.late}
        self._by_hash = {_hash(paper): paper for paper in self.late.values()}
        self._photos_readable = randomness.stream("photos").random() < 0.5
        self._looked_at: set[str] = set()
        self._asked_to_close = 0
        self._patience = randomness.stream("patience").randrange(1, 6)

    def cases(self) -> Iterator[OpenCase]:
        """Open the quarter; it opens the other cases."""
        yield OpenCase("quarter", RECORDING.business.quarter, QuarterInputs(quarter=RECORDING.business.quarter))

    def arrivals(self) -> Iterator[Arrival]:
        """Bring late receipts to the payments that wait for them, and the reader of photos."""
        when = self.randomness.stream("arrivals")
        for recorded in self.payments:
            for paper in recorded.papers:
                if paper.path in self.late:
                    yield Arrival(
                        receipt_key(recorded.transaction.id),
                        data=_document(paper),
                        label=paper.path,
                        after_seconds=when.uniform(0.0, LATE_SECONDS),
                    )
        if not self._photos_readable:
            yield Arrival(OCR_KEY, "installed", after_seconds=when.uniform(0.0, LATE_SECONDS))

    def decide(self, question: Question) -> Said | None:
        """Confirm mostly; change, mistype or refuse now and then; close the quarter when patience is at its end."""
        chance = self.randomness.stream(f"people/{question.rule}/{question.case_id}")
        if question.rule == "close_quarter":
            return self._close()
        mood = chance.random()
        if mood < 0.15:
            return Said(ReviewAction.REJECT, reason="that is not it")
        if mood < 0.5:
            return Said()
        wrong = mood > 0.9
        if question.rule == "ambiguous_receipt":
            fitting = [each for each in self._by_path if each in question.summary] or ["none"]
            return Said(ReviewAction.EDIT, Choice(receipt="receipts/none.pdf" if wrong else chance.choice(fitting)))
        if question.rule in ("low_confidence", "disagreement"):
            category = "holidays" if wrong else chance.choice(sorted(CATEGORIES))
            return Said(ReviewAction.EDIT, Category(category=category))
        return Said(ReviewAction.EDIT, Deduction(vat="a lot" if wrong else "1.00"))

    def _close(self) -> Said | None:
        self._asked_to_close += 1
        if self._asked_to_close < self._patience:
            return Said(ReviewAction.REJECT) if self._asked_to_close % 2 else None
        return Said() if self._patience < 5 else None

    # What the tools reach.

    @stub_in_simulation("read_input")
    async def read_input(self, arguments: Folder, context: ToolContext) -> Imported:
        """Give the drawn payments, and the receipts that are there already."""
        return Imported(
            business=RECORDING.business,
            transactions=tuple(each.transaction for each in self.payments),
            receipts=tuple(sorted(self._by_path)),
        )

    @stub_in_simulation("read_receipt")
    async def read_receipt(self, arguments: ToRead, context: ToolContext) -> Transcript:
        """Give the recorded text; a photo may be unreadable the first time."""
        kind, _, name = arguments.ref.partition(":")
        paper = self._by_path.get(name) if kind == "input" else self._by_hash.get(name)
        if paper is None:
            raise KnownFailure(f"{arguments.label} is not there")
        new = name not in self._looked_at
        self._looked_at.add(name)
        if PHOTO in self._special(paper) and new and not self._photos_readable:
            sha256 = paper.transcript.sha256
            return Transcript(outcome=Reading.NEEDS_OCR, sha256=sha256, reason="the reader of photos is not installed")
        return paper.transcript

    @stub_in_simulation("write_overview")
    async def write_overview(self, arguments: OverviewFiles, context: ToolContext) -> str:
        """Show a revision; one that was tried again takes the place of the first try."""
        self.shown = [each for each in self.shown if each.revision != arguments.overview.revision]
        self.shown.append(arguments.overview)
        return _overview_hash(arguments.overview)

    @stub_in_simulation("restore_overview")
    async def restore_overview(self, arguments: OverviewFiles, context: ToolContext) -> int:
        """Show the revision before this one."""
        self.shown = [each for each in self.shown if each.revision < arguments.overview.revision]
        return self.shown[-1].revision if self.shown else 0

    # What must hold.

    @invariant("each revision of the overview is written once, and follows the one before it")
    def revisions_follow(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Look at the revisions in the order in which they came."""
        revisions = [each.revision for each in self.shown]
        if revisions != list(range(1, len(revisions) + 1)):
            yield RECORDING.business.quarter, f"they came as {revisions}"

    @invariant("every payment is booked, or somebody is told why not")
    def nothing_untracked(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare what the overview counts with what the bank says."""
        for each in self.shown[-1:]:
            if each.counts.transactions != len(self.payments):
                told = f"{each.counts.transactions} of {len(self.payments)} payments"
                yield RECORDING.business.quarter, f"revision {each.revision} tells of {told}"

    @invariant("VAT that nobody decided on is what the receipt says")
    def vat_is_right(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare bookings with the answers that were worked out by another way."""
        expected = {each.transaction.id: each for each in self.payments}
        for case_id, lines in finished.lines.items():
            last = lines[-1].entry
            settled = "/tx/" in case_id and isinstance(last, Closed) and last.result == "completed"
            if not settled or any(isinstance(line.entry, Decided) for line in lines):
                continue
            assert isinstance(last, Closed)
            booking = unpack(last.value, Settled).booking
            if booking is None:
                continue
            recorded = expected[booking.transaction]
            own = {booking.receipt, booking.receipt_sha256} & {
                name for each in recorded.papers for name in _names(each)
            }
            claimed = add(line.vat for line in booking.vat_lines)
            if own and claimed != recorded.vat:
                yield case_id, f"books {claimed} instead of {recorded.vat}"

    @invariant("a closed quarter shows the revision that it was closed with")
    def closed_as_shown(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare what the quarter returned with what is shown."""
        for case_id, row in finished.rows.items():
            if row.flow != "quarter" or row.result != "completed":
                continue
            last = finished.lines[case_id][-1].entry
            assert isinstance(last, Closed)
            written = unpack(last.value, Written)
            if not self.shown or _overview_hash(self.shown[-1]) != written.sha256 or self.shown[-1].status != "closed":
                yield case_id, f"was closed with revision {written.revision}, but another one is shown"

    # How it is drawn.

    def _drawn(self) -> tuple[Recorded, ...]:
        """Draw payments, in the order of the bank; one that stands in two exports brings its original along."""
        draw = self.randomness.stream("payments")
        special = [each for each in RECORDING.payments if each.special]
        plain = [each for each in RECORDING.payments if not each.special]
        chosen = draw.sample(special, draw.randint(*SPECIALS))
        twins = {_twin_key(each) for each in chosen if each.special == "duplicate"}
        chosen += [each for each in plain if _twin_key(each) in twins]
        rest = [each for each in plain if each not in chosen]
        chosen += draw.sample(rest, draw.randint(*PAYMENTS) - len(chosen))
        return tuple(each for each in RECORDING.payments if each in chosen)

    def _papers(self) -> Iterator[Paper]:
        for each in self.payments:
            yield from each.papers

    def _special(self, paper: Paper) -> str:
        return next(each.special for each in self.payments if paper in each.papers)


def _twin_key(recorded: Recorded) -> tuple[Decimal, object]:
    return recorded.transaction.amount, recorded.transaction.date


def _document(paper: Paper) -> bytes:
    """Give bytes that stand for a document; whoever reads them is given the recorded text."""
    return paper.path.encode()


def _hash(paper: Paper) -> str:
    return hashlib.sha256(_document(paper)).hexdigest()


def _names(paper: Paper) -> tuple[str, str]:
    return paper.path, paper.transcript.sha256


def _overview_hash(overview: Overview) -> str:
    return hashlib.sha256(overview_json(overview)).hexdigest()
