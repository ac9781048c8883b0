"""What a case has written, one by one, as its log tells it when something failed: values of its records.

It does not know which record tells it, nor how a write is undone.
"""

import enum

from msgspec import Struct


class Effect(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A write of the case."""

    step_id: str
    tool: str
    key: str
    why: str = ""
    """Why it stands, or why nobody knows; empty for one that is undone."""


class Standing(enum.StrEnum):
    """Where a write stands that was not refused and is not known to have failed."""

    DONE = "done"
    UNDONE = "undone"
    """It happened, and was undone."""
    UNKNOWN = "unknown"
    """Nobody knows yet whether it happened, or whether it was undone."""


class Write(Effect, frozen=True, kw_only=True, omit_defaults=True):
    """A write, where it stands, and how it is undone."""

    standing: Standing
    undo: str = ""
    """The tool that undoes it; empty if nothing does, and `why` says so."""
    delays: tuple[float, ...] = ()
    """Seconds before each further try, after one that is known to have failed."""
