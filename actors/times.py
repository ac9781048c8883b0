"""Where the time of a case and of its steps went, as values; `casework.actors.timing` reads them off a log.

A step's time has five parts, which add up:

    queue     nobody had begun the task: its agents were busy
    working   an agent was at it
    tools     a tool was called, the call's place among those of its tool included
    people    a person was to decide, or an operator to have it go on
    waiting   for anything else: a delivery, a moment, a case below, the pause before another attempt, a process

It does not know what a log is.
"""

from dataclasses import dataclass
from typing import Final

#: The parts of a step's time; where several go on at once, the later one counts.
PARTS: Final = ("waiting", "queue", "working", "tools", "people")
#: Why no step was under way: the flow's code ran; nobody had taken the case up; or what was under way left no record,
#: for the case was asked to stop.
OWN: Final = "the flow's own code"
MOVED: Final = "until a process took it up"
CANCELLED: Final = "asked to stop"


@dataclass(slots=True, frozen=True)
class Spent:
    """How a piece of time was spent, in microseconds."""

    waiting: int = 0
    queue: int = 0
    working: int = 0
    tools: int = 0
    people: int = 0

    @property
    def total(self) -> int:
        """Give all of it."""
        return self.waiting + self.queue + self.working + self.tools + self.people


@dataclass(slots=True, frozen=True)
class StepTimes:
    """One step of the flow; moments in microseconds since the epoch."""

    step: str
    kind: str
    """Kind of the record that ended it, or of the one that began it while it goes on."""
    began: int
    ended: int
    """For one that goes on, the last moment of the log."""
    over: bool
    """False: it goes on, or was let go of with the case."""
    spent: Spent
    after: str
    """The step whose end let it begin; empty for the first ones."""
    held: int = 0
    """Microseconds in which a switch, a budget or a person held a call of this task: its own time stood still."""


@dataclass(slots=True, frozen=True)
class Gap:
    """Time in which no step of the critical path was under way."""

    after: str
    """The step before it; empty for the opening of the case."""
    before: str
    """The step after it; empty for the end."""
    micros: int
    why: str


@dataclass(slots=True, frozen=True)
class CaseTimes:
    """Where a case's time went."""

    opened: int
    ended: int
    """When it closed, else the last moment of its log."""
    steps: tuple[StepTimes, ...]
    """In the order in which they ended."""
    chain: tuple[StepTimes | Gap, ...]
    """The critical path, first to last, with what lies between its steps: together all of the case's time."""

    @property
    def path(self) -> tuple[StepTimes, ...]:
        """Give the steps that determined how long it took."""
        return tuple(each for each in self.chain if isinstance(each, StepTimes))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Give what lies between them."""
        return tuple(each for each in self.chain if isinstance(each, Gap))

    @property
    def micros(self) -> int:
        """Give how long the case took, or has taken so far."""
        return self.ended - self.opened
