"""The project's own schema and statements of SQLite as the disk of a run: in memory, and carried out on the loop.

Each call is one transaction where it is made, after one checkpoint, so it is atomic as the store in memory is. The
thread that writes a file, and what its disk may do, are not simulated. It does not know which calls there are.
"""

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar, cast, final

import anyio.lowlevel

from casework.runtime.store import changes
from casework.runtime.store.base import Append, Appended, CaseKey, Conflict, Fenced, Opening
from casework.runtime.store.connections import STATEMENTS_KEPT
from casework.runtime.store.migrations import migrate
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.sqlite_call import Call, Change, Early
from casework.runtime.store.sqlite_hand import Heard
from casework.runtime.store.sqlite_quick import Quick, Stale
from casework.runtime.store.sqlite_upkeep import SqliteStatistics

T = TypeVar("T")

URL: Final = "sqlite:///:memory:"


@final
class LoopHand:
    """Carries statements out where they are asked for, on a database of its own."""

    def __init__(self, heard: Heard) -> None:
        """Make an empty store; `heard` is called with those whose inbox grew or who were opened."""
        self._heard = heard
        self._commits, self._quick = 0, Quick()
        self._connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS_KEPT)
        migrate(self._connection, URL)

    async def start(self) -> None:
        """Nothing: it is open."""

    def statistics(self) -> SqliteStatistics:
        """Count transactions; there is no log that could grow."""
        return SqliteStatistics(self._commits, 0, 0, 0, 0, 0)

    async def append(self, append: Append) -> Appended | Fenced | Conflict:
        """Append to one case; if cancelled, nothing happened."""
        call: Call[object] = Call(None, append=append)
        return await self._carried_out(call, lambda connection, arrived: changes.append(connection, append, arrived))

    async def change(self, change: Change[T], opening: Opening | None = None) -> T:
        """Write; if cancelled, nothing happened."""
        return await self._carried_out(Call(None, opening=opening), change)

    async def change_early(self, change: Change[T], early: Callable[[T], Early | None]) -> T:
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

    async def _carried_out(self, call: Call[object], long: Change[T]) -> T:
        """Go the short way if that can be gone, else the long one, as a writer's thread does."""
        await anyio.lowlevel.checkpoint()
        try:
            return self._transaction(lambda connection, arrived: self._short(connection, call, arrived, long))
        except (Stale, sqlite3.Error):
            return self._transaction(long)

    def _short(self, connection: sqlite3.Connection, call: Call[object], arrived: list[CaseKey], long: Change[T]) -> T:
        if self._quick.write(connection, [call], arrived):
            return long(connection, arrived)
        return cast("T", call.value)

    def _transaction(self, change: Change[T]) -> T:
        arrived: list[CaseKey] = []
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            value = change(connection, arrived)
        except BaseException:
            connection.execute("ROLLBACK")
            self._quick.forget()
            raise
        connection.execute("COMMIT")
        self._commits += 1
        if arrived:
            self._heard(tuple(dict.fromkeys(arrived)))
        return value

    async def aclose(self) -> None:
        """Nothing: what it holds is there until nobody has it any more."""


def sql_in_memory() -> SqliteStore:
    """Make a SQLite store whose statements run where they are called."""
    return SqliteStore(URL, ":memory:", LoopHand)
