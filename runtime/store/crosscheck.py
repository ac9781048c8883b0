"""Holds what a store keeps of a case beside its log against the log: its row, its reviews, its unread messages.

The log is what is true: its chain was verified before. What follows from it is worked out anew (`fold`) and compared,
so a row that was changed, a question that is in the queue though it was answered, a decision or a message that nobody
could read any more are told. Contents may be missing only as a command drops them; of a log whose first record was
dropped follows what needs none, and of one whose first record is of a newer version nothing.
It does not know how a store keeps what it gives.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from casework.protocols.codec import decode_entry, kind_of
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, Cancel, Decision, Entry, Reported
from casework.runtime.fold import COLUMNS, Fold, fold
from casework.runtime.store.archive import InboxEntry, Transfer, oddly_without
from casework.runtime.store.base import CaseStatus, Record, ReviewRow, WaitKind
from casework.runtime.store.rules import DECIDED, OPEN, WITHDRAWN, decision_item_id
from casework.runtime.store.waitcheck import odd_wait

#: Kinds of records that were messages.
_MESSAGES: Final = frozenset({"arrived", "cancel", "reported"})
#: The step under which stands that one was set aside.
_ASIDE: Final = "case:(aside)"
#: How much later than its record, in microseconds, a review may be in the queue: once it had a moment of its own.
_QUEUED_MICROS_MAX: Final = 60_000_000
#: Columns of a row that follow from a log without contents.
_BARE: Final = ("next_seq", "head", "opened_at", "chapter")
#: How often a case can have been owned: far more often than ever happens, and the next claims must find a number too.
EPOCH_MAX: Final = 1 << 62
#: Columns of a review that its record says.
_ASKED: Final = ("step_id", "title", "expires", "proposal_hash", "frame")


def difference(transfer: Transfer) -> tuple[int, str] | None:
    """Give the first thing that is not as a case's log says, as (seq, why); the log itself has been verified."""
    return next(_differences(transfer, fold(transfer.row.key, transfer.records)), None)


def _differences(transfer: Transfer, folded: Fold) -> Iterator[tuple[int, str]]:
    row, last = transfer.row, folded.next_seq - 1
    if (odd := oddly_without(transfer.records)) is not None:
        yield odd, "its contents are missing, and neither retention nor compaction drops them so"
    first = transfer.records[0].frame
    if first and _entry(first) is None:
        return
    for column in COLUMNS if first else _BARE:
        if getattr(row, column) != getattr(folded, column):
            yield last, f"its row says another {column} than its log"
    if row.epoch < folded.epoch_min:
        yield last, f"its row says that it was owned {row.epoch} times, its log {folded.epoch_min}"
    if row.epoch > EPOCH_MAX:
        yield last, f"its row says that it was owned {row.epoch} times, which is more than can be"
    if folded.closed is not (row.status is CaseStatus.CLOSED):
        yield last, f"its log says that it {'ended' if folded.closed else 'goes on'}, but its row says {row.status}"
    if wait := odd_wait(row, transfer.records[folded.chapter :]):
        yield last, wait
    yield from _of_reviews(transfer, folded)
    for entry in transfer.inbox:
        if why := _of_message(transfer, entry):
            yield last, f"message {entry.id} in its inbox {why}"
    yield from _of_taken(transfer)


def _of_reviews(transfer: Transfer, folded: Fold) -> Iterator[tuple[int, str]]:
    asked, unread = _places(transfer), {entry.id: entry.frame for entry in transfer.inbox if entry.kind}
    kept = {review.id: review for review in transfer.reviews}
    frames = {bool(record.frame) for record in transfer.records}
    for made in folded.reviews:
        row = kept.pop(made.id, None)
        if row is not None:
            gone = row.state == WITHDRAWN and made.state == OPEN and not folded.closed
            why = "was taken out of the queue, though nobody decided" if gone else _of_review(made, row, unread)
        else:
            why = "is not in the queue, though nobody decided" if made.state == OPEN and not folded.closed else ""
        if why:
            yield asked[made.step_id], f"review {made.id} {why}"
    # Retention takes reviews out together with the log; of one that an earlier chapter asked for nothing follows.
    for review_id in kept if len(frames) == 1 else ():
        yield folded.next_seq - 1, f"review {review_id} is in the queue, but not in the log"


def _of_review(made: ReviewRow, row: ReviewRow, unread: dict[str, bytes]) -> str:
    other = [column for column in _ASKED if getattr(made, column) != getattr(row, column)]
    if other:
        return f"has another {other[0]} than in the log"
    if row.state not in {OPEN, DECIDED, WITHDRAWN}:
        return f"is {row.state!r}, which is nothing that a review can be"
    if not 0 <= row.opened_at - made.opened_at <= _QUEUED_MICROS_MAX:
        return "is in the queue since another moment than in the log"
    if row.decision and (row.state == OPEN or (made.state == DECIDED == row.state and row.decision != made.decision)):
        return "has a decision in the queue that is not in the log"
    if row.state == OPEN and made.state != OPEN:
        return f"is open in the queue, but {made.state} in the log"
    if row.state == DECIDED and made.state == OPEN and unread.get(decision_item_id(row.id)) != row.decision:
        return "was decided, but its case never hears of it"
    return ""


def _places(transfer: Transfer) -> dict[str, int]:
    return {record.step_id: record.seq for record in transfer.records if record.kind == "review"}


def _of_message(transfer: Transfer, item: InboxEntry) -> str:
    """Say what is wrong with an item that nobody has taken out, or nothing."""
    entry = _entry(item.frame) if item.kind else None
    if not item.kind:
        return ""
    if entry is None or kind_of(entry) != item.kind:
        return "cannot be read"
    if isinstance(entry, Arrived | Cancel | Reported) and entry.message_id != item.id:
        return f"says that it is message {entry.message_id}"
    if item.target not in {"", transfer.row.key.case_id, entry.key if isinstance(entry, Arrived) else ""}:
        return f"is for {item.target!r}"
    awaited = {wait.key for wait in transfer.row.waits if wait.kind is WaitKind.EVIDENCE}
    seen = item.seen and isinstance(entry, Arrived) and entry.key in awaited
    if seen and item.id not in _set_aside(transfer.records):
        return "is what it waits for, but its row says that it has seen it"
    return ""


def _set_aside(records: Sequence[Record]) -> set[str]:
    """Name the messages that were set aside, for they ended whoever took them."""
    told = [_entry(record.frame) for record in records if record.step_id == _ASIDE]
    return {entry.subject for entry in told if isinstance(entry, Decision)}


def _of_taken(transfer: Transfer) -> Iterator[tuple[int, str]]:
    """Tell which messages are in the log, but not among those that came: they would be taken again."""
    came = {entry.id: entry.kind for entry in transfer.inbox}
    for record in transfer.records:
        entry = _entry(record.frame) if record.kind in _MESSAGES else None
        if isinstance(entry, Arrived | Cancel | Reported) and came.get(entry.message_id) != "":
            yield record.seq, f"message {entry.message_id} is here, but its inbox does not say that it was taken"


def _entry(frame: bytes) -> Entry | None:
    try:
        return decode_entry(frame)
    except ProtocolError:
        return None
