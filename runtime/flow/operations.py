"""What a flow can ask of its case: one small record for each durable operation.

A flow is a coroutine; awaiting an operation yields its record to the engine, which resumes the coroutine with the
result. `waiting` operations end by a record that comes from outside; `instant` ones are recorded and answered at
once. It does not know how an operation is carried out.
"""

import types
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass

from msgspec import Raw

from casework.protocols.wire import Evidence, OnStop, RiskTier


@dataclass(slots=True, frozen=True)
class Delegate:
    """Give an agent a task and wait for its outcome."""

    name: str
    inputs: Raw
    goal: str
    tools: tuple[str, ...]
    tier: RiskTier
    criteria: tuple[str, ...]
    deadline_seconds: float
    attempts: int
    calls: int
    micros: int
    on_stop: OnStop


@dataclass(slots=True, frozen=True)
class CallTool:
    """Call a tool as the flow itself."""

    name: str
    arguments: Raw


@dataclass(slots=True, frozen=True)
class AskReview:
    """Have a person decide on exact bytes."""

    title: str
    proposal: Raw
    rule: str
    summary: str
    evidence: tuple[Evidence, ...]
    consequences: tuple[tuple[str, str], ...]
    expires_seconds: float


@dataclass(slots=True, frozen=True)
class Park:
    """Wait for a named thing."""

    key: str
    reason: str


@dataclass(slots=True, frozen=True)
class Sleep:
    """Wait for a moment: `until` (microseconds since the epoch) or so many seconds from now."""

    seconds: float = 0.0
    until: int = 0


@dataclass(slots=True, frozen=True)
class NextReport:
    """Wait for the next report of a child case."""


@dataclass(slots=True, frozen=True)
class Draw:
    """Ask for a moment, a number or an id: `kind` is `now`, `random` or `id`."""

    kind: str


@dataclass(slots=True, frozen=True)
class Note:
    """Tell something to the log."""

    text: str
    level: str
    place: str
    data: Raw


@dataclass(slots=True, frozen=True)
class Decide:
    """Tell a choice to the log."""

    subject: str
    options: tuple[str, ...]
    chosen: str
    rule: str
    why: str
    confidence: float
    inputs_hash: str


@dataclass(slots=True, frozen=True)
class OpenChild:
    """Open a case below this one."""

    flow: str
    case_id: str
    inputs: Raw


@dataclass(slots=True, frozen=True)
class Send:
    """Send a named thing to another case."""

    case_id: str
    key: str
    value: Raw


@dataclass(slots=True, frozen=True)
class CancelChild:
    """Ask another case to stop."""

    case_id: str
    reason: str


@dataclass(slots=True, frozen=True)
class Branches:
    """Run several coroutines side by side; `first` ends with the first of them, else with all."""

    coroutines: Sequence[Coroutine[object, object, object]]
    first: bool


Waiting = Delegate | CallTool | AskReview | Park | Sleep | NextReport
Instant = Draw | Note | Decide | OpenChild | Send | CancelChild
Operation = Waiting | Instant | Branches


@types.coroutine
def perform(operation: Operation) -> Generator[Operation, object, object]:
    """Yield an operation to the engine and give back what it answers."""
    return (yield operation)


def is_operation(value: object) -> bool:
    """Tell whether what a coroutine yielded is one of ours."""
    return isinstance(value, Operation)
