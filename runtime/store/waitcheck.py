"""Holds what the row of a case says that it waits for against what its log lets it wait for.

Only a replay tells exactly what a case waits for. But each wait has a record by which it began, and most have one by
which they end: a row that names a key, a review or a moment which no such record has was changed, and so was one that
lacks what its flow parked for. Of a chapter that cannot be read as a whole nothing follows.
It does not know the flow, so a timer that a branch took back may still be in the row, or not.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Cancel, Decision, Entry, Halted, Parked, Review, Timer
from casework.protocols.wire import Failed, OnStop, Task
from casework.runtime.store.base import CaseRow, CaseStatus, Record, Wait, WaitKind
from casework.runtime.store.rules import pin, version_key

#: What records end: a thing that was waited for, or one that nobody waits for any more.
_ENDS_PARK: Final = frozenset({"arrived", "unparked"})
_ENDS_REVIEW: Final = frozenset({"decided", "withdrawn"})
_ENDS_TASK: Final = frozenset({"completed", "failed"})
#: What follows in a step's name where a record tells of the step itself, such as a task that is given anew.
_MARK: Final = ":("
#: The step of a case that waits for a report of another one, which has no record before it ends.
_REPORT: Final = re.compile(r"(^|/)report(#\d+)?$")


class _Asked(Struct):
    """What the records of a chapter ask for and nothing has ended."""

    parks: dict[str, Parked] = field(default_factory=dict[str, Parked])
    timers: dict[str, int] = field(default_factory=dict[str, int])
    reviews: dict[str, Review] = field(default_factory=dict[str, Review])
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    stops: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Who is asked for and why, where a task or a call stopped; of a task no more is told than that."""
    halted: str = ""
    cancelled: bool = False


def odd_wait(row: CaseRow, records: Sequence[Record]) -> str:
    """Say how what a row waits for is not what its log, from its chapter on, lets it wait for; nothing if it is."""
    if row.status is CaseStatus.CLOSED:
        return "its row says that it waits, though it has ended" if row.waits else ""
    asked = _asked(records)
    if asked is None:
        return ""
    if row.status is CaseStatus.PARKED and not row.waits:
        return "its row says that it waits, but not for what"
    if asked.halted and row.waits and row.waits[0] == _operator(row, asked):
        # One whose version no node had waits for that as well, unless an earlier Casework set it aside.
        rest = {(wait.key, wait.kind, wait.due) for wait in row.waits[1:]}
        version = version_key(pin(row.flow, row.version, row.source_hash))
        if rest <= {(version, WaitKind.OPERATOR, 0)}:
            return ""
    return next(_oddities(row, asked), "")


def _operator(row: CaseRow, asked: _Asked) -> Wait:
    return Wait(f"operator:{row.key.case_id}", WaitKind.OPERATOR, asked.halted)


def _oddities(row: CaseRow, asked: _Asked) -> Iterator[str]:
    for wait in row.waits:
        if not _may(wait, row.key.case_id, asked):
            what = f"{wait.kind} {wait.key!r} ({wait.reason or wait.due})"
            yield f"its row says that it waits for {what}, its log does not"
    if row.status is CaseStatus.OPEN and not row.waits:
        return  # It was opened, or begins its next chapter: nothing of it was in memory yet.
    waited = {(wait.key, wait.kind) for wait in row.waits}
    for park in asked.parks.values():
        if (park.key, WaitKind.EVIDENCE) not in waited:
            yield f"its log says that it waits for {park.key!r}, but its row does not"
    for step_id in asked.timers:
        if "/" not in step_id and not asked.cancelled and (step_id, WaitKind.TIMER) not in waited:
            yield f"its log says that it waits for the moment of {step_id}, but its row does not"


def _may(wait: Wait, case_id: str, asked: _Asked) -> bool:
    if wait.due and wait.kind is not WaitKind.TIMER:
        return False
    match wait.kind:
        case WaitKind.EVIDENCE:
            return any((park.key, park.reason) == (wait.key, wait.reason) for park in asked.parks.values())
        case WaitKind.REVIEW:
            return any((each.id, each.rule) == (wait.key, wait.reason) for each in asked.reviews.values())
        case WaitKind.TIMER:
            if wait.key in asked.tasks:
                # One that is held waits for the end of what it is part of, which is never before its own.
                return not wait.reason and wait.due >= asked.tasks[wait.key].deadline
            reviewed = asked.reviews.get(wait.key)
            return not wait.reason and wait.due == (reviewed.expires if reviewed else asked.timers.get(wait.key, -1))
        case WaitKind.CHILD:
            return _REPORT.search(wait.key) is not None
        case WaitKind.OPERATOR:
            if wait == Wait(f"operator:{case_id}", WaitKind.OPERATOR, asked.halted):
                return True
            return ("" if wait.key.startswith("retry:") else wait.key, wait.reason) in asked.stops


def _asked(records: Sequence[Record]) -> _Asked | None:
    asked = _Asked()
    for record in records:
        try:
            _enter(asked, record, decode_entry(record.frame))
        except ProtocolError:
            return None
    return asked


def _enter(asked: _Asked, record: Record, entry: Entry) -> None:
    step_id = record.step_id
    _end(asked, record, entry)
    own = step_id.partition(_MARK)[0]
    match entry:
        case Failed() if own in asked.tasks and own != step_id:
            # A row tells of a task that stopped by its failure, and once it was read from the log by the decision.
            asked.stops.add(("", f"task {asked.tasks[own].task} stopped: {entry.message}"))
        case Parked():
            asked.parks[step_id] = entry
        case Timer(due=due):
            asked.timers[step_id] = due
        case Review():
            asked.reviews[step_id] = entry
        case Task():
            asked.tasks[own] = entry
        case Decision(chosen=OnStop.PARK, subject=subject, why=why):
            asked.stops |= {(subject, why), ("", why)}
        case Halted(reason=reason):
            asked.halted = reason
        case Cancel():
            asked.cancelled = True
        case _:
            return


def _end(asked: _Asked, record: Record, entry: Entry) -> None:
    step_id = record.step_id
    if record.kind in _ENDS_PARK:
        asked.parks.pop(step_id, None)
    elif record.kind == "fired":
        asked.timers.pop(step_id, None)
    elif record.kind in _ENDS_TASK:
        asked.tasks.pop(step_id, None)
    elif record.kind in _ENDS_REVIEW:
        asked.reviews = {place: each for place, each in asked.reviews.items() if each.id != _named(entry)}


def _named(entry: Entry) -> str:
    return str(getattr(entry, "review_id", ""))
