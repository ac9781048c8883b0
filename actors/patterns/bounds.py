"""Bounds of a loop: how often, how long, for how much, and how long without learning anything.

Each of the four ends a loop that none of the others would; one that lacks any of them is refused when a crew is built.
It does not know what is done in a round.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

#: Shares that the smallest loop needs: one to plan with, one to work with, one to combine with.
SHARES_MIN: Final = 3


class Stop(StrEnum):
    """Which bound ended a loop."""

    ROUNDS = "rounds"
    TIME = "time"
    MONEY = "money"
    NOTHING_NEW = "nothing_new"
    DONE = "done"
    """None: there was nothing left to do."""


class Bounds(Struct, frozen=True, kw_only=True):
    """The four bounds of a loop; one that is left out is a flaw."""

    rounds: int = 0
    """Rounds at most."""
    seconds: float = 0.0
    """No round begins after so many seconds."""
    shares: int = 0
    """Equal shares into which calls and money are divided: each piece of work takes one, and leaves none behind."""
    quiet: int = 0
    """So many rounds in a row that brought nothing new end it."""

    def flaws(self, who: str) -> Sequence[str]:
        """Name the bounds that are missing, each with what to do about it."""
        shares = f"say into how many shares it is divided, {SHARES_MIN} or more: to plan, to work and to combine"
        checks = (
            (_counts(self.rounds, 1), "rounds", "how often it goes round; say how many rounds there may be"),
            (_lasts(self.seconds), "seconds", "how long it takes; say after how many seconds no round begins"),
            (_counts(self.shares, SHARES_MIN), "shares", f"what it costs; {shares}"),
            (_counts(self.quiet, 1), "quiet", "how long it learns nothing; say how many rounds without news end it"),
        )
        missing = [f"{who} has no bound on {why}: bounds.{name}" for fine, name, why in checks if not fine]
        if not missing and self.quiet > self.rounds:
            never = f"{who} has at most {self.rounds} rounds, so {self.quiet} without news can never end it"
            missing.append(f"{never}: give fewer in bounds.quiet")
        return missing


# A loop is held to its bounds whether or not its author has a type checker: None, or infinity, bounds nothing.


def _counts(bound: object, least: int) -> bool:
    return type(bound) is int and bound >= least


def _lasts(bound: object) -> bool:
    return isinstance(bound, int | float) and 0 < bound < math.inf


class Progress(Struct, kw_only=True):
    """How far a loop has come."""

    rounds: int = 0
    left: int
    """Shares that nobody has taken yet."""
    quiet: int = 0
    """Rounds in a row that brought nothing new."""


def stop(bounds: Bounds, progress: Progress, *, now: int, until: int, needed: int) -> Stop | None:
    """Say which bound forbids another round that needs so many shares; None if none does.

    `now` and `until`, the moment at which its time is over, are in microseconds since the epoch.
    """
    if progress.rounds >= bounds.rounds:
        return Stop.ROUNDS
    if progress.quiet >= bounds.quiet:
        return Stop.NOTHING_NEW
    if now >= until:
        return Stop.TIME
    return Stop.MONEY if progress.left < needed else None


def part_of_time(now: int, until: int, rounds_left: int) -> int:
    """Give the moment at which the next round should have ended for the others, and for the end, to have as long."""
    return now + max(until - now, 0) // (rounds_left + 1)
