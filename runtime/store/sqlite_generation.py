"""Keeps the memory of a SQLite store in a small file beside it, on the writer's thread.

The memory is written when a store is opened and closed and after every so many commits, each time with a sync of its
own, and never while the store is halted. A memory that cannot be written stays as it was, which costs only what it
would have noticed. It does not know when there was a commit.
"""

import logging
import sqlite3
from typing import Final, final

from casework.runtime.store import changes, queries
from casework.runtime.store.generation import GENERATION, HALTED, OLDER, PAST, Head, halting, objection, read_memory
from casework.runtime.store.generation import write_memory as write_file
from casework.runtime.store.sqlite_seals import unsealed

_LOGGER: Final = logging.getLogger(__name__)


@final
class Keeper:
    """The memory of one open store."""

    def __init__(self, connection: sqlite3.Connection, path: str, url: str) -> None:
        """Prepare; to be used on the connection's thread."""
        self._connection = connection
        self._path = f"{path}.generation"
        self._url = url
        self._written: Head | None = None

    def begin(self, generation: str) -> None:
        """Compare the store with what is remembered, and halt it if it is older; in the caller's transaction.

        What somebody else changed beside the logs is told, and where that would stop all cases it is put right.

        `generation` is the id of a store that has none yet.
        """
        connection = self._connection
        for name in unsealed(connection):
            _LOGGER.warning("%s: setting %s is not as it was set: somebody else changed it", self._url, name)
        if moved := changes.reseat(connection):
            _LOGGER.warning("%s: %d messages had positions that none was given: they come last now", self._url, moved)
        if queries.setting(connection, GENERATION) is None:
            changes.remember(connection, GENERATION, generation)
        objected = self._objection()
        if objected:
            why = halting(objected, self._url)
            changes.remember(connection, HALTED, why)
            _LOGGER.warning("%s: %s", self._url, why)

    def remember(self) -> None:
        """Write down how far the store has come, unless it is halted or that stands there already."""
        if queries.setting(self._connection, HALTED):
            return
        head = _head(self._connection)
        if head == self._written:
            return
        try:
            write_file(self._path, head)
        except OSError as error:
            _LOGGER.warning(
                "%s cannot be written (%s): an older store in its place may not be noticed", self._path, error
            )
        self._written = head

    def _objection(self) -> str:
        try:
            remembered = read_memory(self._path, Head)
        except ValueError as error:
            return f"{OLDER}, perhaps: {error}; "
        self._written = remembered
        if remembered is None:
            return ""
        past = queries.setting(self._connection, PAST) or ""
        return objection(remembered, _head(self._connection), _hash_at(self._connection, remembered.records), past)


def _head(connection: sqlite3.Connection) -> Head:
    generation = queries.setting(connection, GENERATION)
    # Records are never removed, so the last one's number is how many there are.
    records = connection.execute("SELECT max(rowid) FROM record").fetchone()[0] or 0
    items = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inbox'").fetchone()
    return Head(generation or "", records, _hash_at(connection, records), items[0] if items else 0)


def _hash_at(connection: sqlite3.Connection, number: int) -> str:
    found = connection.execute("SELECT hash FROM record WHERE rowid = ?", (number,)).fetchone()
    return bytes(found[0]).hex() if found and isinstance(found[0], bytes) else ""
