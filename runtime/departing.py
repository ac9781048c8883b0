"""Where a fork leaves the way of its case: the first record that says something else than the case's own log.

A fork goes on at another time, so only what was asked and what came of it is compared, never when, at what cost, under
which id, or by whom of several. Branches that run side by side may be recorded in another order, so each step is held
to itself.
It does not know how the fork went on, nor who looks.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Raw, Struct

from casework.runtime.flow.replay import OCCASIONAL, split_mark
from casework.runtime.fold import entry_of
from casework.runtime.store.base import Record

#: Fields of a record that no two runs have in common, and records of nothing else.
_PASSING: Final = OCCASIONAL | {
    "took", "tries", "call_before", "at", "cost", "message_id", "verdict", "task_id", "agent", "queued", "worked",
    "found_by",
}  # fmt: skip
_INCIDENTAL: Final = frozenset({"drawn", "migrated"})
_ENDS: Final = frozenset({"done", "undone"})


class Departure(Struct, frozen=True):
    """Where a fork does something else than its case."""

    seq: int
    """Of the record in the fork's log; where it does no more, the place at which that log ends."""
    what: str
    """What stands there, and what the case has instead."""


def departure(then: Sequence[Record], now: Sequence[Record], at: int) -> Departure | None:
    """Hold what a fork did after record `at` to what its case did; None if it is the same."""
    # What became of a write that was being made then is found out anew, which is recorded in its own way.
    begun = {record.step_id for record in then[: at + 1] if record.kind == "intent"}
    theirs: dict[str, deque[Record]] = {}
    for record in _counted(then[at + 1 :], begun):
        theirs.setdefault(record.step_id, deque()).append(record)
    for record in _counted(now[at + 1 :], begun):
        there = theirs.get(record.step_id)
        if not there:
            return Departure(record.seq, f"{_told(record)}, which the case does not have")
        other = there.popleft()
        if _asked(record) != _asked(other):
            also = "another " if record.kind == other.kind else ""
            what = f"{_told(record)}, where the case has {also}{_told(other)} (its record {other.seq})"
            return Departure(record.seq, what)
    left = min((record for records in theirs.values() for record in records), key=lambda each: each.seq, default=None)
    return None if left is None else Departure(now[-1].seq + 1, f"nothing more, where the case has {_told(left)}")


def _counted(records: Sequence[Record], begun: set[str]) -> Iterator[Record]:
    """Give the records that say what the case does, and not when, by whom of several, or for how long."""
    for record in records:
        known = record.kind in _ENDS and record.step_id in begun
        if record.kind not in _INCIDENTAL and not split_mark(record.step_id)[1] and not known:
            yield record


def _asked(record: Record) -> tuple[object, ...]:
    """Give what a record says, but for what passes; of one that this version cannot read, its kind alone."""
    entry = entry_of(record)
    if entry is None:
        return (record.kind,)
    values = (getattr(entry, name) for name in entry.__struct_fields__ if name not in _PASSING)
    return record.kind, *(bytes(value) if isinstance(value, Raw) else value for value in values)


def _told(record: Record) -> str:
    return f"{record.kind} at step {record.step_id or 'case'}"
