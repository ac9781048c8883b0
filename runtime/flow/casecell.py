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

from casework.protocols.codec import decode_outcome, unpack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Child, Opened
from casework.runtime.behavior import Context
from casework.runtime.errors import FlowError, FlowUnknown, MailboxFull, NotSent
from casework.runtime.flow.casestore import CaseStore
from casework.runtime.flow.cellref import CellRef
from casework.runtime.flow.household import Household
from casework.runtime.flow.incarnation import Incarnation
from casework.runtime.flow.logbook import Logbook
from casework.runtime.flow.messages import report
from casework.runtime.flow.migration import weigh
from casework.runtime.flow.opening import About, first_entry, opening
from casework.runtime.flow.reading import CLAIMS_MAX, Reader, Reading, next_chapter, unread
from casework.runtime.flow.services import Services
from casework.runtime.mailbox import Envelope
from casework.runtime.store.base import (
    Append,
    Appended,
    AppendResult,
    CaseStatus,
    Fenced,
    InboxItem,
    Opening,
    Record,
    Wait,
    WaitKind,
)
from casework.runtime.store.claims import Claimed
from casework.runtime.store.rules import SUSPECT_CLAIMS
from casework.runtime.telemetry import SpanHandle
from casework.runtime.timers import Alarm

T = TypeVar("T")

#: Seconds for which results that only the case itself has seen may wait for what is appended next, and how many may:
#: a crash repeats them, which is harmless, for nothing has left the case since.
LAG_SECONDS: Final = 0.05
LAG_RECORDS_MAX: Final = 64
#: What a parked case tells its parent about: these cannot end by themselves.
TOLD = frozenset({WaitKind.EVIDENCE, WaitKind.REVIEW, WaitKind.OPERATOR})


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
        self.closed = False  #: its last record is durable
        self.anew = False  #: ended for its log to be read anew
        self.failure: BaseException | None = None  #: what broke it
        self.doubted = row.claims > 1  #: claimed in vain before, and without a new record so far
        self.suspect = row.claims > SUSPECT_CLAIMS  #: alone on its node until it has a new record
        self._poison = poison
        self._row = row
        self._claimed: Claimed | None = claimed
        self._house = household
        self._store = CaseStore(household, row, term)
        self._logbook = Logbook(row, household.world.clock.wall_micros)
        self._held: list[tuple[int, Callable[[], None]]] = []
        self._appending = self._began = False
        self._ending = False
        self._reading = False
        self._read_again = self._nudged = False
        self._moving = self._late = False
        self._lag: Alarm | None = None
        self._context: Context
        self._incarnation: Incarnation
        self._span: SpanHandle | None = None

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
        opened, flow = reading.opened, reading.flow
        services = self._services(reading, flow.inputs if flow else object)
        self._incarnation = Incarnation(
            reading.engine,
            services,
            lambda child: self._opening(child, opened),
            tools=flow.tools if flow else (),
            chapter=self._row.chapter,
        )
        self._claimed = None
        self._span = self._house.telemetry.case_run(opened.flow, self.key.case_id, opened.trace)
        if reading.reason:
            self._incarnation.halt(reading.reason)
        else:
            self._guarded(lambda: self._incarnation.begin(reading.inner, reading.blamed))
        self._began = True
        # What was given with the claim need not be asked for, unless more came since.
        self._reading = True
        self._incarnation.mail.seen = claimed.seen
        self._incarnation.mail.spare(careful=self.doubted, held=self._row.claims > CLAIMS_MAX)
        self._guarded(lambda: self._have_read((claimed.inbox, "")))
        self._guarded(self._incarnation.settle)
        self._flush()

    def _reading_of_log(self, claimed: Claimed) -> Reading:
        if self._poison:
            # Not even replayed: that may be what breaks the cell.
            return Reading(unread(self._row), reason=self._poison)
        return self._reader().read(self._row, claimed.records, claimed.inbox)

    def _reader(self) -> Reader:
        house = self._house
        return Reader(house.flows, house.world, house.staff.policy_hash)

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Handle one message: an agent's outcome, or an event of this process. Never waits."""
        event = envelope.local or (lambda: self._outcome(envelope.frame, envelope.attempt))
        assert callable(event), "events of a case are functions to run as its next message"
        context.at_end(partial(self._happen, event))

    def _happen(self, event: Callable[[], object]) -> None:
        if not self._ending:
            self._guarded(event, self._incarnation.settle)
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

    @property
    def durable(self) -> int:
        """Give how many records the store is known to have."""
        return self._logbook.durable

    def nudge(self) -> None:
        """Have the inbox read, as the case's next message; may be called from anywhere on the event loop."""
        if not self._began:
            self._read_again = True
        elif not self._nudged:
            self._nudged = True
            self._stir()
            self._tell(self._read)

    def _outcome(self, frame: bytes, attempt: int) -> None:
        self._incarnation.outcome(decode_outcome(frame), frame, attempt)

    def release(self) -> None:
        """Give the case back if it is still parked and durable; ends the cell."""
        busy = self._appending or self._reading or self._ending
        # One whose handler broke down may have written what nobody will append: supervision ends it.
        if not self.parked or busy or not self._logbook.empty:
            return
        self._append(self._logbook.release(self._incarnation.mail.seen))

    def _read(self) -> None:
        """Begin to read the inbox; while a read is under way, another one is remembered."""
        self._nudged = False
        if self._reading:
            self._read_again = True
            return
        self._reading = True
        self._find_out("read", self._store.inbox, self._have_read)

    def _guarded(self, *parts: Callable[[], object]) -> None:
        """Run parts of a handler; what cannot be written or read halts this case and no other."""
        try:
            for run in parts:
                run()
        except (ProtocolError, FlowError, ValueError) as error:
            self._incarnation.halt(f"{type(error).__name__}: {error}")
        except BaseException as error:
            self.failure = error
            raise

    def _services(self, reading: Reading, inputs: type[object]) -> Services:
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
            ref=CellRef(self._context.self_ref, self._asked, self._at_once, self._outcome),
            find_out=self._find_out,
            tell=self._tell,
            when_durable=lambda seq, run: self._held.append((seq, run)),
            entitled=self._entitled,
            draw=self._store.draw,
            left=self._store.left,
            chapter=lambda state: next_chapter(reading, self._row, state, inputs),
            look=self._read,
            halt=lambda reason: self._incarnation.halt(reason),  # noqa: PLW0108  # it is made with them
        )

    def _asked(self, frame: bytes, answer: Callable[[bytes], None]) -> None:
        self._incarnation.asked(frame, answer)

    def _find_out(self, name: str, find: Callable[[], Awaitable[T]], hear: Callable[[T], None]) -> None:
        self._context.find_out(name, find, partial(self._found, hear))

    def _found(self, hear: Callable[[T], None], found: T) -> None:
        self._step_in(partial(hear, found))

    def _step_in(self, event: Callable[[], None]) -> None:
        """Have something happen at once, or else as the next message."""
        if not self._context.step_in(partial(self._happen, event)):
            self._tell(event)

    def _at_once(self, event: Callable[[], None]) -> bool:
        return self._context.step_in(partial(self._happen, event))

    def _tell(self, event: Callable[[], None]) -> None:
        try:
            self._context.self_ref.tell_local(event)
        except NotSent as error:
            # An event is lost: whatever happened is found again from the log, by another incarnation.
            if isinstance(error, MailboxFull):
                self._end()

    def _opening(self, child: Child, parent: Opened) -> Opening:
        """Make the opening of a child case; it is for what its parent is for."""
        flow = self._house.flows.get(child.flow)
        if flow is None:
            raise FlowUnknown(child.flow, "", "the crew has no flow of that name")
        unpack(child.inputs, flow.inputs)
        opened = first_entry(
            flow,
            child.inputs,
            About(parent.purpose, parent.project, parent.user, child.mandate),
            crew=self._house.crew,
            policy_hash=self._house.staff.policy_hash,
            parent=self.key.case_id,
            trace=parent.trace,
        )
        return opening(self.key._replace(case_id=child.case_id), opened, self._house.world.clock.wall_micros())

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
            if incarnation.wish is not None and status is CaseStatus.PARKED and not self._moving:
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
            self._lag = self._house.timers.after(LAG_SECONDS, lambda: self._tell(self._catch_up))
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
        told = [wait for wait in waits if wait.kind in TOLD]
        closed = self._incarnation.closed
        if closed is None:
            before = {wait.key for wait in logbook.waits if wait.kind in TOLD}
            same = logbook.status is CaseStatus.PARKED and before == {wait.key for wait in told}
            if status is not CaseStatus.PARKED or not told or same:
                return
        logbook.send(report(self.key, parent, logbook.written, told, closed))

    def _append(self, append: Append) -> None:
        self._appending = True
        self._find_out("append", partial(self._store.append, append), partial(self._appended, append))

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
                self._read()
            self._house.cleared()
        for record in append.records:
            self._house.telemetry.recorded(record.kind)
        if append.status is CaseStatus.CLOSED:
            self.closed = True
            self._house.telemetry.case_closed(self._row.flow, append.result)
        due = [run for seq, run in self._held if seq < self._logbook.durable]
        self._held = [held for held in self._held if held[0] >= self._logbook.durable]
        for run in due:
            run()
        if append.release:
            self.released = True
            self._end()

    async def _entitled(self) -> bool:
        entitled = await self._store.entitled()
        if not entitled:
            self._step_in(self._lose)
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
            self._read()

    def _move(self, records: Sequence[Record]) -> None:
        """Answer whoever wishes the case to go on with another version, unless it has gone on meanwhile."""
        self._moving = False
        wish, parked = self._incarnation.wish, self._incarnation.status is CaseStatus.PARKED
        if wish is not None and parked and self._logbook.holds(self._row.chapter + len(records)):
            self._incarnation.answer_wish(weigh(self._reader(), self._row, records, wish[1]))
