"""The short way into a SQLite file: what mostly happens, done for all cases of a batch by three statements.

The event loop runs while a statement is at work, and the thread waits for its turn after each: call by call, a batch of
openings and appends costs half as much again. But how a case stands that was opened or appended to here is known until
somebody takes it away. So it is not asked for: the statement holds each case to what was known of it (epoch, next
sequence number, node and head). Where one stands otherwise, or anything cannot be written, it raises, nothing may be
kept, and the long way finds out which one and why. What touches more than its own case and log goes that way at once;
on a SQLite before 3.33, which has no such statement, everything does.
It does not know when a transaction begins or ends.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, final

from casework.runtime.store import changes, rules
from casework.runtime.store.base import Append, CaseKey, CaseOpened, CaseStatus, Opening
from casework.runtime.store.chain import GENESIS, chain, chained
from casework.runtime.store.sqlite_call import Call
from casework.runtime.store.sqlite_many import Many

#: Cases remembered at most, some hundred bytes each; the oldest is forgotten first and costs one long way.
KNOWN_MAX: Final = 10_000
_ADVANCE: Final = Many(
    """
    UPDATE "case" AS c SET next_seq = n.column6, node = n.column7, status = n.column8, result = n.column9,
                           head = n.column10, changed_at = n.column11, claims = 0
    FROM (VALUES """,
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    """) AS n WHERE c.no = n.column1 AND c.epoch = n.column2 AND c.next_seq = n.column3 AND c.node = n.column4
                AND c.head = n.column5""",
)
_HIGHEST: Final = 'SELECT max(no) FROM "case"'
_NEWEST: Final = 'SELECT tenant, case_id, no FROM "case" ORDER BY no DESC LIMIT ?'


class Stale(Exception):
    """Some case stands otherwise than was known here, or got another number."""


class _Standing(NamedTuple):
    """How a case stands that a node holds and that waits for nothing."""

    number: int
    epoch: int
    next_seq: int
    node: str
    head: bytes


@final
class Quick:
    """The short way, and what it knows of the cases that a node holds."""

    def __init__(self) -> None:
        """Begin without knowing any case."""
        self._known: dict[CaseKey, _Standing] = {}

    def forget(self) -> None:
        """Forget all cases: what was written of them last may not hold."""
        self._known.clear()

    def write(
        self, connection: sqlite3.Connection, calls: Sequence[Call[object]], arrived: list[CaseKey]
    ) -> list[Call[object]]:
        """Carry out those calls that may go the short way, give them their values, and return the others in order.

        Raises:
            Stale, sqlite3.Error, or what makes a value that cannot be written: the transaction must be rolled back.
        """
        keys = [_about(call) for call in calls]
        times = Counter(keys)
        openings: list[tuple[Call[object], Opening]] = []
        appends: list[tuple[Call[object], Append, _Standing]] = []
        others: list[Call[object]] = []
        for call, key in zip(calls, keys, strict=True):
            append, known = call.append, self._known.pop(key, None) if key is not None else None
            if key is None or times[key] > 1:
                others.append(call)
            elif call.opening is not None:
                openings.append((call, call.opening))
            elif append is not None and known is not None and _fits(append, known):
                appends.append((call, append, known))
            else:
                others.append(call)
        rows: list[tuple[object, ...]] = []
        if openings:
            others += self._open(connection, openings, rows, arrived)
        if appends:
            self._append(connection, appends, rows)
        changes.RECORDS.execute(connection, rows)
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        return others

    def _open(
        self,
        connection: sqlite3.Connection,
        openings: Sequence[tuple[Call[object], Opening]],
        rows: list[tuple[object, ...]],
        arrived: list[CaseKey],
    ) -> list[Call[object]]:
        """Open cases, and add their records to `rows`; give the calls whose case is there."""
        heads = [chained(GENESIS, opening.key, opening.record) for _, opening in openings]
        cases = [changes.case_values(opening, head) for (_, opening), head in zip(openings, heads, strict=True)]
        cursors = changes.CASES.execute(connection, cases)
        numbers = _numbers(connection, [opening.key for _, opening in openings], cursors)
        there: list[Call[object]] = []
        for (call, opening), head in zip(openings, heads, strict=True):
            key, number = opening.key, numbers.get(opening.key)
            if number is None:
                there.append(call)
                continue
            rows.append(changes.record_values(number, opening.record, head))
            call.value = CaseOpened(key)
            if opening.node:
                self._known[key] = _Standing(number, 1, 1, opening.node, head)
            else:
                arrived.append(key)
        return there

    def _append(
        self,
        connection: sqlite3.Connection,
        appends: Sequence[tuple[Call[object], Append, _Standing]],
        rows: list[tuple[object, ...]],
    ) -> None:
        """Advance cases, and add their records to `rows`."""
        moves: list[tuple[object, ...]] = []
        for call, append, known in appends:
            number, head = known.number, known.head
            for record, hash_ in chain(known.head, append.key, append.records):
                rows.append(changes.record_values(number, record, hash_))
                head = hash_
            ended = append.status is CaseStatus.CLOSED
            now = known._replace(next_seq=known.next_seq + len(append.records), head=head)
            kept, status = "" if ended else known.node, str(append.status)
            moves.append((*known, now.next_seq, kept, status, append.result, head, append.records[-1].at))
            if not ended:
                self._known[append.key] = now
            call.value = rules.appended(append, head)
        if sum(cursor.rowcount for cursor in _ADVANCE.execute(connection, moves)) != len(moves):
            raise Stale


def _about(call: Call[object]) -> CaseKey | None:
    """Give the case that a call opens or appends to."""
    if call.append is not None:
        return call.append.key
    return None if call.opening is None else call.opening.key


def _fits(append: Append, known: _Standing) -> bool:
    """Tell whether an append only adds to its case's log, or ends it, from where that is known to stand."""
    if append.sends or append.opens or append.reviews_opened or append.reviews_withdrawn or append.settles:
        return False
    if append.waits or append.consumed or append.pinned or append.inbox_seen or append.chapter is not None:
        return False
    same = (append.epoch, append.next_seq) == (known.epoch, known.next_seq)
    return same and bool(append.records) and (append.status is CaseStatus.CLOSED or not append.release)


def _numbers(
    connection: sqlite3.Connection, keys: Sequence[CaseKey], cursors: Sequence[sqlite3.Cursor]
) -> dict[CaseKey, int]:
    """Give the numbers of the cases that were opened; those that were there before are left out."""
    opened, last = sum(cursor.rowcount for cursor in cursors), cursors[-1].lastrowid
    if opened == len(keys) and last is not None:
        # Each gets the number after the highest, as long as there is one.
        if (last,) != connection.execute(_HIGHEST).fetchone():
            raise Stale
        return {key: last - opened + place for place, key in enumerate(keys, start=1)}
    newest = connection.execute(_NEWEST, (opened,)).fetchall()
    return {CaseKey(tenant, case_id): number for tenant, case_id, number in newest}
