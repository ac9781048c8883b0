"""One delegated task on its way: what it is, how far it has come, and how a log brings it there again.

It does not know who works on it, nor what is done next.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from casework.protocols.records import Call, Decision, Done, Review
from casework.protocols.wire import Failed, OnStop, Task
from casework.runtime.flow.replay import INNER, Logged, split_mark
from casework.runtime.telemetry import SpanHandle
from casework.runtime.timers import Alarm

#: How the inner steps are marked that tell of a task itself: who got an attempt, an attempt's end, the choice
#: whether it is tried again, where it goes when it is not, what a person said of that, what an operator delivered,
#: the task as given anew, and what had been written when its agent did something else than before.
ROUTE: Final = "route"
ATTEMPT: Final = "attempt"
RETRY: Final = "retry"
STOP: Final = "on_stop"
STOPPED: Final = "stopped"
RESUMED: Final = "resumed"
AGAIN: Final = "again"
DIVERGED: Final = "diverged"
TASK_MARKS: Final = frozenset({ROUTE, ATTEMPT, RETRY, STOP, STOPPED, RESUMED, AGAIN, DIVERGED})


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
    attempt: int = 1
    ordinals: dict[str, int] = field(default_factory=dict[str, int])
    spent: dict[str, int] = field(default_factory=dict[str, int])
    """What its calls cost, by step; a call that is asked for again after a restart counts once."""
    unasked: list[str] = field(default_factory=list[str])
    """Calls of this attempt that the log has and its agent, run again, has not asked for yet."""
    held: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """New calls that wait until those were asked for."""
    alarm: Alarm | None = None
    patience: Alarm | None = None
    """Rings when new calls have waited long enough."""
    suspended_by: str = ""
    """Step of the call that waits for a person."""
    stopped: str = ""
    """Why nobody works on it and an operator is needed."""
    review: Review | None = None
    """What a person is asked, once it will not be tried again."""
    last_failure: Failed | None = None
    span: SpanHandle | None = None

    @property
    def idle(self) -> bool:
        """Tell whether it waits for a person and for nobody else."""
        return bool(self.suspended_by or self.stopped or self.review)

    @property
    def key(self) -> str:
        """Name what an operator delivers to have it tried again."""
        return f"retry:{self.task.case_id}:{self.step_id}"

    @property
    def scope(self) -> str:
        """Give the inner scope of this attempt."""
        return self._scope(self.attempt)

    def earlier(self, step_id: str) -> list[str]:
        """Name the same call of the attempts before this one, the last first."""
        name = step_id.removeprefix(self.scope)
        return [f"{self._scope(attempt)}{name}" for attempt in range(self.attempt - 1, 0, -1)]

    def _scope(self, attempt: int) -> str:
        return f"{self.step_id}{INNER}" if attempt == 1 else f"{self.step_id}@{attempt}{INNER}"

    def inner(self, tool: str) -> str:
        """Name the step of the next call of a tool in this attempt."""
        ordinal = self.ordinals.get(tool, 0)
        self.ordinals[tool] = ordinal + 1
        return f"{self.scope}{tool}#{ordinal}" if ordinal else f"{self.scope}{tool}"

    def relive(self, logged: Logged) -> None:
        """Bring a task to where an earlier incarnation left it."""
        step_id, mark = split_mark(logged.record.step_id)
        match mark, logged.entry:
            case _, Task() as task:
                self.task, self.frame = task, logged.record.frame
                self.stopped, self.review = "", None
                self.attempt += 1
            case "retry", _:
                self.attempt += 1
            case "on_stop", Decision() as decision:
                self.stopped = decision.why if decision.chosen == OnStop.PARK else ""
            case "attempt", Failed() as failed:
                self.last_failure = failed
            case "stopped", Review() as review:
                self.review = review
            case _, Call() | Done() as ended:
                self.spent[step_id] = ended.cost.micros
            case _, _:
                if step_id != self.step_id:
                    self.spent.setdefault(step_id, 0)
