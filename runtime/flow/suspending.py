"""Tasks that wait because a call of theirs is held: until when they may, and with which deadline they go on.

A task's own time stands still meanwhile; that of what it is part of runs on: the mandate of its case, and the moment
that its flow named. When that is over, the task ends. All of it follows from records and from what the flow asks for.
It does not know who holds a call, nor how a task ends.
"""

import datetime as dt
from collections.abc import Callable
from typing import final

from msgspec.structs import replace

from casework.runtime.flow.alarms import Alarms
from casework.runtime.flow.callhistory import CallHistory
from casework.runtime.flow.holding import deferred
from casework.runtime.flow.replay import marked
from casework.runtime.flow.services import Services
from casework.runtime.flow.taskwork import HELD, TaskWork
from casework.runtime.seams import MICROS


@final
class Suspending:
    """Of one incarnation of a case; `past` hears of each step whose time is over, with the moment."""

    def __init__(
        self, services: Services, history: CallHistory, alarms: Alarms, past: Callable[[str, int], None]
    ) -> None:
        self._services = services
        self._history = history
        self._alarms = alarms
        self._past = past

    def close(self) -> None:
        """Let nobody hear of anything any more."""
        self._past = _nobody

    def bide(self, work: TaskWork, step_id: str) -> None:
        """Have a task wait until a call is held no longer, or what it is part of ends."""
        work.suspended_by, until = step_id, self.until(work)
        work.held_by = f"{self._history.holder(step_id)} since {_moment(self._history.holds.open.get(step_id, 0))}"
        if until:
            self._alarms.set(work.step_id, until, self._past)

    def over(self, work: TaskWork) -> bool:
        """Hear that a call goes on; tell whether its task does, for nothing else in it is held."""
        if not work.suspended_by or self._history.resting(work.suspended_by):
            return False
        work.suspended_by = self._history.waiting_below(work.scope)
        if work.suspended_by:
            return False
        work.held_by += f" until {_moment(self._history.holds.past[-1].until)}"
        self._alarms.drop(work.step_id)
        return True

    def defer(self, work: TaskWork) -> None:
        """Give a task that was held a later deadline, by just that time, as far as what it is part of has so long."""
        held = self._history.holds.micros(work.below, work.given)
        deadline = deferred(work.task.deadline, held, self._limit(work))
        if deadline != work.task.deadline:
            work.task = replace(work.task, deadline=deadline)
            work.holds += 1
            record = self._services.logbook.write(marked(work.step_id, HELD, work.holds), work.task)
            work.frame, work.given = record.frame, record.at

    def until(self, work: TaskWork) -> int:
        """Give the moment at which a task ends though it be held; 0: never. What was given anew has its time."""
        limit = self._limit(work)
        return max(limit, work.task.deadline) if limit else 0

    def _limit(self, work: TaskWork) -> int:
        mandate = self._services.opened.mandate
        if mandate is None:
            return work.latest
        return min(work.latest, mandate.deadline) if work.latest else mandate.deadline


def _nobody(_step_id: str, _due: int) -> None:
    """Hear what is over of a case that has let go of it."""


def _moment(micros: int) -> str:
    return dt.datetime.fromtimestamp(micros / MICROS, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
