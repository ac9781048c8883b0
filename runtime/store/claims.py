"""What a node is given with the cases that it claims, so that each begins without asking for anything more.

It does not know who claims, nor what the records say.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from casework.runtime.store.base import CaseKey, CaseRow, InboxItem, Opening, Record
from casework.runtime.store.rules import opened_row

#: Nobody's key. A listener that hears it looks for work, and for what whoever went away may have left undone.
NOBODY: Final = CaseKey("", "")


class Claimed(Struct, frozen=True):
    """A case that a node took, as it stood in the transaction that gave it."""

    row: CaseRow
    records: Sequence[Record] = ()
    """Its log, from `row.chapter` on."""
    inbox: Sequence[InboxItem] = ()
    """What waits for it, in order of insertion."""
    broken: str = ""
    """Why it must not go on: something that is kept of it cannot be read, which is left out; nothing where all can."""
    seen: int = 0
    """Position up to which its inbox counts as read, though it could not be."""


def opened_by(opening: Opening) -> Claimed:
    """Give what the node that opens a case for itself has, as if it had claimed it."""
    row = opened_row(opening)
    return Claimed(row, (replace(opening.record, hash=row.head),))


class Claims(Struct, frozen=True):
    """What one claim gave."""

    cases: Sequence[Claimed] = ()
    more: bool = False
    """There may be more for this node now: the limit was reached, or what it was given is long."""
    next_due: int | None = None
    """The earliest due moment of the timers of parked cases that no node holds under a lease; None where there is
    none, and while there may be `more`, for then it was not looked for."""
    halted: str | None = None
    """Why nothing may run on this store, empty where all is well; None where that cannot change while it is open."""
