"""The life of an actor: its phases, the legal moves between them, and the signals that the runtime sends it.

Signals are never lost and never refused: they stand in a lane of their own, at most one for each (kind, subject).
A kill is no signal: it cancels the running handler instead of waiting for its end.
It does not know what a cell does in a phase, nor when a signal is handled.
"""

import enum
from typing import Final

from msgspec import Struct


class Phase(enum.Enum):
    """Where an actor stands in its life."""

    STARTING = "starting"
    """Made; its behavior has not been told so yet."""
    RUNNING = "running"
    HELD = "held"
    """Its incarnation has ended, and it starts again together with its siblings."""
    DRAINING = "draining"
    """It finishes and takes nothing new."""
    STOPPED = "stopped"

    # An enum's own is a call into Python, and each life looks six times into the table below.
    __hash__ = object.__hash__


# Every legal move of an actor's life; RUNNING to STARTING is a restart. Nothing outside this file allows a move.
LEGAL: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.STARTING: frozenset({Phase.STARTING, Phase.RUNNING, Phase.HELD, Phase.DRAINING, Phase.STOPPED}),
    Phase.RUNNING: frozenset({Phase.STARTING, Phase.HELD, Phase.DRAINING, Phase.STOPPED}),
    Phase.HELD: frozenset({Phase.STARTING, Phase.DRAINING}),
    Phase.DRAINING: frozenset({Phase.STOPPED}),
    Phase.STOPPED: frozenset(),
}


def advance(now: Phase, to: Phase) -> Phase:
    """Move from one phase to another; an illegal move is a bug of the runtime and fails an assertion."""
    assert to in LEGAL[now], f"an actor does not go from {now.value} to {to.value}"
    return to


class Exit(enum.Enum):
    """How an actor, or one incarnation of it, came to its end."""

    NORMAL = "normal"
    """It ended itself."""
    SHUTDOWN = "shutdown"
    """It was asked to stop."""
    KILLED = "killed"
    FAILED = "failed"
    """Its behavior, or a job of its cell, raised."""
    ESCALATED = "escalated"
    """It failed more often than it may."""
    RECYCLED = "recycled"
    """A sibling failed, and their group's strategy ends and starts them together."""
    PASSIVATED = "passivated"
    """It was idle; the next message wakes it."""


class Started(Struct, frozen=True):
    """The behavior was made and may prepare itself."""

    subject: str = ""


class ChildEnded(Struct, frozen=True):
    """A child is gone for good."""

    subject: str
    """The child's address."""
    exit: Exit
    error: BaseException | None = None


class Down(Struct, frozen=True):
    """A monitored actor is gone for good, or was never there."""

    subject: str
    """The address of the monitored actor."""
    exit: Exit


class JobFailed(Struct, frozen=True):
    """A job that the cell had started raised: the cell's failure."""

    subject: str
    """The job's name."""
    error: Exception


class Stop(Struct, frozen=True):
    """Somebody asks it to end after the running handler; what waits becomes dead letters."""

    subject: str = ""


class Leave(Struct, frozen=True):
    """The behavior wants to end after the running handler; supervision decides whether it starts again."""

    subject: str = ""


class Hold(Struct, frozen=True):
    """End the incarnation after the running handler, and wait to be started again."""

    subject: str = ""


class Passivate(Struct, frozen=True):
    """End if there is nothing to do; the next message wakes a new one."""

    subject: str = ""


Signal = Started | ChildEnded | Down | JobFailed | Stop | Leave | Hold | Passivate
