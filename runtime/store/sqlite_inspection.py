"""Looks through a SQLite file for what is not as it was written: pages, tables and indexes, and rows beside the logs.

SQLite says itself what is wrong with its pages, and what it has of tables is held against what was made
(`sqlite_shape`). Of the rows it takes any value in any column, and a file can be changed by others, so what must hold
among them is asked here: what a case has seen, what is unread, what it waits for, that nothing belongs to a case which
is not there, and that artifacts, settings and leases are what was kept.
It does not know what a log says.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from casework.protocols.codec import digest
from casework.runtime.store import queries
from casework.runtime.store.base import CaseKey
from casework.runtime.store.inspection import ODDITIES_MAX, Oddity
from casework.runtime.store.sqlite_seals import unsealed
from casework.runtime.store.sqlite_shape import aliens

#: What SQLite says of a file that is whole.
WHOLE: Final = "ok"
#: What must not be, case by case: each gives tenant, case id and what is told of it.
_OF_CASES: Final = (
    (
        'SELECT tenant, case_id, quote(seen) FROM "case" WHERE NOT ({fitting})',
        "its row says that it has seen {} of its inbox",
    ),
    (
        """
        SELECT tenant, case_id, quote(i.id) FROM inbox i JOIN "case" ON no = i.case_no
        WHERE i.consumed IS NOT 0 AND (i.consumed IS NOT 1 OR i.frame IS NOT x'')
        """,
        "message {} in its inbox is neither read nor unread",
    ),
    (
        """
        SELECT tenant, case_id, quote(i.id) FROM inbox i JOIN "case" ON no = i.case_no
        WHERE i.consumed = 0 AND (typeof(i.frame) <> 'blob' OR typeof(i.kind) <> 'text' OR typeof(i.id) <> 'text'
            OR NOT is_text(cast(i.id AS BLOB)) OR i.kind = '')
        """,
        "message {} in its inbox cannot be read",
    ),
    (
        """
        SELECT tenant, case_id, quote(w.key) FROM wait w JOIN "case" ON no = w.case_no
        WHERE typeof(w.due) <> 'integer' OR w.kind NOT IN ('evidence', 'review', 'timer', 'child', 'operator')
            OR typeof(w.key) <> 'text' OR NOT is_text(cast(w.key AS BLOB))
            OR typeof(w.reason) <> 'text' OR NOT is_text(cast(w.reason AS BLOB))
        """,
        "what it waits for cannot be read: {}",
    ),
    (
        """
        SELECT tenant, case_id, group_concat(quote(w.place)) FROM wait w JOIN "case" ON no = w.case_no
        GROUP BY w.case_no HAVING min(w.place) IS NOT 0 OR max(w.place) IS NOT count(*) - 1
        """,
        "what it waits for has other places than it was given: {}",
    ),
    (
        """
        SELECT tenant, case_id, quote(i.id) FROM inbox i JOIN "case" ON no = i.case_no
        WHERE i.position NOT BETWEEN 1 AND (SELECT seq FROM sqlite_sequence WHERE name = 'inbox')
        """,
        "message {} in its inbox has a position that none was given",
    ),
)
#: What must not be of the rest: each gives what is told of it.
_OF_THE_STORE: Final = (
    (
        """
        SELECT quote(sha256) FROM artifact
        WHERE typeof(data) <> 'blob' OR sha256_of(cast(data AS BLOB)) IS NOT cast(sha256 AS BLOB)
        """,
        "artifact {} has other bytes than it had",
    ),
    (
        """
        SELECT quote(name) FROM node WHERE typeof(name) <> 'text' OR name = '' OR NOT is_text(cast(name AS BLOB))
            OR typeof(until) <> 'integer' OR until NOT BETWEEN 0 AND 253402300799000000
        """,
        "node {} has a lease that was never given",
    ),
)
_STRAYS: Final = """
    SELECT 'record', count(*) FROM record WHERE case_no NOT IN (SELECT no FROM "case")
    UNION ALL SELECT 'inbox', count(*) FROM inbox WHERE case_no NOT IN (SELECT no FROM "case")
    UNION ALL SELECT 'wait', count(*) FROM wait WHERE case_no NOT IN (SELECT no FROM "case")
    UNION ALL SELECT 'review', count(*) FROM review WHERE case_no NOT IN (SELECT no FROM "case")
"""
_MISSING: Final = """
    SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM artifact WHERE sha256 = value)
"""


def inspect(connection: sqlite3.Connection) -> list[Oddity]:
    """Look through the file, in one moment of it."""
    connection.create_function("is_text", 1, _is_text, deterministic=True)
    connection.create_function("sha256_of", 1, _sha256_of, deterministic=True)
    whole = connection.execute(f"PRAGMA integrity_check({ODDITIES_MAX})").fetchall()
    oddities = [Oddity(f"the file is damaged: {said}") for (said,) in whole if said != WHOLE]
    strange = aliens(connection)
    oddities += [Oddity(f"{each.type} {each.name} {each.why}") for each in strange]
    if any(each.type == "table" for each in strange):
        # Nobody knows what may be asked of it.
        return oddities
    for statement, why in _OF_CASES:
        asked = statement.replace("{fitting}", queries.FITTING.format("seen"))
        for tenant, case_id, value in connection.execute(asked).fetchmany(ODDITIES_MAX):
            oddities.append(Oddity(why.format(value), CaseKey(str(tenant), str(case_id))))
    for statement, why in _OF_THE_STORE:
        oddities += [Oddity(why.format(*row)) for row in connection.execute(statement).fetchmany(ODDITIES_MAX)]
    oddities += [Oddity(f"setting {name} is not as it was set") for name in unsealed(connection)]
    strays = connection.execute(_STRAYS).fetchall()
    return oddities + [Oddity(f"{count} rows of table {table} belong to no case") for table, count in strays if count]


def missing(connection: sqlite3.Connection, names: Collection[str]) -> list[str]:
    """Give those of some delivered files, by their content hashes, that are not kept."""
    return [str(name) for (name,) in connection.execute(_MISSING, (json.dumps([*names]),)).fetchall()]


def _sha256_of(data: bytes) -> bytes:
    return digest(data).hex().encode()


def _is_text(data: object) -> bool:
    if not isinstance(data, bytes):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
