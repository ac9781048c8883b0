"""Supervision as a decision: what becomes of a child that ended, and of its siblings. Pure, after OTP's supervisor.

A restart is allowed as long as fewer than `intensity` restarts happened within `period_seconds`; the next failure
escalates to the parent. The strategy names the siblings that end and start again with a failed child: they did
nothing wrong, so they are not counted. Nothing here waits, starts or stops anything: the caller performs the verdict.
It does not know what a cell is, nor what time it is.
"""

import enum
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from casework.runtime.lifecycle import Exit

#: Restarts within `PERIOD_SECONDS`, at most, unless a group says otherwise: one bad message must not end an actor,
#: a behavior that cannot start must not spin.
INTENSITY: Final = 3
PERIOD_SECONDS: Final = 5.0
#: How long the children of a group may take to end by themselves before they are killed.
GRACE_SECONDS: Final = 5.0


class Strategy(enum.Enum):
    """Which siblings end and start again with a failed child."""

    ONE_FOR_ONE = "one_for_one"
    """None: the children have nothing in common."""
    REST_FOR_ONE = "rest_for_one"
    """Those started after it: they may have built on it, the older ones have not."""
    ONE_FOR_ALL = "one_for_all"
    """All: none of them is of use without the others."""


class Restart(enum.Enum):
    """When an ended child is started again."""

    PERMANENT = "permanent"
    """Always, unless it was asked to stop."""
    TRANSIENT = "transient"
    """Only after a failure or a kill."""
    TEMPORARY = "temporary"
    """Never."""


class Verdict(enum.Enum):
    """What is to be done about an ended child."""

    RESTART = "restart"
    FORGET = "forget"
    ESCALATE = "escalate"
    HOLD = "hold"
    """It starts again together with siblings, once they have ended; said by groups, never by `decide`."""


class RestartLimit(Struct, frozen=True):
    """How many restarts a group of children may need in how much time."""

    intensity: int = INTENSITY
    period_seconds: float = PERIOD_SECONDS


class Supervision(Struct, frozen=True):
    """How a parent looks after its children."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    limit: RestartLimit = RestartLimit()
    """For all the children of the group together."""
    grace_seconds: float = GRACE_SECONDS
    """How long they may take to end before they are killed; 0 kills them at once."""


def decide(restart: Restart, exit_: Exit, recent: Sequence[float], intensity: int) -> Verdict:
    """Say what becomes of an ended child; `recent` holds the restart times inside the period."""
    match restart, exit_:
        case (_, Exit.SHUTDOWN | Exit.PASSIVATED) | (Restart.TEMPORARY, _) | (Restart.TRANSIENT, Exit.NORMAL):
            return Verdict.FORGET
        case (_, Exit.RECYCLED):
            # The failure was a sibling's, and has been judged.
            return Verdict.RESTART
        case _ if len(recent) >= intensity:
            return Verdict.ESCALATE
        case _:
            return Verdict.RESTART


def affected(strategy: Strategy, order: Sequence[str], failed: str) -> tuple[str, ...]:
    """Name the siblings that end and start again with a failed child, in start order, without the failed one.

    Args:
        order: the addresses of the whole group in start order; `failed` is one of them.
    """
    at = order.index(failed)
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return ()
        case Strategy.REST_FOR_ONE:
            return tuple(order[at + 1 :])
        case Strategy.ONE_FOR_ALL:
            return (*order[:at], *order[at + 1 :])


def within_period(restarts: Sequence[float], now: float, period_seconds: float) -> list[float]:
    """Keep the restart times that still count at `now`."""
    return [at for at in restarts if now - at < period_seconds]
