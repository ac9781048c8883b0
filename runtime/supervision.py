"""Supervision as a decision: what becomes of a child that ended. Pure, after OTP's supervisor.

A restart is allowed as long as fewer than `intensity` restarts happened within `period_seconds`; the next failure
escalates to the parent. Nothing here waits, starts or stops anything: the caller performs the verdict.
It does not know what a cell is, nor what time it is.
"""

import enum
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from casework.protocols.errors import CaseworkError
from casework.runtime.lifecycle import Exit

#: Restarts within `PERIOD_SECONDS`, at most, unless a group says otherwise: one bad message must not end an actor,
#: a behavior that cannot start must not spin.
INTENSITY: Final = 3
PERIOD_SECONDS: Final = 5.0


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


class RestartLimit(Struct, frozen=True):
    """How many restarts a group of children may need in how much time."""

    intensity: int = INTENSITY
    period_seconds: float = PERIOD_SECONDS


class Escalated(CaseworkError):
    """A child failed more often than it may, so its parent fails; at the top, the system does."""

    def __init__(self, address: str, limit: RestartLimit, error: BaseException | None) -> None:
        why = f": {type(error).__name__}: {error}" if error is not None else ""
        super().__init__(
            f"{address!r} failed again after {limit.intensity} restarts in {limit.period_seconds:g} s{why}"
        )
        self.address = address
        self.limit = limit
        self.error = error


def decide(restart: Restart, exit_: Exit, recent: Sequence[float], intensity: int) -> Verdict:
    """Say what becomes of an ended child; `recent` holds the restart times inside the period."""
    match restart, exit_:
        case (_, Exit.SHUTDOWN) | (Restart.TEMPORARY, _) | (Restart.TRANSIENT, Exit.NORMAL):
            return Verdict.FORGET
        case _ if len(recent) >= intensity:
            return Verdict.ESCALATE
        case _:
            return Verdict.RESTART


def within_period(restarts: Sequence[float], now: float, period_seconds: float) -> list[float]:
    """Keep the restart times that still count at `now`."""
    return [at for at in restarts if now - at < period_seconds]
