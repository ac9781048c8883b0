"""Attempts at tasks as a node's cases give them out: each one is answered, or lies on the desk until it is taken back.

Whoever finds neither has found work that nobody did and nobody missed: its case waits until the attempt's time is over.
It does not know why an attempt is taken back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import final

from casework.actors.desk import Desk, TaskOf
from casework.protocols.wire import Failed, Task
from casework.runtime.staff import CaseRef, Staff


@final
@dataclass(slots=True, frozen=True, eq=False)
class Attempts:
    """The attempts that cases of one process have given out and that nobody has answered."""

    desk: Desk
    lost: list[Task]
    """Those that nobody had any more when they were taken back."""
    _open: dict[TaskOf, tuple[Task, int]] = field(default_factory=dict[TaskOf, tuple[Task, int]], init=False)

    def dispatch(self, staff: Staff, frame: bytes, task: Task, attempt: int, case: CaseRef) -> Failed | None:
        """Have an attempt sent towards an agent, and hear of its answer."""
        given = task.id, case.address
        self._open[given] = task, attempt
        refused = staff.dispatch(frame, task, attempt, _Heard(case, partial(self._answered, given, attempt)))
        if refused is not None:
            self._answered(given, attempt)
        return refused

    def recall(self, task_id: str, cell: str) -> None:
        """Hear that a case takes an attempt back; to be told before its desk is."""
        found = self._open.pop((task_id, cell), None)
        if found is not None and not self.desk.lies((task_id, cell)):
            self.lost.append(found[0])

    def close(self) -> None:
        """Hear no more: the desk is cleared when its process ends, before the cases are."""
        self._open.clear()

    def _answered(self, given: TaskOf, attempt: int) -> None:
        if given in self._open and self._open[given][1] == attempt:
            del self._open[given]


@dataclass(slots=True, frozen=True, eq=False)
class _Heard:
    """A case that answers go to, and somebody who hears that one has come."""

    case: CaseRef
    answered: Callable[[], None]

    @property
    def address(self) -> str:
        """Name the case's cell."""
        return self.case.address

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        """Hand in the outcome's frame."""
        self.answered()
        self.case.outcome(frame, attempt=attempt)

    async def call(self, frame: bytes) -> bytes:
        """Ask for one tool call; if cancelled, it may still be made."""
        return await self.case.call(frame)
