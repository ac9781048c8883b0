"""One incarnation of a case: its engine, its tasks and calls, its timers and its inbox, brought together.

Everything here is synchronous. `settle` carries a change through until nothing moves any more: records that the flow
caused go into the log, steps that wait are started, messages that somebody waits for are consumed. Afterwards the
case is either working, or parked with named waits, or closed.
It does not know how records become durable, nor in which actor it lives.
"""

from collections.abc import Callable, Sequence

from casework.protocols.codec import decode_entry, encode, pack
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import (
    Arrived,
    Call,
    Cancel,
    CaseResult,
    Child,
    Closed,
    Decided,
    Entry,
    Fired,
    Halted,
    Noted,
    Reported,
    Review,
    Sent,
    Stopped,
    Timer,
    Withdrawn,
)
from casework.protocols.wire import Outcome, RiskTier, Task
from casework.runtime.errors import CaseCancelled, FlowError, ForeignAwait
from casework.runtime.flow.calls import Calls, Ended
from casework.runtime.flow.engine import Engine, Pending
from casework.runtime.flow.entries import fits
from casework.runtime.flow.operations import AskReview, CallTool, Delegate, NextReport, Park, Sleep
from casework.runtime.flow.replay import INNER, Logged
from casework.runtime.flow.services import Services
from casework.runtime.flow.tasks import Tasks
from casework.runtime.seams import MICROS
from casework.runtime.staff import CallRequest, Grant
from casework.runtime.store.base import CaseStatus, InboxItem, Opening, Wait, WaitKind
from casework.runtime.timers import Alarm

#: Calls that a flow itself may make in one case.
FLOW_CALLS_MAX = 10_000
#: How the inner steps begin that tell of a task's attempts, and not of its calls.
TASK_MARKS = ("attempt#", "retry#", "on_stop#", "stopped", "resumed")
#: Characters of an error that go into the log.
ERROR_CHARS_MAX = 300


class Incarnation:
    """A case while it is in memory."""

    def __init__(
        self, engine: Engine | None, services: Services, opening: Callable[[Child], Opening], tools: Sequence[str]
    ) -> None:
        self._engine = engine
        self._services = services
        self._opening = opening
        self._tools = tuple(tools)
        self._calls = Calls(services)
        self._tasks = Tasks(services, self._calls, self._task_ended)
        self._begun: set[str] = set()
        self._earlier: dict[str, list[Entry]] = {}
        self._alarms: dict[str, Alarm] = {}
        self._inbox: dict[str, InboxItem] = {}
        self._consumed: set[str] = set()
        self.inbox_seen = 0  #: highest inbox position that was read
        self.halted = ""  #: why it goes no further, once it does not
        self.closed: Closed | None = None  #: its last record, once there is one

    def begin(self, inner: Sequence[Logged]) -> None:
        """Take over what earlier incarnations recorded inside steps, and start or resume what waits."""
        for logged in inner:
            step_id, entry = logged.record.step_id, logged.entry
            outer, _, within = step_id.partition(INNER)
            of_task = within.startswith(TASK_MARKS)
            if of_task or (within and isinstance(entry, Call)):
                self._earlier.setdefault(outer.partition("@")[0], []).append(entry)
            if not of_task and not isinstance(entry, Halted | Noted):
                self._calls.remember(step_id, entry)
        self.settle()

    def settle(self) -> None:
        """Carry a change through until nothing moves any more."""
        engine = self._engine
        if engine is None or self.halted or self.closed is not None:
            return
        moved = True
        while moved and not self.halted:
            self._take_outputs(engine)
            self._drop_abandoned(engine)
            moved = self._start_waiting(engine) or self._match_inbox(engine)
            moved = moved or bool(engine.outputs or engine.abandoned)
        if engine.finished and not self.halted and not self._calls.writing:
            self._close(engine)

    def arrived(self, items: Sequence[InboxItem]) -> None:
        """Hear what waits in the inbox; what was consumed before is passed over."""
        for item in items:
            self.inbox_seen = max(self.inbox_seen, item.position)
            if item.id not in self._consumed:
                self._inbox.setdefault(item.id, item)

    def outcome(self, outcome: Outcome, frame: bytes, attempt: int) -> None:
        """Hear an agent's outcome."""
        if not self.halted:
            self._tasks.outcome(outcome, frame, attempt)

    def asked(self, frame: bytes, answer: Callable[[bytes], None]) -> None:
        """Hear an agent ask for a tool call inside its task."""
        if not self.halted:
            self._tasks.asked(frame, answer)

    def halt(self, reason: str) -> None:
        """Go no further: record why, and wait for an operator."""
        if self.halted or self.closed is not None:
            return
        self.halted = reason[:ERROR_CHARS_MAX]
        self._services.logbook.write("case", Halted(reason=self.halted))
        self.drop()

    def drop(self) -> None:
        """Let go of everything without recording anything."""
        self._tasks.close()
        for alarm in self._alarms.values():
            alarm.cancel()
        if self._engine is not None:
            self._engine.close()

    @property
    def status(self) -> CaseStatus:
        """Tell where the case stands, everything written so far included."""
        if self.closed is not None:
            return CaseStatus.CLOSED
        if self.halted:
            return CaseStatus.PARKED
        working = self._tasks.running or self._calls.running
        engine = self._engine
        assert engine is not None, "an incarnation without an engine is halted"
        return CaseStatus.OPEN if working or engine.finished else CaseStatus.PARKED

    def waits(self) -> tuple[Wait, ...]:
        """Name everything that the case waits for from outside."""
        if self.closed is not None:
            return ()
        if self.halted:
            return (Wait(f"operator:{self._services.key.case_id}", WaitKind.OPERATOR, self.halted),)
        assert self._engine is not None, "an incarnation without an engine is halted"
        waits = [wait for pending in self._engine.pending.values() if (wait := _wait(pending)) is not None]
        return (*waits, *self._calls.waits(), *self._tasks.waits())

    def _take_outputs(self, engine: Engine) -> None:
        """Write what the flow caused, with everything that goes out in the same append."""
        logbook, key = self._services.logbook, self._services.key
        outputs, engine.outputs = engine.outputs, []
        for output in outputs:
            entry = output.entry
            record = logbook.write(output.step_id, entry)
            pending = engine.pending.get(output.step_id)
            if pending is not None and pending.entry is entry:
                pending.frame = record.frame
            if isinstance(entry, Review):
                self._services.queue(output.step_id, entry)
            elif isinstance(entry, Withdrawn):
                logbook.withdraw(entry.review_id)
            elif isinstance(entry, Child):
                logbook.open(self._opening(entry))
            elif isinstance(entry, Sent):
                message_id = f"sent:{key.case_id}:{record.seq}"
                arrived = Arrived(key=entry.key, message_id=message_id, by=f"case:{key.case_id}", value=entry.value)
                receiver = key._replace(case_id=entry.case_id)
                logbook.send(InboxItem(receiver, message_id, "arrived", encode(arrived)))
            elif isinstance(entry, Stopped):
                message_id = f"cancel:{key.case_id}:{record.seq}"
                cancel = Cancel(message_id=message_id, by=f"case:{key.case_id}", reason=entry.reason)
                logbook.send(InboxItem(key._replace(case_id=entry.case_id), message_id, "cancel", encode(cancel)))

    def _drop_abandoned(self, engine: Engine) -> None:
        abandoned, engine.abandoned = engine.abandoned, []
        for pending in abandoned:
            self._tasks.forget(pending.step_id)
            self._calls.forget(pending.step_id)
            alarm = self._alarms.pop(pending.step_id, None)
            if alarm is not None:
                alarm.cancel()

    def _start_waiting(self, engine: Engine) -> bool:
        """Start the steps that wait and were not started; tell whether there were any."""
        fresh = [pending for step_id, pending in engine.pending.items() if step_id not in self._begun]
        for pending in fresh:
            self._begun.add(pending.step_id)
            if engine.pending.get(pending.step_id) is not pending:
                continue
            if isinstance(pending.operation, Delegate):
                assert isinstance(pending.entry, Task), "a delegation starts with its task"
                earlier = self._earlier.pop(pending.step_id, [])
                self._tasks.begin(pending.step_id, pending.entry, pending.frame, earlier)
            elif isinstance(pending.operation, CallTool):
                self._begin_call(pending.step_id, pending.operation)
            elif isinstance(pending.operation, Sleep):
                self._set_alarm(pending)
        return bool(fresh)

    def _begin_call(self, step_id: str, operation: CallTool) -> None:
        opened = self._services.opened
        grant = Grant(
            caller=f"flow:{opened.flow}",
            tools_allowed=self._tools,
            risk_tier=RiskTier.IRREVERSIBLE,
            calls_left=FLOW_CALLS_MAX,
            micros_left=0,
            purpose=opened.purpose,
        )
        request = CallRequest(self._services.key, step_id, operation.name, operation.arguments, grant, opened.trace)
        self._calls.begin(request, lambda ended: self._call_ended(step_id, ended))

    def _set_alarm(self, pending: Pending) -> None:
        assert isinstance(pending.entry, Timer), "a sleep starts with its timer"
        step_id, due = pending.step_id, pending.entry.due
        seconds = (due - self._services.world.clock.wall_micros()) / MICROS
        services = self._services
        self._alarms[step_id] = services.timers.after(seconds, lambda: services.tell(lambda: self._fire(step_id, due)))

    def _fire(self, step_id: str, due: int) -> None:
        if self._alarms.pop(step_id, None) is not None:
            self._feed(step_id, Fired(due=due))

    def _task_ended(self, step_id: str, outcome: Outcome, frame: bytes) -> None:
        self._feed(step_id, outcome, frame)

    def _call_ended(self, step_id: str, ended: Ended) -> None:
        """Resume the flow with a call's end, which the call itself has written."""
        engine = self._engine
        if engine is not None and step_id in engine.pending and not self.halted:
            engine.feed(step_id, ended)

    def _feed(self, step_id: str, entry: Entry, frame: bytes = b"") -> None:
        engine = self._engine
        if engine is None or self.halted or step_id not in engine.pending:
            return
        self._services.logbook.write(step_id, entry, frame)
        engine.feed(step_id, entry)

    def _match_inbox(self, engine: Engine) -> bool:
        """Consume the first message that somebody waits for; tell whether there was one."""
        for item in list(self._inbox.values()):
            try:
                entry = decode_entry(item.frame)
            except FrameInvalid as error:
                self._consume(item)
                self._late(f"a message could not be read: {error.why}")
                return True
            if self._take_message(engine, item, entry):
                return True
        return False

    def _take_message(self, engine: Engine, item: InboxItem, entry: Entry) -> bool:
        match entry:
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
                step_id = _first(engine, NextReport, entry)
                if step_id is None:
                    return False
                self._consume(item)
                self._feed(step_id, entry, item.frame)
            case _:
                self._consume(item)
                self._late(f"a message of kind {item.kind} is not for a case")
        return True

    def _take_arrival(self, engine: Engine, item: InboxItem, entry: Arrived, key: str) -> bool:
        step_id = _first(engine, Park, entry)
        if step_id is not None:
            self._consume(item)
            self._feed(step_id, entry, item.frame)
            return True
        resumed = self._tasks.arrived(key)
        if resumed:
            self._consume(item)
            self._services.logbook.write(f"{resumed}:resumed", entry, item.frame)
        return bool(resumed)

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
        del self._inbox[item.id]
        self._consumed.add(item.id)
        self._services.logbook.consume(item.id)

    def _late(self, text: str) -> None:
        self._services.logbook.write(f"case{INNER}late", Noted(text=text, level="warning"))

    def _close(self, engine: Engine) -> None:
        error = engine.error
        if isinstance(error, ForeignAwait) or (error is not None and not isinstance(error, FlowError)):
            self.halt(f"{type(error).__name__}: {error}")
            return
        if self._inbox:
            self._late(f"{len(self._inbox)} messages were not read before the case closed")
        if error is None:
            self.closed = Closed(result=CaseResult.COMPLETED, value=pack(engine.value))
        else:
            result = CaseResult.CANCELLED if isinstance(error, CaseCancelled) else CaseResult.FAILED
            self.closed = Closed(result=result, error=str(error)[:ERROR_CHARS_MAX])
        self._services.logbook.write("case", self.closed)


def _first(engine: Engine, operation: type, entry: Entry) -> str | None:
    """Find the oldest waiting step of a kind that a record can end."""
    for pending in engine.pending.values():
        if isinstance(pending.operation, operation) and fits(pending.operation, entry):
            return pending.step_id
    return None


def _wait(pending: Pending) -> Wait | None:
    """Name what a waiting step waits for, if it is something from outside."""
    match pending.operation:
        case Park(key, reason):
            return Wait(key, WaitKind.EVIDENCE, reason)
        case AskReview(rule=rule):
            assert isinstance(pending.entry, Review), "a review starts with its record"
            return Wait(pending.entry.id, WaitKind.REVIEW, rule)
        case Sleep():
            assert isinstance(pending.entry, Timer), "a sleep starts with its timer"
            return Wait(pending.step_id, WaitKind.TIMER, "", pending.entry.due)
        case NextReport():
            return Wait(pending.step_id, WaitKind.CHILD, "a report of a child case")
        case _:
            return None
