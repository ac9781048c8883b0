"""Brings a SQLite file to the version of this code, and refuses files that are not ours or are newer.

SQLite's own header says whose file it is (`application_id`) and of which version (`user_version`). A file without
both and without tables is new. Steps are never changed once released; a new version is a new step at the end.
It does not know how a connection is made or who owns the file.
"""

import sqlite3
from typing import Final

from casework.runtime.errors import StoreInvalid, StoreNewer
from casework.runtime.store.schema import ACCOUNTS, APPLICATION_ID, CLAIMS_AND_CHAPTERS, OPEN_IN_ORDER, TABLES

#: Step n brings version n to version n + 1.
STEPS: Final[tuple[tuple[str, ...], ...]] = (TABLES, CLAIMS_AND_CHAPTERS, OPEN_IN_ORDER, ACCOUNTS)
SCHEMA_VERSION: Final = len(STEPS)


def version_of(connection: sqlite3.Connection, url: str) -> int:
    """Give the version of a store's file, 0 for one that is still empty.

    Raises:
        StoreInvalid: the file belongs to somebody else.
        StoreNewer: a newer version of this code wrote it.
    """
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application != APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application or version or tables:
            raise StoreInvalid(url, "it is an SQLite file of another program; name a file of its own")
        return 0
    if version > SCHEMA_VERSION:
        raise StoreNewer(
            url, f"its version is {version}, this Casework reads up to {SCHEMA_VERSION}; use a newer Casework"
        )
    return version


def migrate(connection: sqlite3.Connection, url: str) -> None:
    """Bring the file to `SCHEMA_VERSION` in one transaction; raises as `version_of`."""
    if version_of(connection, url) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for statements in STEPS[version_of(connection, url) :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value = connection.execute(f"PRAGMA {name}").fetchone()[0]
    assert isinstance(value, int), "SQLite keeps numbers in its header"
    return value
