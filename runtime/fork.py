"""Forks: a case as it stood after one of its records, ready to go on from there somewhere else.

A fork is what a crash right after that record would have left: the log up to it, with its hashes, and of the rest what
had come from outside. Messages that were taken later wait in its inbox again, and decisions on what had been asked by
then are there; what other cases said that were opened later, and cancels, are not. It can be given to another version
of its flow, which must do all that the log says up to there. The case that is forked is not touched.
It does not know where a fork goes on.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Cancel, Child, Decided, Entry, Migrated, Reported
from casework.runtime.errors import FlowUnknown, ForkRefused
from casework.runtime.flow.case import Flow
from casework.runtime.flow.migration import MIGRATED_STEP, difference, flow_of_version
from casework.runtime.flow.reading import Reader, known_flow
from casework.runtime.fold import decided, entry_of, entry_of_frame, fold
from casework.runtime.store.archive import InboxEntry, Transfer
from casework.runtime.store.base import CaseRow, CaseStatus, Record
from casework.runtime.store.chain import broken_at, chained
from casework.runtime.store.rules import DECIDED, OPEN, decision_item_id

#: By whom a fork is moved to another version.
BY: Final = "fork"


def forked(reader: Reader, transfer: Transfer, at: int, *, to: str = "") -> Transfer:
    """Give a case as it stood after its record `at`, to go on with the version it had, or with version `to`.

    Raises:
        ForkRefused: the log is not as it was written, there is no such record, it ended the case, what replay needs is
            no longer kept, or the version is not to be had or does something else than the log says up to there; the
            text says which.
    """
    key, records = transfer.row.key, transfer.records
    if broken := broken_at(transfer.row, records):
        raise ForkRefused(key.case_id, at, f"its log is not as it was written, at record {broken[0]}: {broken[1]}")
    if not 0 <= at < len(records):
        raise ForkRefused(key.case_id, at, f"its log has the records 0 to {len(records) - 1}")
    kept = records[: at + 1]
    if kept[-1].kind == "closed":
        raise ForkRefused(key.case_id, at, "there it had ended; name an earlier record")
    row = _row(transfer.row, kept)
    if not all(record.frame for record in kept[row.chapter :]):
        raise ForkRefused(key.case_id, at, "what its chapter contained is no longer kept")
    moved = _moved(reader, row, kept, at, to)
    inbox = tuple(_inbox(transfer, at))
    decisions = {entry.id: entry.frame for entry in inbox if entry.kind == DECIDED}
    reviews = (
        decided(review, decisions[item_id]) if (item_id := decision_item_id(review.id)) in decisions else review
        for review in fold(key, kept).reviews
    )
    return Transfer(_row(transfer.row, moved), moved, inbox, tuple(reviews))


def _row(row: CaseRow, records: Sequence[Record]) -> CaseRow:
    """Give the row of a case that has those records and is nobody's."""
    folded = fold(row.key, records)
    return replace(
        row,
        epoch=folded.epoch_min,
        next_seq=folded.next_seq,
        node="",
        status=CaseStatus.OPEN,
        result="",
        version=folded.version,
        source_hash=folded.source_hash,
        head=folded.head,
        changed_at=folded.changed_at,
        waits=(),
        chapter=folded.chapter,
        claims=0,
    )


def _moved(reader: Reader, row: CaseRow, kept: tuple[Record, ...], at: int, to: str) -> tuple[Record, ...]:
    """Give the records with which it goes on: those there are, and that it was moved, if it was."""
    case_id, last = row.key.case_id, kept[-1]
    try:
        flow = flow_of_version(reader.flows, row.flow, to) if to else known_flow(reader.flows, row)
    except FlowUnknown as error:
        raise ForkRefused(case_id, at, f"{error}; name the version with which it is to go on") from error
    if why := difference(reader, row, kept[row.chapter :], flow):
        raise ForkRefused(case_id, at, f"version {flow.version} does something else than its log says: {why}")
    if (flow.version, flow.source_hash) == (row.version, row.source_hash):
        return kept
    frame = encode(_migrated(row, flow))
    record = Record(seq=at + 1, epoch=last.epoch, kind="migrated", step_id=MIGRATED_STEP, at=last.at, frame=frame)
    return *kept, replace(record, hash=chained(last.hash, row.key, record))


def _migrated(row: CaseRow, flow: Flow) -> Migrated:
    return Migrated(
        version=flow.version,
        source_hash=flow.source_hash,
        version_before=row.version,
        source_hash_before=row.source_hash,
        by=BY,
    )


def _inbox(transfer: Transfer, at: int) -> Iterator[InboxEntry]:
    """Give what had come by record `at`, and what came from outside after it as if nobody had taken it."""
    then, later = transfer.records[: at + 1], transfer.records[at + 1 :]
    asked = {review.id for review in fold(transfer.row.key, then).reviews if review.state == OPEN}
    children = {entry.case_id for record in then if isinstance(entry := entry_of(record), Child)}
    taken = {item_id: record.frame for record in later if (item_id := _item_id(entry_of(record)))}
    for item in transfer.inbox:
        frame = taken.get(item.id, item.frame)
        entry = entry_of_frame(frame)
        if entry is None:
            yield item  # taken by then, or by nothing that the log has; or nothing that this version can read
        elif isinstance(entry, Arrived):
            yield replace(item, kind="arrived", frame=frame, seen=False)
        elif isinstance(entry, Reported) and entry.case_id in children:
            yield replace(item, kind="reported", frame=frame, seen=False)
        elif isinstance(entry, Decided) and entry.review_id in asked:
            yield replace(item, kind=DECIDED, frame=frame, seen=False)


def _item_id(entry: Entry | None) -> str:
    """Give the id under which came what a record says was taken; empty for any other record."""
    match entry:
        case Arrived() | Reported() | Cancel():
            return entry.message_id
        case Decided():
            return decision_item_id(entry.review_id)
        case _:
            return ""
