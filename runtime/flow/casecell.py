"""The case cell: the one writer of a case, an actor whose every handler is synchronous.

A message is recorded, the flow is resumed, and what it asks for is started; then the cell is ready for the next
message, so a case whose flow waits for days hears a cancel at once. What is written travels to the store in one
append at a time, and whatever must leave the case waits until everything before it is durable. A parked case whose
log is durable can be released: then nothing of it is left in memory.
It does not know how its node chose it, nor who else is a case.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from msgspec import Raw

from casework.protocols.codec import decode_outcome
from casework.protocols.errors import ProtocolError, worded
from casework.protocols.records import Chapter, Child
from casework.runtime.behavior import Context
from casework.runtime.errors import FlowError, FlowUnknown, MailboxFull, NotSent
from casework.runtime.flow.casestore import CaseStore
from casework.runtime.flow.cellref import CellRef
from casework.runtime.flow.household import Household
from casework.runtime.flow.incarnation import Incarnation
from casework.runtime.flow.logbook import Logbook
from casework.runtime.flow.messages import report
from casework.runtime.flow.migration import weigh
from casework.runtime.flow.opening import below, opening
from casework.runtime.flow.reading import CLAIMS_MAX, Reader, Reading, next_chapter, unread
from casework.runtime.flow.services import Services
from casework.runtime.flow.standing import has_news, told
from casework.runtime.mailbox import Envelope
from casework.runtime.staff import CaseRef
from casework.runtime.store.base import (
    Append,
    Appended,
    AppendResult,
    CaseRow,
    CaseStatus,
    Fenced,
    InboxItem,
    Opening,
    Record,
    Wait,
    WaitKind,
)
from casework.runtime.store.claims import Claimed
from casework.runtime.store.rules import SUSPECT_CLAIMS, closed_row
from casework.runtime.telemetry import SpanHandle
from casework.runtime.timers import Alarm

T = TypeVar("T")

#: Seconds for which results that only the case itself has seen may wait for what is appended next, and how many may:
#: a crash repeats them, which is harmless, for nothing has left the case since.
LAG_SECONDS: Final = 0.05
LAG_RECORDS_MAX: Final = 64


class CaseCell:
    """The behavior of a case's actor."""

    def __init__(self, claimed: Claimed, household: Household, *, term: int, poison: str = "") -> None:
        """Make the cell of a case that was claimed in a term of the node's lease.

        `poison` says why it must not run again, if it must not.
        """
        row = claimed.row
        self.key = row.key
        self.parked = False  #: parked and durable, with nothing under way
        self.released = False  #: given back to the store, or owned by another incarnation now
        self.at_rest = False  #: given back, and nothing has come for it that a claim would have to find
        self.closed = False  #: its last record is durable
        self.anew = False  #: ended for its log to be read anew
        self.failure: BaseException | None = None  #: what broke it
        self.doubted = row.claims > 1  #: claimed in vain before, and without a new record so far
        self.suspect = row.claims > SUSPECT_CLAIMS  #: alone on its node until it has a new record
        self.strange = False  #: its version is not here; another node may come that has it
        self._poison, self._row = poison, row
        self._claimed: Claimed | None = claimed
        self._house = household
        self._store = CaseStore(household, row, term)
        self._logbook = Logbook(row, household.world.clock)
        self._held: list[tuple[int, Callable[[], None]]] = []
        self._appending = self._began = self._ending = False
        self._reading = self._read_again = self._nudged = self._moving = self._late = self._undisturbed = False
        self._lag: Alarm | None = None
        self._context: Context
        self._read_as: Reading
        self._incarnation: Incarnation
        self._span: SpanHandle | None = None
        self._last: tuple[Append, bytes] | None = None

    async def started(self, context: Context) -> None:
        """Replay the log, take up what it left open, and read the inbox."""
        self._context = context
        context.at_end(self._begin)

    def _begin(self) -> None:
        claimed = self._claimed
        assert claimed is not None, "an actor starts once"
        try:
            reading = self._reading_of_log(claimed)
        except BaseException as error:
            self.failure = error
            raise
        flow, self.strange = reading.flow, bool(reading.lacks)
        self._read_as = reading
        services = self._services(reading)
        tools, chapter = flow.tools if flow else (), self._row.chapter
        self._incarnation = Incarnation(reading.engine, services, tools=tools, chapter=chapter)
        self._claimed = None
        self._span = self._house.telemetry.case_run(reading.opened.flow, self.key.case_id, reading.opened.trace)
        mail = self._incarnation.mail
        mail.seen, mail.due = claimed.seen, bool(claimed.inbox)
        mail.spare(careful=self.doubted, held=self._row.claims > CLAIMS_MAX)
        if reading.reason:
            self._incarnation.halt(reading.reason, reading.lacks)
        else:
            self._guarded(self._incarnation.begin, reading.inner, reading.blamed)
        # What was given with the claim need not be asked for, unless more came since.
        self._began = self._reading = True
        self._guarded(self._have_read, (claimed.inbox, ""))
        self._flush()

    def _reading_of_log(self, claimed: Claimed) -> Reading:
        if self._poison:
            # Not even replayed: that may be what breaks the cell.
            return Reading(unread(self._row), reason=self._poison)
        return self._reader().read(self._row, claimed.records, claimed.inbox)

    def _reader(self) -> Reader:
        return Reader(self._house.flows, self._house.world, self._house.staff.policy_hash)

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Handle one message: an agent's outcome, or an event of this process. Never waits."""
        event = envelope.local or (lambda: self._outcome(envelope.frame, envelope.attempt))
        assert callable(event), "events of a case are functions to run as its next message"
        context.at_end(partial(self._happen, event))

    def _happen(self, event: Callable[..., object], *args: object) -> None:
        if not self._ending:
            self._guarded(event, *args)
            self._guarded(self._incarnation.settle)
            self._flush()

    def stopped(self, context: Context) -> None:
        """Let go of the flow; nothing is recorded."""
        try:
            if self._span is not None:
                self._incarnation.drop()
                self._span.end()
                # Each holds the other, so the collector would have to find them: a sixth of the time of a small case.
                del self._incarnation
        finally:
            self._house.ended(self)

    def last_row(self) -> CaseRow | None:
        """Give its row as the store has it now that it has closed; None if it has not, or that was not told."""
        return closed_row(self._row, *self._last) if self._last is not None and self._last[1] else None

    @property
    def durable(self) -> int:
        """Give how many records the store is known to have."""
        return self._logbook.durable

    def nudge(self) -> None:
        """Have the inbox read, as the case's next message; may be called from anywhere on the event loop."""
        self._undisturbed = self.at_rest = False
        if not self._began:
            self._read_again = True
        elif not self._nudged:
            self._nudged = True
            self._stir()
            self.tell(self.look)

    def _outcome(self, frame: bytes, attempt: int) -> None:
        self._incarnation.outcome(decode_outcome(frame), frame, attempt)

    def release(self) -> None:
        """Give the case back if it is still parked and durable; ends the cell."""
        # One whose handler broke down may have written what nobody will append: supervision ends it.
        if not self.parked or self._appending or self._reading or self._ending or not self._logbook.empty:
            return
        self._undisturbed = all(wait.kind is not WaitKind.TIMER for wait in self._logbook.waits)
        self._append(self._logbook.release(self._incarnation.mail.seen))

    def look(self) -> None:
        """Begin to read the inbox; while a read is under way, another one is remembered."""
        self._nudged = False
        if self._reading:
            self._read_again = True
            return
        self._reading = True
        self._find_out("read", self._store.inbox, self._have_read)

    def _guarded(self, run: Callable[..., object], *args: object) -> None:
        """Run a part of a handler; what cannot be written or read halts this case and no other."""
        try:
            run(*args)
        except (ProtocolError, FlowError, ValueError) as error:
            self._incarnation.halt(worded(error))
        except BaseException as error:
            self.failure = error
            raise

    def _services(self, reading: Reading) -> Services:
        house = self._house
        return Services(
            key=self.key,
            opened=reading.opened,
            identity=reading.identity,
            number=reading.chapter,
            doomed=reading.doomed,
            logbook=self._logbook,
            world=house.world,
            staff=house.staff,
            timers=house.timers,
            telemetry=house.telemetry,
            purse=self._store,
            cell=self,
            find_out=self._find_out,
        )

    @property
    def ref(self) -> CaseRef:
        """How agents reach the case."""
        return CellRef(self._context.self_ref, self._incarnation.asked, self._at_once, self._outcome)

    def when_durable(self, seq: int, run: Callable[[], None]) -> None:
        """Run a function once the record with that sequence number is durable."""
        self._held.append((seq, run))

    def chapter(self, state: Raw) -> Chapter:
        """Make the record that begins the next chapter from a state; raises FrameInvalid."""
        reading, flow = self._read_as, self._read_as.flow
        return next_chapter(reading, self._row, state, flow.inputs if flow else object)

    def halt(self, reason: str) -> None:
        """Park the case for an operator, with the reason."""
        self._incarnation.halt(reason)

    def _find_out(self, name: str, find: Callable[[], Awaitable[T]], hear: Callable[[T], None]) -> None:
        self._context.find_out(name, find, partial(self._found, hear))

    def _found(self, hear: Callable[[T], None], found: T) -> None:
        if not self._context.step_in(partial(self._happen, hear, found)):
            self.tell(partial(hear, found))

    def _at_once(self, event: Callable[[], None]) -> bool:
        """Have something happen at once, if nothing is to happen before it."""
        return self._context.step_in(partial(self._happen, event))

    def tell(self, event: Callable[[], None]) -> None:
        """Run a function as the case's next message."""
        try:
            self._context.self_ref.tell_local(event)
        except NotSent as error:
            # An event is lost: whatever happened is found again from the log, by another incarnation.
            if isinstance(error, MailboxFull):
                self._end()

    def opening(self, child: Child) -> Opening:
        """Make the opening of a child case; raises FlowUnknown, FrameInvalid."""
        house, above = self._house, self._read_as.opened
        flow = house.flows.get(child.flow)
        if flow is None:
            raise FlowUnknown(child.flow, "", "the crew has no flow of that name")
        opened = below(self.key, above, child, flow, crew=house.crew, policy_hash=house.staff.policy_hash)
        return opening(self.key._replace(case_id=child.case_id), opened, house.world.clock.wall_micros())

    def _flush(self) -> None:
        """Append what is unwritten, unless an append is under way; then its end does it."""
        if self._appending or self._ending:
            return
        incarnation, logbook = self._incarnation, self._logbook
        going_on = logbook.status is CaseStatus.OPEN and not logbook.waits and incarnation.calling
        if going_on and (logbook.empty or self._may_lag()):
            return  # As below, but quicker found out.
        status, waits = incarnation.status, incarnation.waits()
        if logbook.empty and status is logbook.status and waits == logbook.waits:
            if incarnation.anew and (incarnation.turned or status is CaseStatus.PARKED):
                self.anew = True
                self._end()
                return
            if incarnation.wishes and status is CaseStatus.PARKED and not self._moving:
                self._moving = True
                self._find_out("read for a move", self._store.records, self._move)
            if status is CaseStatus.PARKED and not (self.parked or self._reading or self._moving):
                self.parked = True
                self._house.parked(self)
            return
        if status is logbook.status is CaseStatus.OPEN and waits == logbook.waits and self._may_lag():
            return
        self._stir()
        self._keep_up()
        self._tell_parent(status, waits)
        closed = incarnation.closed
        self._append(logbook.take(status, waits, result=closed.result if closed else ""))

    def _may_lag(self) -> bool:
        """Say whether what is unwritten may wait for more; nobody but the case has seen it, and it goes on."""
        if self._late or self._held or self.doubted or not 0 < self._logbook.repeatable < LAG_RECORDS_MAX:
            return False
        if self._lag is None:
            self._lag = self._house.timers.after(LAG_SECONDS, lambda: self.tell(self._catch_up))
        return True

    def _catch_up(self) -> None:
        self._late = True

    def _keep_up(self) -> None:
        """Begin the time anew for which results may wait."""
        self._late = False
        if self._lag is not None:
            self._lag.cancel()
            self._lag = None

    def _stir(self) -> None:
        """Stop resting, if the case does."""
        if self.parked:
            self.parked = False
            self._house.busy(self)

    def _tell_parent(self, status: CaseStatus, waits: tuple[Wait, ...]) -> None:
        """Report to the parent case that this one closed, or that it now waits for something it cannot get itself."""
        parent, logbook = self._row.parent, self._logbook
        if not parent:
            return
        closed = self._incarnation.closed
        if closed is not None or has_news(logbook.status, logbook.waits, status, waits):
            logbook.send(report(self.key, parent, logbook.written, told(waits), closed))

    def _append(self, append: Append) -> None:
        # A release, or a close, is the last of a cell: what comes meanwhile is for whoever claims the case next.
        self._appending, self._ending = True, append.release
        find, hear = partial(self._store.append, append), partial(self._appended, append)
        self._context.find_out("append", find, hear if append.release else partial(self._found, hear))

    def _appended(self, append: Append, result: AppendResult) -> None:
        self._appending = False
        if not isinstance(result, Appended):
            # Fenced: another node or incarnation has it. Conflict, Unknown: what is in the store is read again.
            self.released = isinstance(result, Fenced)
            self._end()
            return
        self._logbook.confirm(append)
        if self.doubted and append.records:
            self.suspect = self.doubted = False
            self._incarnation.mail.spare(careful=False)
            if self._incarnation.mail and not append.release:
                self.look()
            self._house.cleared()
        for record in append.records:
            self._house.telemetry.recorded(record.kind)
        if append.status is CaseStatus.CLOSED:
            self.closed, self._last = True, (append, result.head)
            self._house.telemetry.case_closed(self._row.flow, append.result)
        if self._held:
            due = [run for seq, run in self._held if seq < self._logbook.durable]
            self._held = [held for held in self._held if held[0] >= self._logbook.durable]
            for run in due:
                run()
                self._incarnation.settle()  # What the flow caused is written before another step ends.
        if append.release:
            self.released, self.at_rest = True, self._undisturbed and result.rests
            self._end()

    async def entitled(self) -> bool:
        """Wait until the case may have an effect on the world; False if it is another node's by now."""
        entitled = await self._store.entitled()
        if not entitled and not self._at_once(self._lose):
            self.tell(self._lose)
        return entitled

    def _lose(self) -> None:
        """End the cell of a case that another node has."""
        self.released = True
        self._end()

    def _end(self) -> None:
        self._ending = True
        self._context.stop()

    def _have_read(self, inbox: tuple[Sequence[InboxItem], str]) -> None:
        self._reading = False
        items, unreadable = inbox
        if unreadable:
            self._incarnation.halt(unreadable)
        self._incarnation.arrived(items, complete=not self._read_again)
        if self._read_again:
            self._read_again = False
            self.look()

    def _move(self, records: Sequence[Record]) -> None:
        """Answer whoever wishes the case to go on with another version, unless it has gone on meanwhile."""
        self._moving = False
        wishes, parked = self._incarnation.wishes, self._incarnation.status is CaseStatus.PARKED
        if wishes and parked and self._logbook.holds(self._row.chapter + len(records)):
            self._incarnation.answer_wish(weigh(self._reader(), self._row, records, wishes[0][1]))
