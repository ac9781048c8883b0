"""What a flow can ask of its case: one small record for each durable operation.

A flow is a coroutine; awaiting an operation yields its record to the engine, which resumes the coroutine with the
result. `waiting` operations end by a record that comes from outside; `instant` ones are recorded and answered at
once. It does not know how an operation is carried out.
"""

import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Final, TypeGuard, get_args

from msgspec import Raw, Struct

from casework.protocols.effects import Effect
from casework.protocols.wire import Evidence, Mandate, OnStop, RiskTier


class Delegate(Struct, frozen=True, gc=False):
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
    deadline: int = 0
    """The latest moment in microseconds since the epoch, whatever `deadline_seconds` says; 0: none."""


class CallTool(Struct, frozen=True, gc=False):
    """Call a tool as the flow itself."""

    name: str
    arguments: Raw


class Reckon(Struct, frozen=True):
    """Ask what was written in some scopes, once the end of every such write is known."""

    scopes: tuple[str, ...]
    """How the ids of the steps begin that are meant."""
    besides: tuple[str, ...] = ()
    """Steps that are not meant."""
    patient: bool = True
    """Wait until nothing is unknown any more."""


class TakeBack(Struct, frozen=True):
    """Undo one write, by the tool that undoes it."""

    step_id: str
    """Step of the write."""
    undo: str


class AskReview(Struct, frozen=True, gc=False):
    """Have a person decide on exact bytes."""

    title: str
    proposal: Raw
    rule: str
    summary: str
    evidence: tuple[Evidence, ...]
    consequences: tuple[tuple[str, str], ...]
    expires_seconds: float


class Park(Struct, frozen=True, gc=False):
    """Wait for a named thing."""

    key: str
    reason: str


class Sleep(Struct, frozen=True, gc=False):
    """Wait for a moment: `until` (microseconds since the epoch) or so many seconds from now."""

    seconds: float = 0.0
    until: int = 0


class NextReport(Struct, frozen=True):
    """Wait for the next report of a child case."""


class Draw(Struct, frozen=True):
    """Ask for a moment, a number or an id: `kind` is `now`, `next`, `random` or `id`."""

    kind: str
    after: Callable[[int], int] | None = None
    """Of `next`: gives the first moment of a rule after another one."""


class Note(Struct, frozen=True):
    """Tell something to the log."""

    text: str
    level: str
    place: str
    data: Raw


class Decide(Struct, frozen=True):
    """Tell a choice to the log."""

    subject: str
    options: tuple[str, ...]
    chosen: str
    rule: str
    why: str
    confidence: float
    inputs_hash: str


class Account(Struct, frozen=True):
    """Tell the log what is done, undone and unknown."""

    done: tuple[Effect, ...]
    undone: tuple[Effect, ...]
    unknown: tuple[Effect, ...]


class OpenChild(Struct, frozen=True):
    """Open a case below this one."""

    flow: str
    case_id: str
    inputs: Raw
    mandate: Mandate | None = None


class Send(Struct, frozen=True):
    """Send a named thing to another case."""

    case_id: str
    key: str
    value: Raw


class CancelChild(Struct, frozen=True):
    """Ask another case to stop."""

    case_id: str
    reason: str


class NextChapter(Struct, frozen=True):
    """Begin the flow afresh from a state; nothing before it is replayed any more."""

    state: Raw
    partial: bool = False
    """Something stands by now that a person has accepted."""


class Branches(Struct, frozen=True):
    """Run several coroutines side by side; `first` ends with the first of them, else with all."""

    coroutines: Sequence[Coroutine[object, object, object]]
    first: bool
    lost: list[str]
    """Filled by the engine: scopes in which branches were closed before they could undo what they had written there."""


class Enter(Struct, frozen=True):
    """Begin a scope: steps within it are named after it; answers with how their ids begin. It is not recorded."""

    name: str
    undoes: tuple[str, ...] = ()
    """Scopes that must be undone if the branch is closed meanwhile; empty for this one."""


class Leave(Struct, frozen=True):
    """End the innermost scope. It is not recorded."""


Waiting = Delegate | CallTool | AskReview | Park | Sleep | NextReport | Reckon | TakeBack
Telling = Note | Decide | OpenChild | Send | CancelChild | Account
Instant = Draw | Telling
Scoping = Enter | Leave
Operation = Waiting | Instant | Scoping | Branches | NextChapter


@types.coroutine
def perform(operation: Operation) -> Generator[Operation, object, object]:
    """Yield an operation to the engine and give back what it answers."""
    return (yield operation)


# Sets of types: a replay asks this of every step, and a test against a union of eight types costs a microsecond.
_WAITING: Final = frozenset(get_args(Waiting))
_PROMPT: Final = frozenset(get_args(Instant) + get_args(Scoping))


def is_waiting(value: object) -> TypeGuard[Waiting]:
    """Tell whether what a coroutine yielded is an operation that ends with a record of its own."""
    return type(value) in _WAITING


def is_prompt(value: object) -> TypeGuard[Instant | Scoping]:
    """Tell whether it is one that the engine answers at once."""
    return type(value) in _PROMPT
