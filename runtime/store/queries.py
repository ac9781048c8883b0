"""What is read from a SQLite store, as plain functions over a connection.

The owner runs them on its writer thread between two commits, a reader inside a short transaction of its own, so a
function may need several statements for one answer. Raises ValueError for values that are not of their type.
It does not know who reads.
"""

import json
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from casework.runtime.store.base import (
    CaseKey,
    CaseRow,
    CaseStatus,
    InboxItem,
    Record,
    ReviewRow,
    Wait,
    WaitKind,
)
from casework.runtime.store.rules import UNREADABLE, storable
from casework.runtime.store.waiting import Place

_CASE: Final = (
    "SELECT no, tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew, parent, "
    'head, opened_at, changed_at, claims, chapter FROM "case"'
)
_REVIEW: Final = (
    "SELECT r.id, c.tenant, c.case_id, r.step_id, r.title, r.state, r.opened_at, r.expires, r.proposal_hash, "
    'r.frame, r.decision FROM review r JOIN "case" c ON c.no = r.case_no'
)
#: Whether what a case has seen of its inbox is a position, or that of one which is set aside and says why; anything
#: else is damage.
FITTING: Final = """
    typeof({0}) = 'integer' AND {0} >= 0 AND (
        {0} <= coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0) OR {0} = 9223372036854775807
            AND EXISTS (SELECT 1 FROM wait a WHERE a.case_no = no AND a.kind = 'operator')
    )
"""
_UNREAD: Final = "SELECT id, kind, frame, position FROM inbox WHERE case_no = ? AND consumed = 0 ORDER BY position"
#: Numbers of cases are given as one text like "[1, 2]", so each of these is one statement for however many there are.
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_CASES_BY_NUMBER: Final = " ".join(
    (_CASE.replace(" FROM", ", ({}) FROM"), "WHERE no IN (SELECT value FROM json_each(?))")
).format(FITTING.format("seen"))
_WAITS_OF: Final = """
    SELECT case_no, key, kind, reason, due FROM wait
    WHERE case_no IN (SELECT value FROM json_each(?)) ORDER BY case_no, place
"""
#: A moment that cannot be read is none, so that whoever reads on after a case never comes to it again.
_AWAITING: Final = """
    SELECT no FROM (
        SELECT no, CASE typeof(changed_at) WHEN 'integer' THEN changed_at ELSE 0 END AS at, tenant, case_id FROM "case"
        WHERE no IN (SELECT case_no FROM wait WHERE key IN (SELECT value FROM json_each(?)))
    ) WHERE (at, tenant, case_id) > (?, ?, ?) ORDER BY at, tenant, case_id LIMIT ?
"""
_LOGS: Final = """
    SELECT r.case_no, r.seq, r.epoch, r.kind, r.step_id, r.at, r.frame, r.hash
    FROM "case" c JOIN record r ON r.case_no = c.no AND r.seq >= c.chapter
    WHERE c.no IN (SELECT value FROM json_each(?)) ORDER BY c.no, r.seq
"""
_LOG: Final = """
    SELECT seq, epoch, kind, step_id, at, frame, hash FROM record WHERE case_no = ? AND seq >= ? ORDER BY seq
"""
_INBOXES: Final = """
    SELECT case_no, id, kind, frame, position FROM inbox
    WHERE case_no IN (SELECT value FROM json_each(?)) AND consumed = 0 ORDER BY case_no, position
"""
#: A node that is dead holds nothing, so a timer counts unless the asker or somebody with a lease has the case. The
#: timers are looked at in their order, until the first that counts.
_DUE: Final = """
    SELECT w.due FROM wait w CROSS JOIN "case" c ON c.no = w.case_no
    WHERE w.kind = 'timer' AND typeof(w.due) = 'integer' AND c.status = 'parked'
        AND c.node NOT IN (SELECT name FROM node UNION ALL SELECT ?)
    ORDER BY w.due LIMIT 1
"""

#: Types of the columns of `_CASE`, and how each is told where another stands.
_OF_A_CASE: Final = (int, str, str, int, int, *[str] * 8, bytes, int, int, int, int)
_KEPT: Final = {int: "a number is", str: "a text is", bytes: "bytes are"}
#: Types of a record's columns, but of the hash that stands in place of its frame.
_OF_A_RECORD: Final = (int, int, str, str, int, bytes, bytes)
#: What no frame is, nor a hash.
_NO_FRAME: Final = b"\xc1"
#: What stands in place of a frame that retention dropped.
DROPPED: Final = re.compile("[0-9a-f]{64}")


def case_number(connection: sqlite3.Connection, key: CaseKey) -> int | None:
    """Give the number under which the tables know a case."""
    if not (storable(key.tenant) and storable(key.case_id)):
        return None
    found = connection.execute('SELECT no FROM "case" WHERE tenant = ? AND case_id = ?', key).fetchone()
    return None if found is None else int(found[0])


def case(connection: sqlite3.Connection, key: CaseKey) -> CaseRow | None:
    """Give one case with its waits."""
    if not (storable(key.tenant) and storable(key.case_id)):
        return None
    found = connection.execute(f"{_CASE} WHERE tenant = ? AND case_id = ?", key).fetchone()
    return None if found is None else _shown(found, _waits(connection, found[0]))


def among(statement: str, numbers: Collection[int]) -> tuple[str, tuple[object, ...]]:
    """Give a statement about cases for those of these numbers: for one alone it needs no table made of a list."""
    if len(numbers) == 1:
        return statement.replace(_AMONG, "= ?"), (*numbers,)
    return statement, (str(list(numbers)),)


def cases_by_number(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, tuple[CaseRow, bool]]:
    """Give cases that are there, by their numbers, and whether what each has seen of its inbox can be read."""
    waits: dict[int, list[Wait]] = {}
    for number, *wait in connection.execute(*among(_WAITS_OF, numbers)).fetchall():
        waits.setdefault(number, []).append(_wait(wait))
    rows = connection.execute(*among(_CASES_BY_NUMBER, numbers)).fetchall()
    return {row[0]: (_shown(row[:-1], tuple(waits.get(row[0], ()))), bool(row[-1])) for row in rows}


def case_alone(connection: sqlite3.Connection, number: int) -> CaseRow:
    """Give a case that is there, by its number, without its waits."""
    (row,) = connection.execute(*among(_CASES_BY_NUMBER, [number])).fetchall()
    return _shown(row[:-1], ())


def logs(connection: sqlite3.Connection, rows: Mapping[int, CaseRow]) -> dict[int, list[Record]]:
    """Give the logs of cases by their numbers, each from its chapter on, in order."""
    if len(rows) == 1:
        return {number: log(connection, number, row.chapter) for number, row in rows.items()}
    found: dict[int, list[Record]] = {number: [] for number in rows}
    for number, *row in connection.execute(_LOGS, (str(list(rows)),)).fetchall():
        found[number].append(_record(row))
    return found


def log(connection: sqlite3.Connection, number: int, from_seq: int) -> list[Record]:
    """Give the log of a case by its number, from `from_seq` on, in order."""
    return [_record(row) for row in connection.execute(_LOG, (number, from_seq)).fetchall()]


def inboxes(connection: sqlite3.Connection, rows: Mapping[int, CaseRow]) -> dict[int, list[InboxItem]]:
    """Give what waits for cases by their numbers, in order of insertion."""
    found: dict[int, list[InboxItem]] = {}
    for number, *row in connection.execute(*among(_INBOXES, rows)).fetchall():
        found.setdefault(number, []).append(_item(rows[number].key, *row))
    return found


def damaged(row: CaseRow) -> bool:
    """Say whether a row was given in place of one that holds values of other types."""
    return not row.head


def cases(
    connection: sqlite3.Connection, tenant: str | None, status: CaseStatus | None, parent: str | None
) -> Sequence[CaseRow]:
    """Give cases with their waits, ordered by tenant and case id."""
    asked = {"tenant": tenant, "status": status, "parent": parent}
    given = {name: value for name, value in asked.items() if value is not None}
    where = " AND ".join(f"{name} = :{name}" for name in given) or "1"
    rows = connection.execute(f"{_CASE} WHERE {where} ORDER BY tenant, case_id", given).fetchall()
    waits: dict[int, list[Wait]] = {}
    for number, *wait in connection.execute("SELECT case_no, key, kind, reason, due FROM wait ORDER BY case_no, place"):
        waits.setdefault(number, []).append(_wait(wait))
    return [_shown(row, tuple(waits.get(row[0], ()))) for row in rows]


def awaiting(connection: sqlite3.Connection, keys: Sequence[str], after: Place, limit: int | None) -> Sequence[CaseRow]:
    """Give the cases that wait for one of these keys, who changed longest ago first."""
    asked = (json.dumps([key for key in keys if storable(key)]), *after, -1 if limit is None else limit)
    numbers = [number for (number,) in connection.execute(_AWAITING, asked).fetchall()]
    rows = cases_by_number(connection, numbers) if numbers else {}
    return [rows[number][0] for number in numbers]


def records(connection: sqlite3.Connection, key: CaseKey, from_seq: int) -> Sequence[Record]:
    """Give a case's log from `from_seq` on, in order."""
    number = case_number(connection, key)
    return [] if number is None else [_sound(record) for record in log(connection, number, from_seq)]


def reviews(connection: sqlite3.Connection, state: str | None) -> Sequence[ReviewRow]:
    """Give reviews, oldest first."""
    rows = connection.execute(
        f"{_REVIEW} WHERE :state IS NULL OR r.state = :state ORDER BY r.opened_at, r.id", {"state": state}
    )
    return [_listed(row) for row in rows.fetchall()]


def reviews_of(connection: sqlite3.Connection, number: int) -> Sequence[ReviewRow]:
    """Give the reviews of a case that is there, by its number, oldest first."""
    rows = connection.execute(f"{_REVIEW} WHERE r.case_no = ? ORDER BY r.opened_at, r.id", (number,))
    return [_review_row(row) for row in rows.fetchall()]


def review(connection: sqlite3.Connection, review_id: str) -> ReviewRow | None:
    """Give one review."""
    if not storable(review_id):
        return None
    found = connection.execute(f"{_REVIEW} WHERE r.id = ?", (review_id,)).fetchone()
    return None if found is None else _review_row(found)


def artifact(connection: sqlite3.Connection, sha256: str) -> bytes | None:
    """Give the bytes stored under their content hash."""
    if not storable(sha256):
        return None
    found = connection.execute("SELECT data FROM artifact WHERE sha256 = ?", (sha256,)).fetchone()
    return None if found is None else octets(found[0])


def setting(connection: sqlite3.Connection, name: str) -> str | None:
    """Give a remembered setting."""
    found = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return None if found is None else text(found[0])


def inbox(connection: sqlite3.Connection, key: CaseKey) -> Sequence[InboxItem]:
    """Give what waits for a case, in order of insertion."""
    rows = connection.execute(_UNREAD, (case_number(connection, key),)).fetchall()
    return [_item(key, *row) for row in rows]


def last_position(connection: sqlite3.Connection) -> int:
    """Give the position of the item that came last to any inbox."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inbox'").fetchone()
    return int(found[0]) if found else 0


def held(connection: sqlite3.Connection, node: str) -> Sequence[CaseKey]:
    """Give the cases that a node holds."""
    return [CaseKey(*row) for row in connection.execute('SELECT tenant, case_id FROM "case" WHERE node = ?', (node,))]


def next_due(connection: sqlite3.Connection, node: str) -> int | None:
    """Give the earliest due moment of the timers of parked cases that `node` may claim."""
    due = connection.execute(_DUE, (node,)).fetchone()
    return None if due is None else int(due[0])


def _record(row: Sequence[Any]) -> Record:
    return Record(*row) if type(row[5]) is bytes else _without_frame(*row)


def _without_frame(seq: int, epoch: int, kind: str, step_id: str, at: int, kept: object, hash_: bytes) -> Record:
    if isinstance(kept, str) and DROPPED.fullmatch(kept):
        # Retention dropped the frame, and left its hash in its place.
        return Record(seq, epoch, kind, step_id, at, b"", hash_, bytes.fromhex(kept))
    return Record(seq, epoch, kind, step_id, at, cast("bytes", kept), hash_)


def _sound(record: Record) -> Record:
    """Give a record; in place of what was never written values of the same types, by which its chain breaks too."""
    seq, epoch, kind, step_id, at, frame, hash_, frame_hash = msgspec.structs.astuple(record)
    if tuple(map(type, (seq, epoch, kind, step_id, at, frame, hash_))) == _OF_A_RECORD:
        return record
    seq, epoch, at = (number if type(number) is int else -1 for number in (seq, epoch, at))
    frame, hash_ = (part if type(part) is bytes else _NO_FRAME for part in (frame, hash_))
    return Record(seq, epoch, str(kind), str(step_id), at, frame, hash_, frame_hash)


def _item(key: CaseKey, item_id: object, kind: object, frame: object, position: int) -> InboxItem:
    """Give an item; of one that is damaged what is left of it, which its case cannot read and says so."""
    if type(frame) is bytes and type(kind) is str:
        return InboxItem(key, text(item_id), kind, frame, position)
    return InboxItem(key, text(item_id), str(kind), b"", position)


def _waits(connection: sqlite3.Connection, number: int) -> tuple[Wait, ...]:
    rows = connection.execute("SELECT key, kind, reason, due FROM wait WHERE case_no = ? ORDER BY place", (number,))
    return tuple(_wait(row) for row in rows.fetchall())


def _wait(row: Sequence[object]) -> Wait:
    key, kind, reason, due = row
    try:
        return Wait(str(key), WaitKind(str(kind)), str(reason), integer(due))
    except ValueError as error:
        return Wait(str(key), WaitKind.OPERATOR, f"what it waits for cannot be read: {error}")


def _shown(row: tuple[Any, ...], waits: tuple[Wait, ...]) -> CaseRow:
    """Give a case; of one whose row cannot be read what is sure, so that it hides no other and says why."""
    try:
        return _case_row(row, waits)
    except ValueError as error:
        key = CaseKey(str(row[1]), str(row[2]))
        wait = Wait(f"operator:{key.case_id}", WaitKind.OPERATOR, f"{UNREADABLE}: {error}")
        return CaseRow(key, 0, 0, "", CaseStatus.PARKED, "", "", "", "", "", "", b"", 0, 0, (wait,))


def _case_row(row: tuple[Any, ...], waits: tuple[Wait, ...]) -> CaseRow:
    if tuple(map(type, row)) != _OF_A_CASE:
        raise ValueError(_odd(row))
    _, tenant, case_id, epoch, next_seq, node, status, result, flow, version, source_hash, crew, parent, *rest = row
    head, opened_at, changed_at, claims, chapter = rest
    below = [number for number in (epoch, next_seq, claims, chapter) if number < 0]
    if below:
        raise ValueError(f"{below[0]} is kept where something is counted")
    return CaseRow(
        key=CaseKey(tenant, case_id),
        epoch=epoch,
        next_seq=next_seq,
        node=node,
        status=CaseStatus(status),
        result=result,
        flow=flow,
        version=version,
        source_hash=source_hash,
        crew=crew,
        parent=parent,
        head=head,
        opened_at=opened_at,
        changed_at=changed_at,
        waits=waits,
        claims=claims,
        chapter=chapter,
    )


def _odd(row: tuple[Any, ...]) -> str:
    """Say of the first value of a case's row that is not of its type what it is kept as."""
    pairs = zip(row, _OF_A_CASE, strict=True)
    value, type_ = next((value, type_) for value, type_ in pairs if type(value) is not type_)
    return f"{_KEPT[type_]} kept as {type(value).__name__}"


def _review_row(row: tuple[object, ...]) -> ReviewRow:
    review_id, tenant, case_id, step_id, title, state, opened_at, expires, proposal_hash, frame, decision = row
    return ReviewRow(
        id=str(review_id),
        key=CaseKey(str(tenant), str(case_id)),
        step_id=str(step_id),
        title=str(title),
        state=str(state),
        opened_at=integer(opened_at),
        expires=integer(expires),
        proposal_hash=str(proposal_hash),
        frame=octets(frame),
        decision=octets(decision),
    )


def _listed(row: tuple[object, ...]) -> ReviewRow:
    """Give a review of a list; of one whose row cannot be read what is left, so that it hides no other."""
    try:
        return _review_row(row)
    except ValueError as error:
        review_id, tenant, case_id, step_id, _, state, *_ = row
        key = CaseKey(str(tenant), str(case_id))
        title = f"{UNREADABLE}: {error}"
        return ReviewRow(str(review_id), key, str(step_id), title, str(state), 0, 0, "", b"")


# SQLite keeps any value in any column, and a file can be changed by others: what is not of its type is the file's
# fault, and is said as ValueError.


def integer(value: object) -> int:
    """Give a number; raises ValueError for anything else."""
    if not isinstance(value, int):
        raise ValueError(f"a number is kept as {type(value).__name__}")
    return value


def text(value: object) -> str:
    """Give a text; raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"a text is kept as {type(value).__name__}")
    return value


def octets(value: object) -> bytes:
    """Give bytes; raises ValueError for anything else."""
    if not isinstance(value, bytes):
        raise ValueError(f"bytes are kept as {type(value).__name__}")
    return value
