"""Whole cases into and out of a SQLite store, and retention, as plain functions over a connection in a transaction.

A record whose frame was dropped has the hash of it in the same column, as a text: SQLite keeps any value in any
column, so neither a log nor its reading takes more for it. It does not know when a transaction begins or ends.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from casework.protocols.codec import digest
from casework.runtime.store import queries
from casework.runtime.store.archive import (
    BroughtIn,
    Cut,
    InboxEntry,
    NotClosed,
    Retained,
    StillRead,
    Transfer,
)
from casework.runtime.store.base import CaseExists, CaseKey, CaseStatus
from casework.runtime.store.rules import INTEGER_MAX

_INSERT_CASE: Final = """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew,
                        parent, head, opened_at, changed_at, chapter)
    VALUES (?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_RECORD: Final = """
    INSERT INTO record (case_no, seq, epoch, kind, step_id, at, frame, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_ENTRY: Final = "INSERT INTO inbox (case_no, id, target, kind, frame, consumed) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_WAIT: Final = "INSERT INTO wait (case_no, place, key, kind, reason, due) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_REVIEW: Final = """
    INSERT INTO review (case_no, id, step_id, title, state, opened_at, expires, proposal_hash, frame, decision)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ENTRIES: Final = """
    SELECT id, target, kind, frame, position <= (SELECT seen FROM "case" WHERE no = case_no), consumed
    FROM inbox WHERE case_no = ? ORDER BY position
"""
_FRAMES: Final = """
    SELECT seq, frame FROM record WHERE case_no = ? AND seq >= ? AND seq < ? AND typeof(frame) = 'blob'
"""
#: What each closed case loses beside its frames.
_DROPS: Final = (
    "DELETE FROM review WHERE case_no = ?",
    "UPDATE inbox SET consumed = 1, frame = x'' WHERE case_no = ? AND consumed = 0",
)


def transfer(connection: sqlite3.Connection, key: CaseKey) -> Transfer | None:
    """Give all of one case."""
    row, number = queries.case(connection, key), queries.case_number(connection, key)
    if row is None or number is None:
        return None
    entries = connection.execute(_ENTRIES, (number,)).fetchall()
    return Transfer(
        row=row,
        records=tuple(queries.records(connection, key, 0)),
        inbox=tuple(_entry(*values) for values in entries),
        reviews=tuple(queries.reviews_of(connection, number)),
    )


def bring_in(
    connection: sqlite3.Connection, transfers: Sequence[Transfer], arrived: list[CaseKey]
) -> BroughtIn | CaseExists:
    """Take in whole cases, all or none."""
    for each in transfers:
        there = queries.case(connection, each.row.key)
        if there is not None:
            return CaseExists(there)
    for each in transfers:
        _insert(connection, each)
        if each.row.status is not CaseStatus.CLOSED:
            arrived.append(each.row.key)
    return BroughtIn(tuple(each.row.key for each in transfers))


def retain(
    connection: sqlite3.Connection, keys: Sequence[CaseKey], account: Transfer
) -> Retained | NotClosed | CaseExists:
    """Drop what closed cases contained, and bring in the account of it."""
    rows = {key: queries.case(connection, key) for key in keys}
    ongoing = tuple(key for key, row in rows.items() if row is None or row.status is not CaseStatus.CLOSED)
    if ongoing:
        return NotClosed(ongoing)
    there = queries.case(connection, account.row.key)
    if there is not None:
        return CaseExists(there)
    # What is dropped is written over, not only unlinked; the log of changes is cut off with the next checkpoint.
    connection.execute("PRAGMA secure_delete = ON")
    frames = 0
    for key in rows:
        number = queries.case_number(connection, key)
        frames += _drop(connection, number, 0, INTEGER_MAX)
        for statement in _DROPS:
            connection.execute(statement, (number,))
    connection.execute("PRAGMA secure_delete = OFF")
    _insert(connection, account)
    return Retained(frames)


def trim(connection: sqlite3.Connection, cuts: Sequence[Cut], account: Transfer) -> Retained | StillRead | CaseExists:
    """Drop the frames of earlier chapters, and bring in the account of it."""
    rows = [(cut, queries.case(connection, cut.key)) for cut in cuts]
    refused = tuple(cut.key for cut, row in rows if row is None or cut.below > row.chapter)
    if refused:
        return StillRead(refused)
    there = queries.case(connection, account.row.key)
    if there is not None:
        return CaseExists(there)
    frames = sum(_drop(connection, queries.case_number(connection, cut.key), 1, cut.below) for cut in cuts)
    _insert(connection, account)
    return Retained(frames)


def shrink(connection: sqlite3.Connection) -> None:
    """Write the file anew without what is unused in it; all or nothing, and outside of any transaction."""
    connection.execute("VACUUM")


def _drop(connection: sqlite3.Connection, number: int | None, start: int, stop: int) -> int:
    found = connection.execute(_FRAMES, (number, start, stop)).fetchall()
    kept = [(digest(frame).hex(), number, seq) for seq, frame in found if frame]
    connection.executemany("UPDATE record SET frame = ? WHERE case_no = ? AND seq = ?", kept)
    return len(kept)


def _insert(connection: sqlite3.Connection, transfer: Transfer) -> None:
    row = transfer.row
    described = (row.flow, row.version, row.source_hash, row.crew, row.parent, row.head, row.opened_at, row.changed_at)
    standing = (row.epoch, row.next_seq, row.status, row.result)
    number = connection.execute(_INSERT_CASE, (*row.key, *standing, *described, row.chapter)).lastrowid
    assert number is not None, "an insertion has a row"
    connection.executemany(
        _INSERT_RECORD,
        [
            (
                number,
                each.seq,
                each.epoch,
                each.kind,
                each.step_id,
                each.at,
                each.frame or _kept(each.frame_hash),
                each.hash,
            )
            for each in transfer.records
        ],
    )
    waits = [(number, at, wait.key, wait.kind, wait.reason, wait.due) for at, wait in enumerate(row.waits)]
    connection.executemany(_INSERT_WAIT, waits)
    for review in transfer.reviews:
        said = (review.id, review.step_id, review.title, review.state, review.opened_at, review.expires)
        connection.execute(_INSERT_REVIEW, (number, *said, review.proposal_hash, review.frame, review.decision))
    for entry in transfer.inbox:
        inserted = connection.execute(
            _INSERT_ENTRY, (number, entry.id, entry.target, entry.kind, entry.frame, not entry.kind)
        )
        if entry.kind and entry.seen:
            connection.execute('UPDATE "case" SET seen = ? WHERE no = ?', (inserted.lastrowid, number))


def _kept(frame_hash: bytes) -> str | bytes:
    return frame_hash.hex() if frame_hash else b""


def _entry(item_id: str, target: str, kind: object, frame: object, seen: int, consumed: int) -> InboxEntry:
    if consumed:
        return InboxEntry(item_id, target)
    return InboxEntry(item_id, target, queries.text(kind), queries.octets(frame), seen=bool(seen))
