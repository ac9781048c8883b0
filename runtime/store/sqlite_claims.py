"""Claims on a SQLite store: which cases a node is given, and all that they need to begin.

A claim makes one query for all cases' rows, one for their waits, one for their logs and one for their inboxes, not
one for each case. Should one of them hold what cannot be read, the cases are read one by one, and that one alone says
so or is set aside. A list of case numbers is handed over as a text, for a query with as many signs as there are
numbers would be compiled anew for each length.
It does not know when a transaction begins or ends.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from casework.runtime.errors import StoreUnavailable
from casework.runtime.store import changes, queries, rules
from casework.runtime.store.base import CaseKey, Delivered, Duplicate, Nobody
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.connections import store_error
from casework.runtime.store.taking import Delivery

#: Why a case rests whose row does not say which messages it has read.
SEEN_DAMAGED: Final = "its row in the store does not say any more what it has seen of its inbox"
#: Three ways to be wanted, each found by its own index, so that parked cases cost nothing.
_CLAIMABLE: Final = """
    SELECT no, claims FROM (
        SELECT * FROM (
            SELECT no, claims, opened_at FROM "case"
            WHERE status = 'open' AND claims BETWEEN ?2 AND ?3
                AND node NOT IN (SELECT name FROM node UNION ALL SELECT ?5)
            ORDER BY opened_at, no LIMIT ?4
        )
        UNION ALL
        SELECT no, claims, opened_at FROM "case" WHERE status = 'parked' AND no IN (
            SELECT i.case_no FROM inbox i JOIN "case" p ON p.no = i.case_no
            WHERE i.consumed = 0 AND p.status = 'parked' AND (i.position > p.seen OR NOT ({fitting}))
            UNION
            SELECT w.case_no FROM wait w WHERE w.kind = 'timer' AND w.due <= ?1
        ) AND node NOT IN (SELECT name FROM node UNION ALL SELECT ?5) AND claims BETWEEN ?2 AND ?3
    ) ORDER BY opened_at, no LIMIT ?4
""".replace("{fitting}", queries.FITTING.format("p.seen"))
_SIZES: Final = """
    SELECT c.no, sum(length(r.frame)) FROM "case" c JOIN record r ON r.case_no = c.no AND r.seq >= c.chapter
    WHERE c.no IN (SELECT value FROM json_each(?)) GROUP BY c.no
"""
#: What is no number stays as it is, for whoever reads it to say so.
_NEXT_EPOCH: Final = "CASE typeof(epoch) WHEN 'integer' THEN epoch + 1 ELSE epoch END"
_TAKE: Final = """
    UPDATE "case" SET epoch = {next}, node = ?, changed_at = ?, claims = claims + 1
    WHERE no IN (SELECT value FROM json_each(?))
""".replace("{next}", _NEXT_EPOCH)
_SET_ASIDE: Final = """UPDATE "case" SET node = '', status = 'parked', seen = ? WHERE no = ?"""
_SAY_WHY: Final = "INSERT INTO wait VALUES (?, 0, ?, 'operator', ?, 0)"
#: The index of suspects is used where its own condition is repeated.
_SUSPECTS: Final = 'SELECT 1 FROM "case" WHERE claims >= 2 LIMIT 1'
_DOUBTED: Final = 'SELECT count(*) FROM "case" WHERE claims >= 2 AND claims = ? AND node = ? AND changed_at > ?'
_WATCHED: Final = 'SELECT 1 FROM "case" WHERE claims >= 2 AND claims > ?1 AND node = ?2 AND changed_at > ?3 LIMIT 1'
#: One that just got an item is wanted, unless it was set aside, or the node has one that is to be alone.
_FREE: Final = """
    SELECT no FROM "case" WHERE tenant = ?4 AND case_id = ?5 AND claims = 0 AND status IN ('open', 'parked')
        AND seen < ?6 AND node <> ?2 AND node NOT IN (SELECT name FROM node WHERE until > ?7) AND NOT EXISTS ({watched})
""".replace("{watched}", _WATCHED)
_RECLAIM: Final = 'UPDATE "case" SET epoch = {next} WHERE tenant = ? AND case_id = ? AND node = ?'.replace(
    "{next}", _NEXT_EPOCH
)


def claim(connection: sqlite3.Connection, node: str, limit: int, now: int) -> Claims:
    """Take up to `limit` cases for a node, each with epoch + 1, oldest first, with what they need to begin.

    A case whose row cannot be read is set aside, and no more wanted by anybody.
    """
    connection.execute("DELETE FROM node WHERE until <= ?", (now,))
    found, alone = _suspects_or_others(connection, node, limit, now)
    numbers = _taken_numbers(connection, node, now, _fitting(connection, found))
    more = bool(numbers) and not alone and (len(found) == limit or len(numbers) < len(found))
    return Claims(_taken(connection, numbers), more, None if more else queries.next_due(connection, node))


def reclaim(connection: sqlite3.Connection, node: str, key: CaseKey) -> Claimed | None:
    """Take a case again that a node holds, with epoch + 1; None if it holds it not."""
    number = queries.case_number(connection, key)
    if number is None:
        return None
    try:
        if not connection.execute(_RECLAIM, (*key, node)).rowcount:
            return None
    except sqlite3.IntegrityError as error:
        _set_aside(connection, number, f"{rules.UNREADABLE}: {error}")
        return None
    return next(iter(_taken(connection, [number])), None)


def deliver_and_claim(
    connection: sqlite3.Connection, node: str, item: tuple[Delivery, str], now: int, arrived: list[CaseKey]
) -> tuple[Delivered | Duplicate | Nobody, Claimed | None]:
    """Put an item (what is delivered, and its kind) into inboxes, and take the one case that it wakes."""
    delivery, kind = item
    told: list[CaseKey] = []
    put = (delivery.item_id, kind, delivery.frame)
    result = changes.deliver(connection, delivery.tenant, delivery.target, put, told)
    claimed = _take_woken(connection, node, told[0], now) if len(told) == 1 else None
    if claimed is None:
        arrived += told
    return result, claimed


def _take_woken(connection: sqlite3.Connection, node: str, key: CaseKey, now: int) -> Claimed | None:
    alone = rules.SUSPECT_CLAIMS, node, now - rules.ALONE_MICROS
    found = connection.execute(_FREE, (*alone, *key, rules.INTEGER_MAX, now)).fetchone()
    numbers = [] if found is None else _taken_numbers(connection, node, now, [found[0]])
    return next(iter(_taken(connection, numbers)), None)


def _suspects_or_others(connection: sqlite3.Connection, node: str, limit: int, now: int) -> tuple[list[int], bool]:
    """Choose cases, oldest first, and say whether they are to be alone on their node."""
    if connection.execute(_SUSPECTS).fetchone() is not None:
        if _watched(connection, node, now - rules.ALONE_MICROS):
            return [], True
        if not _watched(connection, node, now - rules.SUSPECT_MICROS):
            suspects = _claimable(connection, node, now, min(limit, 1), (rules.SUSPECT_CLAIMS, rules.INTEGER_MAX))
            if suspects:
                return [number for number, _ in suspects], True
    return _unsuspected(connection, node, now, limit), False


def _watched(connection: sqlite3.Connection, node: str, since: int) -> bool:
    return connection.execute(_WATCHED, (rules.SUSPECT_CLAIMS, node, since)).fetchone() is not None


def _unsuspected(connection: sqlite3.Connection, node: str, now: int, limit: int) -> list[int]:
    found = _claimable(connection, node, now, limit, (0, rules.SUSPECT_CLAIMS - 1))
    doubted = [number for number, claims in found if claims]
    if doubted:
        since = now - rules.SUSPECT_MICROS
        (held,) = connection.execute(_DOUBTED, (rules.SUSPECT_CLAIMS, node, since)).fetchone()
        passed = set(doubted[max(rules.DOUBTED_MAX - held, 0) :])
        if passed and len(found) == limit:
            # Where these stood there is room for others.
            kept = [number for number in doubted if number not in passed]
            return kept + [number for number, _ in _claimable(connection, node, now, limit - len(kept), (0, 0))]
        return [number for number, _ in found if number not in passed]
    return [number for number, _ in found]


def _claimable(
    connection: sqlite3.Connection, node: str, now: int, limit: int, claims: tuple[int, int]
) -> list[tuple[int, int]]:
    return connection.execute(_CLAIMABLE, (now, *claims, limit, node)).fetchall()


def _fitting(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[int]:
    try:
        sizes: dict[int, int] = dict(connection.execute(_SIZES, (str(numbers),)).fetchall()) if numbers else {}
    except sqlite3.DatabaseError as error:
        # Somewhere among them the file is damaged: one by one it is seen whose log that is.
        _raise_unless_invalid(error)
        return list(numbers[:1])
    return list(numbers[: rules.fitting([sizes.get(number, 0) for number in numbers])])


def _taken_numbers(connection: sqlite3.Connection, node: str, now: int, numbers: list[int]) -> list[int]:
    """Take cases for a node, and give their numbers; those whose row cannot even be counted up are set aside."""
    if not numbers:
        return numbers
    try:
        statement, which = queries.among(_TAKE, numbers)
        connection.execute(statement, (node, now, *which))
    except sqlite3.IntegrityError as error:
        if len(numbers) > 1:
            return [taken for number in numbers for taken in _taken_numbers(connection, node, now, [number])]
        _set_aside(connection, numbers[0], f"{rules.UNREADABLE}: {error}")
        return []
    return numbers


def _taken(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[Claimed]:
    """Read cases that were just claimed, in this order."""
    if not numbers:
        return []
    try:
        return _read(connection, numbers)
    except (sqlite3.DatabaseError, ValueError) as error:
        _raise_unless_invalid(error)
    return [claimed for number in numbers for claimed in _read_alone(connection, number)]


def _read(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[Claimed]:
    found = queries.cases_by_number(connection, numbers)
    rows = {number: row for number, (row, _) in found.items()}
    logs, inboxes = queries.logs(connection, rows), queries.inboxes(connection, rows)
    for number, row in [(number, row) for number, row in rows.items() if queries.damaged(row)]:
        _set_aside(connection, number, row.waits[0].reason)
        del rows[number]
    return [
        Claimed(rows[n], logs[n], inboxes.get(n, ()), "" if found[n][1] else SEEN_DAMAGED) for n in numbers if n in rows
    ]


def _read_alone(connection: sqlite3.Connection, number: int) -> list[Claimed]:
    try:
        row = queries.case_alone(connection, number)
    except sqlite3.OperationalError as error:
        # The binding says so, and not SQLite: a text is none.
        if getattr(error, "sqlite_errorcode", 0):
            raise
        _set_aside(connection, number, f"{rules.UNREADABLE}: {error}")
        return []
    try:
        return _read(connection, [number])
    except (sqlite3.DatabaseError, ValueError) as error:
        broken = f"its log, its inbox or its waits cannot be read: {_raise_unless_invalid(error)}"
        # What is there by now would wake it again and again.
        return [Claimed(row, broken=broken, seen=queries.last_position(connection))]


def _raise_unless_invalid(error: sqlite3.DatabaseError | ValueError) -> str:
    """Say what cannot be read; an error that says nothing of what is kept is raised again."""
    if isinstance(error, ValueError):
        return f"a value in it is not ours ({error})"
    said = store_error("", error)
    if isinstance(said, StoreUnavailable):
        raise error
    return said.why


def _set_aside(connection: sqlite3.Connection, number: int, why: str) -> None:
    """Have a case rest whose row cannot be read; where it cannot even be shown, that is told instead of `why`."""
    connection.execute(_SET_ASIDE, (rules.INTEGER_MAX, number))
    connection.execute("DELETE FROM wait WHERE case_no = ?", (number,))
    # Its name may be what cannot be read.
    connection.execute(_SAY_WHY, (number, f"operator:{number}", why))
