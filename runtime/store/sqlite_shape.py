"""Holds what a SQLite file has of tables, indexes, triggers and views against what this code makes.

A trigger or a view is a statement of somebody else's, and a trigger runs within our commits: one that takes a message
out of the inbox whenever a record is appended loses it without an error. So may a unique index on one of our tables,
for a message that is there already is passed over. Somebody's other indexes, tables of their own and the statistics of
`ANALYZE` change nothing of what we read and write.
It does not know what stands in the tables.
"""

import sqlite3
from contextlib import closing
from typing import Final

from casework.runtime.errors import StoreInvalid
from casework.runtime.store.migrations import STEPS
from casework.runtime.store.shape import Alien, Part, aliens_among

#: What SQLite makes for itself has names that nobody else can give.
_SHAPE: Final = """
    SELECT type, name, tbl_name, sql FROM sqlite_master
    WHERE NOT (type IN ('table', 'index') AND name LIKE 'sqlite!_%' ESCAPE '!')
"""


def aliens(connection: sqlite3.Connection) -> list[Alien]:
    """Tell what is missing, what is another, and what of somebody else's may change what is read and written."""
    ours = _made()
    tables = {part.name for part in ours if part.type == "table"}
    return aliens_among(ours, _parts(connection), lambda part: _meddles(part, tables))


def refuse_triggers(connection: sqlite3.Connection, url: str) -> None:
    """Refuse to write where somebody else's statements would run within our commits; raises StoreInvalid."""
    triggers = [part for part in _parts(connection) if part.type == "trigger"]
    tables = {part.name for part in _made()} if triggers else set[str]()
    for trigger in triggers:
        if trigger.table in tables:
            why = f"trigger {trigger.name} on its table {trigger.table} is somebody else's and may change what is kept"
            raise StoreInvalid(url, f"{why}; drop it")


def _meddles(part: Part, tables: set[str]) -> bool:
    unique = part.type == "index" and part.sql.startswith("CREATE UNIQUE") and part.table in tables
    return unique or part.type in {"trigger", "view"}


def _made() -> list[Part]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statements in STEPS:
            for statement in statements:
                connection.execute(statement)
        return _parts(connection)


def _parts(connection: sqlite3.Connection) -> list[Part]:
    # A table is found under its name however that is spelt, and how a statement was indented does not matter.
    rows = connection.execute(_SHAPE).fetchall()
    return [Part(type_, name, table.lower(), " ".join(str(sql).split())) for type_, name, table, sql in rows]
