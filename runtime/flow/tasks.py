"""The life of delegated tasks: attempts, retries, and where a task goes when they are used up.

A task is sent as the very frame that stands in the log. Its agent's tool calls are steps of the case, in the inner
scope of the task, so an agent that is run again after a crash gets the recorded results and does nothing twice. An
attempt has a number; answers of an earlier one are late and ignored. A new attempt has an inner scope of its own.
A task that wrote is never tried again by itself: its write would be made twice. While nobody knows what became of a
write, only the task's deadline ends it, and once it is known, the attempt has its time anew. A person who has a stopped
task tried again gives it a new deadline and as many attempts again; the log has that as a task of its own.

    dispatched -> completed                          the outcome's frame is the record
    dispatched -> failed -> retry decided -> again   after a delay
                                          -> stopped: fail, ask a person, or park for an operator
    dispatched -> suspended -> dispatched            a call inside it is held: by a switch, a budget or a person
                            -> failed                what it is part of has no more time

No agent waits with a suspended task, and its own time stands still: it goes on with a deadline that is so much later.
It does not know who does the work.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from casework.protocols.codec import encode, inputs_hash, pack
from casework.protocols.records import Decided, Decision, ReviewAction, Withdrawn
from casework.protocols.wire import (
    CallAnswered,
    CallAsked,
    Completed,
    Failed,
    FailureKind,
    OnStop,
    Outcome,
    Task,
)
from casework.runtime.flow.callhistory import Ended
from casework.runtime.flow.calls import Calls
from casework.runtime.flow.engine import Pending
from casework.runtime.flow.operations import Delegate, Reckon
from casework.runtime.flow.orders import Order
from casework.runtime.flow.reckoning import writes_of
from casework.runtime.flow.replay import Logged, marked
from casework.runtime.flow.saga import account
from casework.runtime.flow.services import Services
from casework.runtime.flow.suspending import Suspending
from casework.runtime.flow.taskcalls import answer_of, request_of
from casework.runtime.flow.taskwork import (
    AGAIN,
    ATTEMPT,
    DIVERGED,
    RETRY,
    ROUTE,
    STOP,
    TaskWork,
    bounded,
    proven_by,
    stopping,
)
from casework.runtime.store.base import Wait
from casework.runtime.timers import Alarm

#: Seconds that an agent's new call waits for those that the log has of it; an agent that works on several things at
#: once may come to them in another order.
SKIP_SECONDS: Final = 10.0


class Tasks:
    """All delegated tasks of one incarnation of a case; `ended` hears a task's step, outcome and frame."""

    def __init__(
        self, services: Services, calls: Calls, suspending: Suspending, ended: Callable[[str, Outcome, bytes], None]
    ) -> None:
        self._services = services
        self._calls = calls
        self._ended: Callable[[str, Outcome, bytes], None] = ended
        self._suspending = suspending
        self._works: dict[str, TaskWork] = {}
        self._steps: dict[str, str] = {}  # by the task's id
        calls.held_in(self)

    @property
    def running(self) -> bool:
        """Tell whether somebody works on a task, or soon will."""
        return bool(self._works) and any(not work.idle for work in self._works.values())

    def are_all_of(self, pending: Mapping[str, Pending]) -> bool:
        """Tell whether there are some, none held or stopped, and they are all that the flow waits for."""
        history, works = self._calls.history, self._works
        if not works or len(pending) != len(works) or history.asked or history.short:
            return False
        return not any(work.idle for work in works.values())

    def waits(self) -> list[Wait]:
        """Name what stopped tasks wait for."""
        waits = (work.wait(self._suspending.until(work)) for work in self._works.values())
        return [wait for wait in waits if wait is not None]

    def begin(self, task: Task, frame: bytes, operation: Delegate, earlier: Sequence[Logged]) -> None:
        """Take up a task as it was asked for; `earlier` holds what earlier incarnations recorded inside it."""
        work = TaskWork(task.step_id, task, frame, operation.deadline_seconds, task.attempts, operation.deadline)
        self._works[work.step_id] = work
        self._steps[task.id] = work.step_id
        for logged in earlier:
            work.relive(logged)
        if work.idle:
            return
        held = self._calls.history.waiting_below(work.scope) if earlier else ""
        if held:
            self._suspending.bide(work, held)
        elif work.step_id in self._services.doomed:
            self._locally(work, FailureKind.ERROR, self._services.doomed[work.step_id], retryable=False)
        else:
            self._dispatch(work)

    def forget(self, step_id: str) -> None:
        """Hear that nobody waits for a task any more."""
        work = self._works.pop(step_id, None)
        if work is None:
            return
        del self._steps[work.task.id]
        self._still(work)
        self._services.staff.recall(work.task.id, work.cell)
        self._calls.forget_below(step_id)
        if work.review is not None:
            self._services.logbook.write(work.stopped_step, Withdrawn(review_id=work.review.id))
            self._services.logbook.withdraw(work.review.id)

    def outcome(self, outcome: Outcome, frame: bytes, attempt: int) -> None:
        """Hear an agent's outcome; one for another attempt, or for a task that ended, is late and ignored."""
        work = self._works.get(self._steps.get(outcome.task_id, ""))
        if work is None or work.idle or work.attempt != attempt:
            return
        if work.unasked and isinstance(outcome, Completed):
            self._skipped(work, attempt)
            return
        proven = proven_by(work.task, outcome)
        if proven is not outcome:
            outcome, frame = proven, encode(proven)
        self._services.world.point("task.answered")
        self._still(work)
        route = self._services.staff.routed(work.task.id, work.cell)
        if route is not None:
            self._decide(work, ROUTE, route, work.frame)
        self._services.staff.judge(work.task, outcome, work.cell)
        if work.span is not None:
            work.span.end(error="" if isinstance(outcome, Completed) else outcome.kind)
        if isinstance(outcome, Completed):
            self._finish(work, outcome, frame)
        else:
            self._failed(work, outcome, frame)

    def asked(self, asked: CallAsked, answer: Callable[[bytes], None]) -> None:
        """Hear an agent ask for a call inside its task."""
        work = self._works.get(self._steps.get(asked.task_id, ""))
        if work is None or work.idle or work.attempt != asked.attempt:
            answer(encode(CallAnswered(failure=FailureKind.REFUSED, message="the task has moved on")))
            return
        step_id = work.inner(f"{asked.criterion}/{asked.tool}" if asked.criterion else asked.tool)
        # An attempt before may have made the same write, whether or not it lived to hear of it: it is that one.
        made = self._calls.history.made(work.earlier(step_id), bytes(asked.arguments))
        step_id = work.take_over(made) if made else step_id
        before = self._calls.history.arguments(step_id)
        if before is not None and before != bytes(asked.arguments):
            self._diverged(work, f"it asked for something else at {step_id} than the log says")
            return
        if before is None and work.unasked:
            self._hold(work, lambda: self._ask(work, step_id, asked, answer))
            return
        if step_id in work.unasked:
            work.unasked.remove(step_id)
        self._ask(work, step_id, asked, answer)
        while work.held and not (work.unasked or work.idle):
            work.held.pop(0)()

    def _ask(self, work: TaskWork, step_id: str, asked: CallAsked, answer: Callable[[bytes], None]) -> None:
        request = request_of(self._services, work, step_id, asked, self._calls.held)
        work.spent.setdefault(step_id, 0)
        self._calls.begin(request, lambda ended: self._answered(work, step_id, ended, answer))
        if self._calls.history.resting(step_id):
            self._suspend(work, step_id)

    def decided(self, decided: Decided) -> bool:
        """Hear a person's decision about a stopped task; False if none waits for it."""
        for work in list(self._works.values()):
            if work.review is not None and work.review.id == decided.review_id:
                self._services.logbook.write(work.stopped_step, decided)
                work.review = None
                if decided.action is ReviewAction.REJECT:
                    self._give_up(work)
                else:
                    self._again(work)
                return True
        return False

    def wake(self) -> None:
        """Send suspended tasks on their way again in which nothing is held any more."""
        for work in self._works.values():
            if self._suspending.over(work):
                self._dispatch(work)

    def outlasted(self, step_id: str) -> None:
        """Hear that what a task is part of has no more time: one that is held ends, as its contract says."""
        work = self._works.get(step_id)
        if work is not None and work.suspended_by:
            self._calls.forget_below(step_id)
            work.suspended_by = ""
            self._too_late(work)

    def rest(self, step_id: str) -> bool:
        """Suspend the task inside which a call is made, until that goes on; False if there is none of that attempt."""
        work = self._attempt(step_id)
        if work is not None and not work.idle:
            self._suspend(work, step_id)
        return work is not None

    def known(self, step_id: str) -> None:
        """Give the attempt that made a write its time anew: it could only wait until it was known what became of it."""
        work = self._attempt(step_id)
        if work is not None and work.alarm is not None and not work.idle:
            work.alarm.cancel()
            self._time(work)

    def _attempt(self, step_id: str) -> TaskWork | None:
        return next((work for work in self._works.values() if work.makes(step_id)), None)

    def stopped_at(self, key: str) -> str:
        """Give the step of the stopped task that waits for a key; empty if none does."""
        return next((work.step_id for work in self._works.values() if work.stopped and work.key == key), "")

    def ordered(self, step_id: str, order: Order) -> None:
        """Hear what an operator says of the stopped task at a step, if one is there: it is tried again, or given up."""
        work = self._works.get(step_id)
        if work is not None and order.drop:
            self._give_up(work)
        elif work is not None:
            self._again(work)

    def close(self) -> None:
        """Stop all work without recording anything."""
        for work in self._works.values():
            self._still(work)
            self._services.staff.recall(work.task.id, work.cell)
        self._works.clear()
        self._steps.clear()
        self._calls.held_in(None)
        self._suspending.close()
        self._ended = lambda _step_id, _outcome, _frame: None

    def _still(self, work: TaskWork) -> None:
        for alarm in (work.alarm, work.patience):
            if alarm is not None:
                alarm.cancel()
        work.alarm = work.patience = None

    def _dispatch(self, work: TaskWork) -> None:
        services, attempt = self._services, work.attempt
        work.begin_attempt()
        work.unasked = self._calls.history.asked_in(work.scope)
        if self._calls.history.holds.past:
            self._suspending.defer(work)
        if work.left(services.world.clock) <= 0:
            self._too_late(work)
            return
        work.held_by = ""
        task, telemetry = work.task, services.telemetry
        if telemetry.recording:
            work.span = telemetry.agent_work(task.task, task.trace, task.case_id, work.step_id)
        self._time(work)
        services.world.point("task.sent")
        work.cell = (case := services.cell.ref).address
        refused = services.staff.dispatch(work.frame, work.task, attempt, case)
        if refused is not None:
            services.cell.tell(lambda: self.outcome(refused, encode(refused), attempt))

    def _too_late(self, work: TaskWork) -> None:
        held = f"; it was held by {work.held_by}" if work.held_by else ""
        self._locally(work, FailureKind.TIMEOUT, f"its deadline has passed{held}", retryable=False)

    def _time(self, work: TaskWork) -> None:
        """Give an attempt its time, but no more than its task has left."""
        services, tell = self._services, self._services.cell.tell
        seconds = min(work.left(services.world.clock), services.staff.attempt_seconds(work.task))
        alarm = work.alarm = services.timers.after(seconds, lambda: tell(lambda: self._timed_out(work, alarm)))

    def _timed_out(self, work: TaskWork, alarm: Alarm) -> None:
        if self._works.get(work.step_id) is not work or work.alarm is not alarm or work.idle:
            return
        doubt = self._calls.history.in_doubt(work.scope, work.taken)
        if doubt and work.left(self._services.world.clock) > 0:
            # What wrote is not tried again, and what its agent waits for is found out without it.
            self._time(work)
            return
        why = f"no answer to attempt {work.attempt} in time"
        why += f"; whether {doubt} happened is not known yet" if doubt else ""
        self._services.staff.recall(work.task.id, work.cell)
        self._locally(work, FailureKind.TIMEOUT, why, retryable=True)

    def _locally(self, work: TaskWork, kind: FailureKind, message: str, *, retryable: bool) -> None:
        """Fail an attempt on our own account, as the next message: never from inside a dispatch."""
        failed = Failed(task_id=work.task.id, kind=kind, message=message, retryable=retryable, attempt=work.attempt)
        self._services.cell.tell(lambda: self.outcome(failed, encode(failed), failed.attempt))

    def _finish(self, work: TaskWork, outcome: Outcome, frame: bytes) -> None:
        del self._works[work.step_id], self._steps[work.task.id]
        self._ended(work.step_id, outcome, frame)

    def _failed(self, work: TaskWork, failed: Failed, frame: bytes) -> None:
        services = self._services
        work.last_failure = failed
        left, wrote = work.left(services.world.clock), self._calls.history.wrote(work.step_id)
        retry = bounded(services.staff.retry(work.task, failed, work.attempt), work, left, wrote=wrote)
        if retry.again:
            services.logbook.write(marked(work.step_id, ATTEMPT, work.attempt), failed, frame)
            self._decide(work, RETRY, retry.decision, frame)
            services.telemetry.retried(work.task.task)
            work.attempt += 1
            tell = services.cell.tell
            work.alarm = services.timers.after(retry.delay_seconds, lambda: tell(lambda: self._redial(work)))
            return
        self._decide(work, RETRY, retry.decision, frame)
        self._stop(work, failed, frame, retry.decision.why)

    def _redial(self, work: TaskWork) -> None:
        if self._works.get(work.step_id) is work:
            self._dispatch(work)

    def _stop(self, work: TaskWork, failed: Failed, frame: bytes, why: str) -> None:
        """Carry out what the contract says about a task that will not be tried again."""
        services, on_stop = self._services, work.task.on_stop
        self._decide(work, STOP, stopping(work, failed, why, services.staff.policy_hash), frame)
        if on_stop is OnStop.FAIL:
            self._finish(work, failed, frame)
            return
        services.logbook.write(marked(work.step_id, ATTEMPT, work.attempt), failed, frame)
        if on_stop is OnStop.PARK:
            work.stopped = f"task {work.task.task} stopped: {failed.message}"
            services.telemetry.set_aside("task")
            return
        work.reviews += 1
        title = f"Task {work.task.task} stopped: try it again?"
        summary = "Approve to try it again, reject to give it up."
        asked = pack({"task": work.task.task, "failure": failed.kind, "message": failed.message})
        work.review, _ = services.ask(work.stopped_step, title, asked, "contract.on_stop", summary=summary)

    def _decide(self, work: TaskWork, mark: str, decision: Decision, by: bytes) -> None:
        """Record a choice about an attempt, with the hash of the frame by which it was made."""
        decided = replace(decision, inputs_hash=inputs_hash(by))
        self._services.logbook.write(marked(work.step_id, mark, work.attempt), decided)

    def _give_up(self, work: TaskWork) -> None:
        failed = work.last_failure
        assert failed is not None, "a stopped task has failed"
        self._finish(work, failed, encode(failed))

    def _again(self, work: TaskWork) -> None:
        """Give a stopped task anew, with time and attempts as at first."""
        services = self._services
        work.stopped, work.review = "", None
        work.task = work.anew(services.world.clock)
        record = services.logbook.write(marked(work.step_id, AGAIN, work.attempt), work.task)
        work.frame, work.given, work.held_by = record.frame, record.at, ""
        work.attempt += 1
        self._dispatch(work)

    def _answered(self, work: TaskWork, step_id: str, ended: Ended, answer: Callable[[bytes], None]) -> None:
        work.spent[step_id] = ended.cost.micros
        answer(encode(answer_of(step_id, ended)))

    def _suspend(self, work: TaskWork, step_id: str) -> None:
        self._still(work)
        self._suspending.bide(work, step_id)
        self._services.staff.recall(work.task.id, work.cell)
        if work.span is not None:
            work.span.end(error="")

    def _hold(self, work: TaskWork, ask: Callable[[], None]) -> None:
        """Let a new call wait until the agent has asked for all that the log has of it: it may have skipped it."""
        services, attempt = self._services, work.attempt
        if work.patience is None:
            tell = services.cell.tell
            work.patience = services.timers.after(SKIP_SECONDS, lambda: tell(lambda: self._skipped(work, attempt)))
        work.held.append(ask)

    def _skipped(self, work: TaskWork, attempt: int) -> None:
        """Hear that an agent goes on, or would, without a call that the log has of it."""
        if self._works.get(work.step_id) is work and work.attempt == attempt and work.unasked and not work.idle:
            self._diverged(work, f"it went on without asking for {work.unasked[0]}, which the log has")

    def _diverged(self, work: TaskWork, what: str) -> None:
        """An agent does something else than it did before: a new attempt, unless it has written."""
        services, history = self._services, self._calls.history
        if history.wrote(work.step_id):
            writes = writes_of(history, Reckon(work.below), services.staff)
            services.logbook.write(marked(work.step_id, DIVERGED), account(writes, {}))
            services.cell.halt(f"partial: the agent of {work.step_id} diverged after a write: {what}")
            return
        services.staff.recall(work.task.id, work.cell)
        self._locally(work, FailureKind.ERROR, f"the agent diverged: {what}", retryable=True)
