"""What is written to a SQLite store, as plain functions over a connection inside a transaction.

Each function decides first and writes after, so a refusal leaves nothing behind and never fails the others of its
batch. Who got an item or was opened is added to `arrived`, to be told once the commit is durable.
It does not know when a transaction begins or ends.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from casework.runtime.store import queries, rules, sqlite_accounts
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseKey,
    CaseOpened,
    CaseStatus,
    Conflict,
    DecisionRefused,
    DecisionTaken,
    Delivered,
    Duplicate,
    Fenced,
    InboxItem,
    Nobody,
    Opening,
    Record,
    ReviewRow,
    Wait,
)
from casework.runtime.store.chain import GENESIS, chain
from casework.runtime.store.sqlite_many import Many
from casework.runtime.store.sqlite_seals import seal

#: Adds records, see `record_values`.
RECORDS: Final = Many("INSERT INTO record VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?)", long=6)
#: Adds those cases that are not there, see `case_values`.
CASES: Final = Many(
    """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew,
                        parent, head, opened_at, changed_at, claims)
    VALUES """,
    "(?, ?, ?, 1, ?, 'open', '', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    " ON CONFLICT (tenant, case_id) DO NOTHING",
)
_INSERT_REVIEW: Final = "INSERT OR IGNORE INTO review VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: A decision that the case has not consumed comes too late.
_WITHDRAW: Final = """
    UPDATE review SET state = 'withdrawn' WHERE id = ? AND case_no = ? AND (state = 'open' OR EXISTS
        (SELECT 1 FROM inbox i WHERE i.case_no = review.case_no AND i.id = ? AND NOT i.consumed))
"""
_UNSEEN: Final = "SELECT 1 FROM inbox WHERE case_no = ? AND consumed = 0 AND position > ? LIMIT 1"
_CONSUME: Final = "UPDATE inbox SET consumed = 1, frame = x'' WHERE case_no = ? AND id = ?"
_STANDING: Final = """
    SELECT no, epoch, next_seq, node, head, changed_at, EXISTS (SELECT 1 FROM wait w WHERE w.case_no = no)
    FROM "case" WHERE tenant = ? AND case_id = ?
"""
_ADVANCE: Final = """
    UPDATE "case" SET next_seq = ?, node = ?, status = ?, result = ?, head = ?, changed_at = ?, claims = claims * ?
    WHERE no = ?
"""
_WAITING: Final = """
    SELECT DISTINCT c.no, c.case_id FROM wait w JOIN "case" c ON c.no = w.case_no
    WHERE w.key = ? AND c.tenant = ? ORDER BY c.no
"""
_HAD: Final = """
    SELECT c.case_id FROM inbox i JOIN "case" c ON c.no = i.case_no
    WHERE i.id = ? AND i.target = ? AND c.tenant = ? ORDER BY c.no
"""


def append(connection: sqlite3.Connection, append: Append, arrived: list[CaseKey]) -> Appended | Fenced | Conflict:
    """Append to one case, everything or nothing."""
    standing = connection.execute(_STANDING, append.key).fetchone()
    if standing is None:
        return Fenced(0)
    number, epoch, next_seq, node, head, changed_at, waiting = standing
    refusal = rules.append_refusal(append, epoch=epoch, next_seq=next_seq, node=node)
    if refusal is not None:
        return refusal
    head = _log(connection, number, append.key, append.records, head)
    ended = append.status is CaseStatus.CLOSED
    if append.records:
        changed_at = append.records[-1].at
    kept = "" if append.release or ended else node
    next_seq += len(append.records)
    # Values of exactly the types that SQLite knows: any other is looked up in what it could be adapted by.
    status, counts = str(append.status), int(not (append.records or append.release))
    connection.execute(_ADVANCE, (next_seq, kept, status, append.result, head, changed_at, counts, number))
    if append.release:
        connection.execute('UPDATE "case" SET seen = ? WHERE no = ?', (append.inbox_seen, number))
    if append.chapter is not None:
        connection.execute('UPDATE "case" SET chapter = ? WHERE no = ?', (append.chapter, number))
    if append.pinned is not None:
        connection.execute('UPDATE "case" SET version = ?, source_hash = ? WHERE no = ?', (*append.pinned, number))
    waits = () if ended else append.waits
    if waits or (waiting and waits is not None):
        _await(connection, number, waits)
    _change_reviews(connection, number, append)
    if append.consumed:
        connection.executemany(_CONSUME, [(number, item_id) for item_id in append.consumed])
    if append.settles:
        sqlite_accounts.settle(connection, append.settles, append.epoch)
    arrived += [opening.key for opening in append.opens if _open(connection, opening)]
    refused = [item for opening in append.opens if (item := _refused(connection, opening)) is not None]
    arrived += [key for item in (*append.sends, *refused) if (key := _send(connection, item)) is not None]
    parks = append.release and append.status is CaseStatus.PARKED
    rests = parks and connection.execute(_UNSEEN, (number, append.inbox_seen)).fetchone() is None
    return rules.appended(append, head, rests=rests)


def case_values(opening: Opening, head: bytes) -> tuple[object, ...]:
    """Give the row of a case that is opened, whose first record has that hash."""
    at, taken = opening.record.at, int(bool(opening.node))
    described = (opening.flow, opening.version, opening.source_hash, opening.crew, opening.parent)
    return (*opening.key, taken, opening.node, *described, head, at, at, taken)


def record_values(number: int, record: Record, hash_: bytes) -> tuple[int, int, int, str, str, int, bytes, bytes]:
    """Give the row of a record of the case with that number."""
    return number, record.seq, record.epoch, record.kind, record.step_id, record.at, record.frame, hash_


def open_case(connection: sqlite3.Connection, opening: Opening, arrived: list[CaseKey]) -> CaseOpened | CaseExists:
    """Open a case."""
    if not _open(connection, opening):
        there = queries.case(connection, opening.key)
        assert there is not None, "what cannot be opened is there"
        return CaseExists(there)
    if not opening.node:
        arrived.append(opening.key)
    return CaseOpened(opening.key)


def deliver(
    connection: sqlite3.Connection, tenant: str, target: str, item: tuple[str, str, bytes], arrived: list[CaseKey]
) -> Delivered | Duplicate | Nobody:
    """Put an item (id, kind, frame) into the inbox of a case, or of every case that waits for a key."""
    if not (rules.storable(tenant) and rules.storable(target)):
        return Nobody(target)
    receivers = _receivers(connection, tenant, target)
    fresh = [key for number, key in receivers if _put(connection, number, target, item)]
    arrived += fresh
    if fresh:
        return Delivered(tuple(fresh))
    had = [key for _, key in receivers] or [
        CaseKey(tenant, case_id) for (case_id,) in connection.execute(_HAD, (item[0], target, tenant)).fetchall()
    ]
    return Duplicate(tuple(had)) if had else Nobody(target)


def decide(
    connection: sqlite3.Connection, review_id: str, proposal_hash: str, frame: bytes, now: int, arrived: list[CaseKey]
) -> DecisionTaken | DecisionRefused:
    """Decide an open review by compare-and-set, and tell its case; raises ValueError for damaged rows."""
    decision = rules.decision_of(review_id, frame)
    review = queries.review(connection, review_id)
    row = queries.case(connection, review.key) if review else None
    closed = row is not None and row.status is CaseStatus.CLOSED
    settled = rules.settled_decision(review, decision, proposal_hash=proposal_hash, now=now, closed=closed)
    if settled is not None:
        return settled
    assert review is not None, "an absent review is settled"
    number = queries.case_number(connection, review.key)
    if number is None:
        raise ValueError(f"the case of review {review_id} is not found under its name")
    connection.execute("UPDATE review SET state = 'decided', decision = ? WHERE id = ?", (frame, review_id))
    _put(connection, number, "", (rules.decision_item_id(review_id), rules.DECIDED, frame))
    arrived.append(review.key)
    return DecisionTaken(msgspec.structs.replace(review, state=rules.DECIDED, decision=frame))


def renew(connection: sqlite3.Connection, node: str, until: int) -> None:
    """Say that a node lives until then."""
    connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (node, until))
    if until == 0:
        connection.execute('UPDATE "case" SET claims = 0 WHERE node = ?', (node,))


def forget_nodes(connection: sqlite3.Connection) -> None:
    """Let every lease end: whoever takes the file's ownership knows that the nodes before it are gone."""
    connection.execute("DELETE FROM node")


def remember(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Set a setting."""
    connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))
    seal(connection, name)


def extend(connection: sqlite3.Connection, name: str, text: str) -> None:
    """Add to the end of a setting, which begins empty."""
    connection.execute(
        "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value || excluded.value",
        (name, text),
    )
    seal(connection, name)


def reseat(connection: sqlite3.Connection) -> int:
    """Give messages the next positions whose positions none was given: after the last there is, no other could come.

    Returns how many there were.
    """
    last = queries.last_position(connection)
    beyond = connection.execute("SELECT position FROM inbox WHERE position > ? ORDER BY position", (last,)).fetchall()
    moves = [(last + nth, position) for nth, (position,) in enumerate(beyond, start=1)]
    if moves:
        connection.executemany("UPDATE inbox SET position = ? WHERE position = ?", moves)
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'inbox'", (last + len(moves),))
    return len(moves)


def put_artifact(connection: sqlite3.Connection, sha256: str, data: bytes) -> None:
    """Keep bytes under their content hash.

    Raises:
        FrameInvalid: the hash is another.
    """
    rules.assert_content(sha256, data)
    connection.execute("INSERT OR IGNORE INTO artifact VALUES (?, ?)", (sha256, data))


def _log(connection: sqlite3.Connection, number: int, key: CaseKey, records: Sequence[Record], head: bytes) -> bytes:
    rows = [record_values(number, record, hash_) for record, hash_ in chain(head, key, records)]
    RECORDS.execute(connection, rows)
    return rows[-1][-1] if rows else head


def _await(connection: sqlite3.Connection, number: int, waits: Sequence[Wait]) -> None:
    connection.execute("DELETE FROM wait WHERE case_no = ?", (number,))
    if waits:
        rows = [(number, place, wait.key, wait.kind, wait.reason, wait.due) for place, wait in enumerate(waits)]
        connection.executemany("INSERT INTO wait VALUES (?, ?, ?, ?, ?, ?)", rows)


def _change_reviews(connection: sqlite3.Connection, number: int, append: Append) -> None:
    if append.reviews_opened:
        connection.executemany(_INSERT_REVIEW, [_review_values(number, review) for review in append.reviews_opened])
    if append.reviews_withdrawn:
        items = [(review_id, number, rules.decision_item_id(review_id)) for review_id in append.reviews_withdrawn]
        connection.executemany(_WITHDRAW, items)


def _review_values(number: int, review: ReviewRow) -> tuple[object, ...]:
    return (
        review.id,
        number,
        review.step_id,
        review.title,
        review.state,
        review.opened_at,
        review.expires,
        review.proposal_hash,
        review.frame,
        review.decision,
    )


def _open(connection: sqlite3.Connection, opening: Opening) -> bool:
    ((record, head),) = chain(GENESIS, opening.key, (opening.record,))
    (cursor,) = CASES.execute(connection, [case_values(opening, head)])
    if not cursor.rowcount:
        return False
    assert cursor.lastrowid is not None, "an insertion has a row"
    RECORDS.execute(connection, [record_values(cursor.lastrowid, record, head)])
    return True


def _refused(connection: sqlite3.Connection, opening: Opening) -> InboxItem | None:
    if opening.otherwise is None:
        return None
    (parent,) = connection.execute('SELECT parent FROM "case" WHERE tenant = ? AND case_id = ?', opening.key).fetchone()
    return rules.refused(opening, parent)


def _send(connection: sqlite3.Connection, item: InboxItem) -> CaseKey | None:
    """Send an item, or what goes out in its place; give who got it."""
    receiver = connection.execute(
        """SELECT no FROM "case" WHERE tenant = ? AND case_id = ? AND status <> 'closed'""", item.key
    ).fetchone()
    if receiver is None:
        return None if item.otherwise is None else _send(connection, item.otherwise)
    return item.key if _put(connection, receiver[0], "", (item.id, item.kind, item.frame)) else None


def _put(connection: sqlite3.Connection, number: int, target: str, item: tuple[str, str, bytes]) -> bool:
    item_id, kind, frame = item
    cursor = connection.execute(
        "INSERT OR IGNORE INTO inbox (case_no, id, target, kind, frame) VALUES (?, ?, ?, ?, ?)",
        (number, item_id, target, kind, frame),
    )
    return cursor.rowcount == 1


def _receivers(connection: sqlite3.Connection, tenant: str, target: str) -> list[tuple[int, CaseKey]]:
    named = connection.execute(
        """SELECT no FROM "case" WHERE tenant = ? AND case_id = ? AND status <> 'closed'""", (tenant, target)
    ).fetchone()
    if named is not None:
        return [(named[0], CaseKey(tenant, target))]
    waiting = connection.execute(_WAITING, (target, tenant)).fetchall()
    return [(number, CaseKey(tenant, case_id)) for number, case_id in waiting]
