"""The project's own schema and statements of SQLite as the disk of a run: in memory, and carried out on the loop.

Each call is one transaction where it is made, after one checkpoint, so it is atomic as the store in memory is. The
thread that writes a file, and what its disk may do, are not simulated. It does not know which calls there are.
"""

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar, final

import anyio.lowlevel

from casework.runtime.store import changes
from casework.runtime.store.base import Append, Appended, CaseKey, Conflict, Fenced
from casework.runtime.store.connections import STATEMENTS_KEPT
from casework.runtime.store.migrations import migrate
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.sqlite_call import Early
from casework.runtime.store.sqlite_hand import Heard
from casework.runtime.store.sqlite_upkeep import SqliteStatistics

T = TypeVar("T")

URL: Final = "sqlite:///:memory:"


@final
class LoopHand:
    """Carries statements out where they are asked for, on a database of its own."""

    def __init__(self, heard: Heard) -> None:
        """Make an empty store; `heard` is called with those whose inbox grew or who were opened."""
        self._heard = heard
        self._commits = 0
        self._connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS_KEPT)
        migrate(self._connection, URL)

    async def start(self) -> None:
        """Nothing: it is open."""

    def statistics(self) -> SqliteStatistics:
        """Count transactions; there is no log that could grow."""
        return SqliteStatistics(self._commits, 0, 0, 0, 0, 0)

    async def append(self, append: Append) -> Appended | Fenced | Conflict:
        """Append to one case; if cancelled, nothing happened."""
        return await self.change(lambda connection, arrived: changes.append(connection, append, arrived))

    async def change(self, change: Callable[[sqlite3.Connection, list[CaseKey]], T]) -> T:
        """Write; if cancelled, nothing happened."""
        await anyio.lowlevel.checkpoint()
        arrived: list[CaseKey] = []
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            value = change(connection, arrived)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self._commits += 1
        if arrived:
            self._heard(tuple(dict.fromkeys(arrived)))
        return value

    async def change_early(
        self, change: Callable[[sqlite3.Connection, list[CaseKey]], T], early: Callable[[T], Early | None]
    ) -> T:
        """Write, and go on from it; if cancelled, nothing happened."""
        value = await self.change(change)
        go = early(value)
        if go is not None:
            go()
        return value

    async def hold(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Write who holds what; if cancelled, nothing happened."""
        return await self.change(lambda connection, _: change(connection))

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read what is there."""
        await anyio.lowlevel.checkpoint()
        return read(self._connection)

    async def aclose(self) -> bool:
        """Nothing: what it holds is there until nobody has it any more."""
        return True


def sql_in_memory() -> SqliteStore:
    """Make a SQLite store whose statements run where they are called."""
    return SqliteStore(URL, ":memory:", LoopHand)
