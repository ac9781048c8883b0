"""One delegated task on its way: what it is, how far it has come, and how a log brings it there again.

It does not know who works on it, nor what is done next.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from casework.protocols.records import Call, Decision, Done, Review, Undone
from casework.protocols.wire import Completed, Failed, FailureKind, OnStop, Outcome, Task, unmet
from casework.runtime.flow.orders import retry_key
from casework.runtime.flow.replay import INNER, Logged, marked, split_mark
from casework.runtime.seams import MICROS, Clock
from casework.runtime.staff import Retry
from casework.runtime.store.base import Wait, WaitKind
from casework.runtime.telemetry import SpanHandle
from casework.runtime.timers import Alarm

#: How the inner steps are marked that tell of a task itself: who got an attempt, an attempt's end, the choice
#: whether it is tried again, where it goes when it is not, what a person said of that, what an operator delivered,
#: the task as given anew, what had been written when its agent did something else than before, and the task as it
#: goes on after it was held.
ROUTE: Final = "route"
ATTEMPT: Final = "attempt"
RETRY: Final = "retry"
STOP: Final = "on_stop"
STOPPED: Final = "stopped"
RESUMED: Final = "resumed"
AGAIN: Final = "again"
DIVERGED: Final = "diverged"
HELD: Final = "held"
TASK_MARKS: Final = frozenset({ROUTE, ATTEMPT, RETRY, STOP, STOPPED, RESUMED, AGAIN, DIVERGED, HELD})


@dataclass(slots=True, eq=False)
class TaskWork:
    """One task on its way."""

    step_id: str
    task: Task
    frame: bytes
    seconds: float
    """How long it may take in all, when it is given."""
    attempts_given: int
    """How many attempts it gets when it is given."""
    latest: int = 0
    """The moment that its flow named at which it ends, whatever it has; 0: none."""
    given: int = 0
    """When the log has it as given last, if that was not the first time; in microseconds since the epoch."""
    attempt: int = 1
    cell: str = ""
    """Address of the cell that gave the attempt out, once it did."""
    ordinals: dict[str, int] = field(default_factory=dict[str, int])
    spent: dict[str, int] = field(default_factory=dict[str, int])
    """What its calls cost, by step; a call that is asked for again after a restart counts once."""
    unasked: list[str] = field(default_factory=list[str])
    """Calls of this attempt that the log has and its agent, run again, has not asked for yet."""
    taken: dict[str, None] = field(default_factory=dict[str, None])
    """Steps of calls that an attempt before made, and this one has asked for as well."""
    held: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """New calls that wait until those were asked for."""
    alarm: Alarm | None = None
    patience: Alarm | None = None
    """Rings when new calls have waited long enough."""
    suspended_by: str = ""
    """Step of the call that is held."""
    held_by: str = ""
    """What held it last, and since when."""
    holds: int = 0
    """How often the log has it as it went on after it was held."""
    stopped: str = ""
    """Why nobody works on it and an operator is needed."""
    review: Review | None = None
    """What a person is asked, once it will not be tried again."""
    reviews: int = 0
    """How often a person was asked."""
    last_failure: Failed | None = None
    span: SpanHandle | None = None

    @property
    def idle(self) -> bool:
        """Tell whether it waits for a person and for nobody else."""
        return bool(self.suspended_by or self.stopped or self.review)

    @property
    def key(self) -> str:
        """Name what an operator delivers to have it tried again."""
        return retry_key(self.task.case_id, self.step_id)

    @property
    def stopped_step(self) -> str:
        """Name the step under which a person was asked last, and said something."""
        return marked(self.step_id, STOPPED, max(self.reviews - 1, 0))

    @property
    def scope(self) -> str:
        """Give the inner scope of this attempt."""
        return self._scope(self.attempt)

    @property
    def below(self) -> tuple[str, str]:
        """Give how the steps of its calls begin, those of all attempts."""
        return f"{self.step_id}{INNER}", f"{self.step_id}@"

    def earlier(self, step_id: str) -> list[str]:
        """Name the same call of the attempts before this one, the last first."""
        name = step_id.removeprefix(self.scope)
        return [f"{self._scope(attempt)}{name}" for attempt in range(self.attempt - 1, 0, -1)]

    def _scope(self, attempt: int) -> str:
        return f"{self.step_id}{INNER}" if attempt == 1 else f"{self.step_id}@{attempt}{INNER}"

    def begin_attempt(self) -> None:
        """Forget what belonged to the attempt before."""
        self.ordinals.clear()
        self.held.clear()
        self.taken.clear()

    def take_over(self, step_id: str) -> str:
        """Have this attempt make a call that one before it made; gives its step."""
        self.taken[step_id] = None
        return step_id

    def makes(self, step_id: str) -> bool:
        """Tell whether a call is one of this attempt."""
        return step_id.startswith(self.scope) or step_id in self.taken

    def inner(self, tool: str) -> str:
        """Name the step of the next call of a tool in this attempt."""
        ordinal = self.ordinals.get(tool, 0)
        self.ordinals[tool] = ordinal + 1
        return f"{self.scope}{tool}#{ordinal}" if ordinal else f"{self.scope}{tool}"

    def anew(self, clock: Clock) -> Task:
        """Make the task with a deadline and attempts as at first, from now on."""
        deadline = clock.wall_micros() + int(self.seconds * MICROS)
        return replace(self.task, deadline=deadline, attempts=self.attempt + self.attempts_given)

    def left(self, clock: Clock) -> float:
        """Give the seconds until its deadline."""
        return (self.task.deadline - clock.wall_micros()) / MICROS

    def wait(self, until: int) -> Wait | None:
        """Name what it waits for, if nobody works on it; `until` is when it ends though it be held, 0: never."""
        if self.review is not None:
            return Wait(self.review.id, WaitKind.REVIEW, self.review.rule)
        if self.stopped:
            return Wait(self.key, WaitKind.OPERATOR, self.stopped)
        return Wait(self.step_id, WaitKind.TIMER, "", until) if self.suspended_by and until else None

    def relive(self, logged: Logged) -> None:
        """Bring a task to where an earlier incarnation left it."""
        step_id, mark = split_mark(logged.record.step_id)
        match mark, logged.entry:
            case "held", Task() as task:
                self.holds += 1
                self.task, self.frame, self.given = task, logged.record.frame, logged.record.at
            case _, Task() as task:
                self.task, self.frame, self.given = task, logged.record.frame, logged.record.at
                self.stopped, self.review = "", None
                self.attempt += 1
            case "retry", Decision() as decision:
                self.attempt += decision.chosen != decision.options[-1]
            case "on_stop", Decision() as decision:
                self.stopped = decision.why if decision.chosen == OnStop.PARK else ""
            case "attempt", Failed() as failed:
                self.last_failure = failed
            case "stopped", Review() as review:
                self.review, self.reviews = review, self.reviews + 1
            case _, Call() | Done() | Undone() as ended:
                self.spent[step_id] = ended.cost.micros
            case _, _:
                if step_id != self.step_id:
                    self.spent.setdefault(step_id, 0)


def bounded(retry: Retry, work: TaskWork, left: float, *, wrote: bool) -> Retry:
    """Hold the staff's choice against what the case knows of a failed task: only a task that may go on is tried again.

    `left` are the seconds until its deadline; `wrote` says that it made a write which may stand.
    """
    if not retry.again:
        return retry
    checks = (
        ("retry.written", wrote, "it has written, and may not do so twice"),
        ("retry.attempts", work.attempt >= work.task.attempts, f"attempt {work.attempt} was the last"),
        ("retry.deadline", left <= retry.delay_seconds, "its deadline comes before another attempt"),
    )
    for rule, stops, why in checks:
        if stops:
            stop = replace(retry.decision, chosen=retry.decision.options[-1], rule=rule, why=why)
            return Retry(False, 0.0, stop)
    return retry


def proven_by(task: Task, outcome: Outcome) -> Outcome:
    """Give an outcome as it counts: a task handed in as done that is not shown to meet its criteria has failed."""
    criteria = unmet(task, outcome) if isinstance(outcome, Completed) else ()
    if not criteria:
        return outcome
    return Failed(
        task_id=outcome.task_id,
        kind=FailureKind.CRITERION,
        message=f"handed in as done, but not shown to meet {', '.join(criteria)}",
        cost=outcome.cost,
        agent=outcome.agent,
        attempt=outcome.attempt,
        checked=outcome.checked,
        queued=outcome.queued,
        worked=outcome.worked,
    )


def stopping(work: TaskWork, failed: Failed, why: str, policy_hash: str) -> Decision:
    """Say where a task goes that will not be tried again, as its contract has it."""
    return Decision(
        subject=STOP,
        options=tuple(OnStop),
        chosen=work.task.on_stop,
        rule="contract.on_stop",
        why=f"attempt {work.attempt} of {work.task.attempts}: {failed.kind}, {failed.message}; {why}",
        policy_hash=policy_hash,
    )
