"""One incarnation of a case: its engine, its tasks and calls, its timers and its inbox, brought together.

Everything here is synchronous. `settle` carries a change through until nothing moves any more: records that the flow
caused go into the log, steps that wait are started, messages that somebody waits for are consumed. Afterwards the
case is either working, or parked with named waits, or closed.
It does not know how records become durable, nor in which actor it lives.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Raw

from casework.protocols.codec import encode
from casework.protocols.errors import ProtocolError, worded
from casework.protocols.records import (
    Arrived,
    Cancel,
    Closed,
    Decided,
    Decision,
    Entry,
    Fired,
    Halted,
    Migrated,
    Noted,
    Reported,
    Review,
    Timer,
)
from casework.protocols.wire import CallAnswered, FailureKind, Outcome, Task
from casework.runtime.errors import FlowError, ForeignAwait
from casework.runtime.flow.alarms import Alarms
from casework.runtime.flow.asides import ASIDE_STEP
from casework.runtime.flow.callhistory import Ended
from casework.runtime.flow.calls import Calls
from casework.runtime.flow.chapters import ENDLESS, OPERATOR_STEP, ChapterLength
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.mail import Mail
from casework.runtime.flow.messages import expired
from casework.runtime.flow.migration import MIGRATED_STEP, wish_key
from casework.runtime.flow.operations import CallTool, Delegate, NextReport, Park, TakeBack
from casework.runtime.flow.orders import UNREADABLE, operator_key, order_of, unreadable
from casework.runtime.flow.outgoing import Outgoing
from casework.runtime.flow.reckoning import reckon, request_for
from casework.runtime.flow.replay import INNER, Logged, marked, split_mark
from casework.runtime.flow.services import Services
from casework.runtime.flow.standing import closing, first_waiting, halted_waits, said, waits_of
from casework.runtime.flow.suspending import Suspending
from casework.runtime.flow.taskcalls import call_asked
from casework.runtime.flow.tasks import Tasks
from casework.runtime.flow.taskwork import RESUMED, TASK_MARKS
from casework.runtime.store.base import CaseStatus, InboxItem, Wait

#: Step under which stands what came too late for the flow, or is not for it.
LATE_STEP: Final = marked("case", "late")


class Incarnation:
    """A case while it is in memory."""

    def __init__(self, engine: Engine | None, services: Services, *, tools: Sequence[str], chapter: int) -> None:
        """Make it; `chapter` is the sequence number of the record with which its replay began."""
        self._engine, self._services = engine, services
        self._tools = tuple(tools)
        self._operator = operator_key(services.key.case_id)  # what an operator delivers to have it tried again
        self._calls, self._alarms = Calls(services), Alarms(services)
        suspending = Suspending(services, self._calls.history, self._alarms, self._past)
        self._tasks = Tasks(services, self._calls, suspending, self._feed)
        self._earlier: dict[str, list[Logged]] = {}
        # Reviews past their time, and held tasks: they end once the inbox was read since, for a decision may be in it.
        self._overdue: dict[str, int] = {}  #: steps whose moment is past, with it, until the inbox was read
        self.mail = Mail(services.key.case_id)  #: what is in its inbox, as far as it was read
        self._outgoing = Outgoing(services)
        self._heard = False
        self._chapter = ChapterLength(chapter)
        self.halted = ""  #: why it goes no further, once it does not
        self._lacks = ""
        self.wishes: list[tuple[InboxItem, Arrived]] = []  #: to go on with another version, in the order they came
        self.turned = False  #: whether it has written the record from which replay begins next
        self.anew = False  #: whether it ends when all is durable, for its log to be read anew
        self.closed: Closed | None = None  #: its last record, once there is one

    def begin(self, inner: Sequence[Logged], blamed: Decision | None = None) -> None:
        """Take over what earlier ones recorded inside steps, set the `blamed` message aside, and start what waits."""
        for logged in inner:
            self._chapter.remember(logged)
            if logged.record.step_id == ASIDE_STEP:
                self.mail.asides.hear(logged.entry)
            if isinstance(logged.entry, Halted | Noted | Migrated) or logged.record.step_id == ASIDE_STEP:
                continue
            step_id, mark = split_mark(logged.record.step_id)
            outer, within, _ = step_id.partition(INNER)
            if mark in TASK_MARKS or within:
                self._earlier.setdefault(outer.partition("@")[0], []).append(logged)
            if mark not in TASK_MARKS:
                self._calls.history.remember(logged.record.step_id, logged.entry, logged.record.at)
        if blamed is not None:
            self.mail.asides.begin(self._services, blamed)
        # Before the flow may end: a write that nobody asks for any more must not stay unknown unseen.
        self._calls.recover()
        self.settle()
        self._earlier.clear()

    def settle(self) -> None:
        """Carry a change through until nothing moves any more."""
        engine, services, moved = self._engine, self._services, True
        if engine is None:
            return
        self._calls.prompt = self.mail.none
        while moved and self._going:
            if engine.outputs or engine.abandoned:
                self._outgoing.write(engine)
                self._drop_abandoned(engine)
            moved = self._start_waiting(engine) or (bool(self.mail) and self._match_inbox(engine))
            moved = moved or bool(engine.outputs or engine.abandoned) or reckon(engine, self._calls.history, services)
        # What came before it ends is heard, and so is whether anybody took what it sent.
        if engine.finished and self._heard and self._going and not self._calls.writing:
            if engine.turning is not None:
                self._turn(engine.turning)
            elif self._outgoing.in_doubt:
                self._outgoing.ask()
            else:
                self._close(engine)
        # An operator may have asked for more: only who has read the inbox knows.
        if self._heard and self._going and (why := self._chapter.measure(services)):
            self.halt(why)

    @property
    def _going(self) -> bool:
        return not (self.halted or self.turned or self.closed is not None)

    def _turn(self, state: Raw) -> None:
        """Begin the next chapter: this incarnation ends, and the next one starts from there."""
        logbook, chapter = self._services.logbook, self._chapter.following(self._services.cell.chapter(state))
        if chapter is None:
            self.halt(ENDLESS)
            return
        logbook.begin_chapter(logbook.write("case", chapter).seq)
        # A read that nobody waits for ends in no chapter: in the next one its record would answer a step of its name.
        self._calls.close()
        self.turned = self.anew = True

    def arrived(self, items: Sequence[InboxItem], *, complete: bool) -> None:
        """Hear what waits in the inbox, but for what was consumed before; `complete`: nothing is known to miss."""
        for item, entry in self.mail.take_in(items):
            # What came before this incarnation has had its try already.
            again = isinstance(entry, Arrived) and entry.key == self._operator
            self.anew = self.anew or (self._heard and bool(self.halted) and again)
            if isinstance(entry, Arrived) and entry.key == wish_key(self._services.key.case_id):
                self.wishes.append((item, entry))
        self._heard = True
        if complete:
            self._outgoing.heard()
        self.settle()
        if complete and not self.mail.held:
            overdue, self._overdue = self._overdue, {}
            for step_id, due in sorted(overdue.items(), key=lambda item: (item[1], item[0])):
                self._expire(step_id, due)
                self.settle()

    def outcome(self, outcome: Outcome, frame: bytes, attempt: int) -> None:
        """Hear an agent's outcome."""
        if not self.halted:
            self._tasks.outcome(outcome, frame, attempt)

    def asked(self, frame: bytes, answer: Callable[[bytes], None]) -> None:
        """Hear an agent ask for a tool call inside its task."""
        if self.halted:
            return
        try:
            asked = call_asked(frame)
        except ProtocolError as refused:
            answer(encode(CallAnswered(failure=FailureKind.INVALID, message=str(refused))))
        else:
            self._tasks.asked(asked, answer)

    def halt(self, reason: str, lacks: str = "") -> None:
        """Go no further: record why, and wait for an operator, or for what it `lacks`."""
        if self.halted or self.closed is not None:
            return
        self.halted, self._lacks = said(reason), lacks
        self._services.logbook.write("case", Halted(reason=self.halted))
        self._services.telemetry.set_aside("message" if reason.startswith(UNREADABLE) else "case")
        self._calls.orphan()
        self.drop()

    def drop(self) -> None:
        """Let go of everything without recording anything."""
        self._tasks.close()
        self._alarms.close()
        if self._engine is not None:
            self._engine.close()

    def answer_wish(self, answer: Migrated | Noted) -> None:
        """Answer the first wish: go on with another version, which ends this incarnation, or say in the log why not."""
        self._consume(self.wishes.pop(0)[0])
        self._services.logbook.write(MIGRATED_STEP, answer)
        if isinstance(answer, Migrated):
            self._services.logbook.pin(answer.version, answer.source_hash)
            self.turned = self.anew = True

    @property
    def calling(self) -> bool:
        """Tell whether it is plain that it is open and waits for nothing outside: it only calls tools, or delegates."""
        engine = self._engine if self._going and not self.mail.asides.reasons else None
        return engine is not None and (self._calls.are_all_of(engine.pending) or self._tasks.are_all_of(engine.pending))

    @property
    def status(self) -> CaseStatus:
        """Tell where the case stands, everything written so far included."""
        if self.closed is not None:
            return CaseStatus.CLOSED
        if self.turned:
            return CaseStatus.OPEN
        working = self._calls.writing_now if self.halted else self._tasks.running or self._calls.running
        return CaseStatus.OPEN if working or self._alarms.ringing or self._outgoing.asking else CaseStatus.PARKED

    def waits(self) -> tuple[Wait, ...]:
        """Name everything that the case waits for from outside."""
        if self.closed is not None or self.turned:
            return ()
        if self.halted:
            return halted_waits(self._operator, self.halted, self._lacks)
        assert self._engine is not None, "an incarnation without an engine is halted"
        waits = [wait for pending in self._engine.pending.values() for wait in waits_of(pending)]
        return (*waits, *self.mail.asides.waits(), *self._calls.history.waits(), *self._tasks.waits())

    def _drop_abandoned(self, engine: Engine) -> None:
        abandoned, engine.abandoned = engine.abandoned, []
        for pending in abandoned:
            self._tasks.forget(pending.step_id)
            self._calls.forget(pending.step_id)
            self._overdue.pop(pending.step_id, None)
            self._alarms.drop(pending.step_id)

    def _start_waiting(self, engine: Engine) -> bool:
        """Start the steps that wait and were not started; tell whether there were any.

        A call may end at once, by a refusal: what the flow then causes is written before another step ends.
        """
        begun = False
        while engine.fresh and not (engine.outputs or engine.abandoned or self.halted):
            pending = engine.fresh.popleft()
            step_id, operation, entry = pending.step_id, pending.operation, pending.entry
            if engine.pending.get(step_id) is not pending:
                continue
            begun = True
            if isinstance(operation, CallTool | TakeBack):
                self._begin_call(step_id, operation)
            elif isinstance(operation, Delegate):
                assert isinstance(entry, Task), "a delegation starts with its task"
                self._tasks.begin(entry, pending.frame, operation, self._earlier.pop(step_id, []))
            elif isinstance(entry, Timer):
                self._alarms.set(step_id, entry.due, self._fire)
            elif isinstance(entry, Review) and entry.expires:
                self._alarms.set(step_id, entry.expires, self._past)
        return begun

    def _begin_call(self, step_id: str, operation: CallTool | TakeBack) -> None:
        history = self._calls.history
        request = request_for(self._services, history, step_id, operation, self._tools)
        if step_id in history:
            before, ended = history.arguments(step_id), history.told(step_id).ended
            if before is not None and before != bytes(request.arguments):
                self.halt(f"ReplayMismatch: the flow now calls {step_id} with other arguments than the log says")
                return
            if ended is not None:  # It ended while the case was halted, and was recorded aside.
                self._feed(step_id, ended)
                return
        self._calls.begin(request, partial(self._call_ended, step_id))

    def _fire(self, step_id: str, due: int) -> None:
        if self._overdue:  # What was over before it comes first.
            self._past(step_id, due)
        elif self._alarms.drop(step_id):
            self._feed(step_id, Fired(due=due))

    def _past(self, step_id: str, due: int) -> None:
        """Hear that a review's or held task's time is over; a decision that was taken may still be on its way."""
        if self._alarms.drop(step_id):
            self._overdue[step_id] = due
            self._services.cell.look()

    def _expire(self, step_id: str, due: int) -> None:
        """End a review that nobody decided in time, as rejected, a task that was held for too long, or a timer."""
        self._tasks.outlasted(step_id)
        pending = self._engine.pending.get(step_id) if self._engine is not None else None
        if pending is not None and isinstance(pending.entry, Timer):
            self._feed(step_id, Fired(due=due))
        elif pending is not None and isinstance(pending.entry, Review):
            self._services.logbook.withdraw(pending.entry.id)
            self._feed(step_id, expired(pending.entry, self._services.world.clock.wall_micros()))

    def _call_ended(self, step_id: str, ended: Ended) -> None:
        """Resume the flow with a call's end, which the call itself has written."""
        if self._engine is not None and step_id in self._engine.pending and not self.halted:
            self._engine.feed(step_id, ended)

    def _feed(self, step_id: str, entry: Entry, frame: bytes = b"") -> None:
        engine = self._engine
        if engine is None or self.halted or step_id not in engine.pending:
            return
        assert not engine.outputs, "what the flow caused is written before another step ends"
        self._alarms.drop(step_id)
        self._services.logbook.write(step_id, entry, frame)
        engine.feed(step_id, entry)

    def _match_inbox(self, engine: Engine) -> bool:
        """Consume the first message that somebody waits for; tell whether there was one."""
        return any(self._take_message(engine, item, entry) for item, entry in self.mail.waiting())

    def _take_message(self, engine: Engine, item: InboxItem, entry: Entry | None) -> bool:
        match entry:
            case None if self.mail.dropped(item, self._operator):
                self._consume(item)
                self._late(f"a message of kind {item.kind} could not be read and was dropped by an operator: {item.id}")
            case None:
                self.halt(unreadable(item.kind, item.id))
            case Cancel() if engine.turning is not None:
                return False  # The next chapter hears it.
            case Cancel():
                self._consume(item)
                self._services.logbook.write("case", entry, item.frame)
                engine.cancel(entry.by, entry.reason)
            case Decided():
                self._consume(item)
                self._services.telemetry.reviewed(entry.action)
                self._decide(engine, item, entry)
            case Arrived(key=key):
                return self._take_arrival(engine, item, entry, key)
            case Reported():
                step_id = first_waiting(engine.pending, NextReport, entry)
                if step_id is None:
                    return False
                self._consume(item)
                self._feed(step_id, entry, item.frame)
            case Noted():
                self._consume(item)
                self._services.telemetry.untaken(self._services.opened.flow)
                self._services.logbook.write(LATE_STEP, entry, item.frame)
            case _:
                self._consume(item)
                self._late(f"a message of kind {item.kind} is not for a case")
        return True

    def _take_arrival(self, engine: Engine, item: InboxItem, entry: Arrived, key: str) -> bool:
        step_id = first_waiting(engine.pending, Park, entry)
        if step_id is not None:
            self._consume(item)
            self._feed(step_id, entry, item.frame)
            return True
        if self._calls.arrived(entry):
            self._consume(item)
            return True
        resumed = self._tasks.stopped_at(key)
        # That an operator's message came has had a halted case tried again.
        mark = marked(resumed, RESUMED) if resumed else OPERATOR_STEP if key == self._operator else ""
        if mark == OPERATOR_STEP:
            self._chapter.extended(self._services.logbook.written)
        elif key in self.mail.asides.reasons:
            mark, dropped = ASIDE_STEP, self.mail.ordered(entry)
            if dropped is not None:
                self._consume(dropped)
        if mark:
            self._consume(item)
            self._services.logbook.write(mark, entry, item.frame)
            self._tasks.ordered(resumed, order_of(entry.value))
        return bool(mark)

    def _decide(self, engine: Engine, item: InboxItem, decided: Decided) -> None:
        for pending in engine.pending.values():
            if isinstance(pending.entry, Review) and pending.entry.id == decided.review_id:
                self._feed(pending.step_id, decided, item.frame)
                return
        if self._calls.decided(decided) or self._tasks.decided(decided):
            self._tasks.wake()
            return
        self._late("a decision came when nothing waited for it any more")

    def _consume(self, item: InboxItem) -> None:
        self.mail.consume(item)
        self._services.logbook.consume(item.id)

    def _late(self, text: str) -> None:
        self._services.logbook.write(LATE_STEP, Noted(text=text, level="warning"))

    def _close(self, engine: Engine) -> None:
        error = engine.error
        if isinstance(error, ForeignAwait) or (error is not None and not isinstance(error, FlowError)):
            self.halt(worded(error))
            return
        if self.mail:
            self._late(f"{len(self.mail)} messages were not read before the case closed")
        self.closed = closing(engine.value, error)
        self._services.logbook.write("case", self.closed)
        self._calls.close()
