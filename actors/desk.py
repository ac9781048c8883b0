"""The desk: which tasks are with whom, so that work can be found, counted and taken back.

Shared by supervisor, agents and the staff's front; every method is synchronous, hence atomic on the event loop. An
entry belongs to one frame, attempt and cell of a case: nobody decodes a frame to find it. For a moment a case may have
two cells, one that has lost it and does not know yet, and one that has it: neither touches the other's entries.
It does not know how a worker is chosen, nor what a task is about.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from casework.actors.breaker import Circuits
from casework.protocols.records import Decision
from casework.protocols.wire import Completed, Failed, FailureKind, Task
from casework.runtime.staff import CaseRef

#: Tasks whose last route is remembered; the oldest is forgotten first.
ROUTES_MAX: Final = 10_000
#: Seconds by which the end of an attempt's time may be heard late. Later only a process hears it that stood still or
#: was starved, and its agents with it.
LATE_SECONDS_MAX: Final = 2.0

#: A task's id, and the address of the cell of a case that gave it out.
TaskOf = tuple[str, str]


@dataclass(slots=True, eq=False)
class InHand:
    """One attempt at one task."""

    frame: bytes
    task: Task
    attempt: int
    case: CaseRef
    due: float = math.inf
    """When its time is over, in monotonic seconds."""
    put: float = 0.0
    """When its case gave it out, in monotonic seconds."""
    agent: str = ""
    """The agent it was routed to, empty while it waits."""
    worker: str = ""
    since: float = 0.0
    """When it was given to a worker, in monotonic seconds."""
    begun: bool = False
    recalled: bool = False
    abandon: Callable[[], None] | None = None
    """How a recall cancels the work, once it was begun."""

    @property
    def task_of(self) -> TaskOf:
        """Name the task, and the cell that gave it out."""
        return self.task.id, self.case.address


class Routed(NamedTuple):
    """What is remembered of who was given a task last."""

    agent: str
    due: float
    """When that attempt's time is over, in monotonic seconds."""
    decision: Decision


class DeskStatistics(NamedTuple):
    """What lies on the desk."""

    waiting: int
    """Attempts that nobody has yet."""
    routed: int
    """Attempts that a worker has."""
    done: int
    """Tasks that were completed since it was made."""
    failed: int


class Desk:
    """All attempts in hand of one staff."""

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits
        self._in_hand: dict[tuple[bytes, int, str], InHand] = {}
        self._by_task: dict[TaskOf, InHand] = {}
        self._busy: dict[str, InHand] = {}
        self._routes: OrderedDict[TaskOf, Routed] = OrderedDict()
        self._done = self._failed = 0
        self.stale = 0
        """Attempts that were dropped while they waited, and wait still; whoever lets them go sets it to 0."""
        self.freed: Callable[[str], None] = _nobody
        """Called with the agent's name when one of its workers becomes free that a task waits for."""
        self.awaited: Callable[[str], bool] = _by_none
        """Tells whether tasks wait for a worker of an agent; who has the waiting lists says so."""
        self.route_now: Callable[[InHand], bool] = _not_now
        """Has the supervisor route an attempt at once; False if it has something to do before."""

    def put(self, in_hand: InHand) -> None:
        """Take up an attempt; work on an earlier one that the same cell gave out stops."""
        task = in_hand.task_of
        self.recall(*task)
        self._routes.pop(task, None)
        self._in_hand[in_hand.frame, in_hand.attempt, in_hand.case.address] = in_hand
        self._by_task[task] = in_hand

    def waiting(self, frame: bytes, attempt: int, cell: str) -> InHand | None:
        """Give the attempt of that frame and cell that nobody has yet, if it is still wanted."""
        in_hand = self._in_hand.get((frame, attempt, cell))
        return in_hand if in_hand is not None and not in_hand.worker else None

    def unrouted(self) -> list[InHand]:
        """Give the attempts that nobody has yet, oldest first."""
        return [in_hand for in_hand in self._in_hand.values() if not in_hand.worker]

    def returned(self, in_hand: InHand) -> None:
        """Hear that a worker could not be reached; the attempt told nothing about its agent."""
        self._circuits.of(in_hand.agent).dropped()
        self._free(in_hand)

    def route(self, in_hand: InHand, worker: str, decision: Decision) -> None:
        """Give an attempt to a worker."""
        assert worker not in self._busy, "a worker does one task at a time"
        in_hand.worker = worker
        self._busy[worker] = in_hand
        self._remember(in_hand.task_of, Routed(in_hand.agent, in_hand.due, decision))

    def refused(self, task: TaskOf, decision: Decision) -> None:
        """Hear that nobody was given a task, and why."""
        self._remember(task, Routed("", -math.inf, decision))

    def begun(self, frame: bytes, attempt: int, worker: str, abandon: Callable[[], None]) -> InHand | None:
        """Give the attempt that a worker may begin, or None when nobody wants it any more.

        `abandon` cancels the work; nothing must happen if it has ended.
        """
        in_hand = self._busy.get(worker)
        if in_hand is None or in_hand.begun or in_hand.attempt != attempt or in_hand.frame != frame:
            return None
        in_hand.begun, in_hand.abandon = True, abandon
        return in_hand

    def finished(self, in_hand: InHand, *, fault: bool | None, now: float) -> None:
        """Hear that a worker is done with an attempt: by a fault of its own, without one, or nobody can say."""
        circuit = self._circuits.of(in_hand.agent)
        if fault is None and not in_hand.recalled:
            circuit.dropped()
        elif fault:
            circuit.failed(now, now - in_hand.since)
        elif fault is False:
            circuit.succeeded(now, now - in_hand.since)
        self._forget(in_hand)
        self._free(in_hand)

    def drop(self, in_hand: InHand) -> None:
        """Hear that an attempt will not be worked on."""
        in_hand.recalled = True
        self.stale += not in_hand.worker
        self._forget(in_hand)

    def lies(self, task: TaskOf) -> bool:
        """Tell whether an attempt at a task lies here, with a worker or without."""
        return task in self._by_task

    def recall(self, task_id: str, cell: str) -> None:
        """Stop work on a task of a cell; what was not begun is dropped, what was is cancelled where it waits."""
        in_hand = self._by_task.get((task_id, cell))
        if in_hand is None:
            return
        self.drop(in_hand)
        if not in_hand.worker:
            return
        self._circuits.of(in_hand.agent).dropped()
        if in_hand.abandon is not None:
            in_hand.abandon()
        else:
            self._free(in_hand)

    def recall_all(self) -> None:
        """Stop work on everything."""
        for task in list(self._by_task):
            self.recall(*task)

    def judge(self, task: TaskOf, outcome: Completed | Failed, now: float) -> None:
        """Hear how the case sees a task's end; an attempt that got no answer in its time speaks against its agent."""
        self._done += isinstance(outcome, Completed)
        self._failed += isinstance(outcome, Failed)
        if isinstance(outcome, Failed) and outcome.kind is FailureKind.TIMEOUT and not outcome.agent:
            routed = self._routes.get(task)
            if routed is not None and now <= routed.due + LATE_SECONDS_MAX:
                self._circuits.of(routed.agent).failed(now)

    def free(self, workers: Iterable[str]) -> list[str]:
        """Give those workers that have no task, in the same order."""
        busy = self._busy
        return [worker for worker in workers if worker not in busy]

    def held(self, workers: Iterable[str], tenant: str) -> int:
        """Say how many of these workers have a task of a tenant."""
        busy = self._busy
        return sum(worker in busy and busy[worker].task.tenant == tenant for worker in workers)

    def routed(self, task: TaskOf) -> Decision | None:
        """Give the last decision about who does a task."""
        found = self._routes.get(task)
        return found.decision if found is not None else None

    def statistics(self) -> DeskStatistics:
        """Give what lies on the desk."""
        return DeskStatistics(len(self.unrouted()), len(self._busy), self._done, self._failed)

    def _remember(self, task: TaskOf, routed: Routed) -> None:
        self._routes[task] = routed
        self._routes.move_to_end(task)
        if len(self._routes) > ROUTES_MAX:
            self._routes.popitem(last=False)

    def _forget(self, in_hand: InHand) -> None:
        key, task = (in_hand.frame, in_hand.attempt, in_hand.case.address), in_hand.task_of
        if self._in_hand.get(key) is in_hand:
            del self._in_hand[key]
        if self._by_task.get(task) is in_hand:
            del self._by_task[task]

    def _free(self, in_hand: InHand) -> None:
        if self._busy.get(in_hand.worker) is in_hand:
            del self._busy[in_hand.worker]
            # What the supervisor has not looked at waits for nobody: it will find the worker free.
            if self.awaited(in_hand.agent):
                self.freed(in_hand.agent)


def _nobody(agent: str) -> None:
    """Nobody listens."""


def _by_none(_: str) -> bool:
    return False


def _not_now(_: object) -> bool:
    return False
