"""Reads a SQLite store that another process may own and write.

One read-only connection passes from hand to hand through a queue of length one, so one worker thread uses it at a
time, even where the waiter of an earlier read was cancelled. Each read is one short transaction: an idle reader in
the middle of one would keep the owner from cutting off its log.
It does not know who owns the file.
"""

import queue
import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar, final

import anyio

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import queries, sqlite_accounts, sqlite_archive, sqlite_inspection
from casework.runtime.store.accounts import Account, LedgerEntry
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, Record, ReviewRow
from casework.runtime.store.connections import connect_reader, store_error
from casework.runtime.store.inspection import Oddity
from casework.runtime.store.waiting import FIRST, Place

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds of one read at most: while it goes on, the owner cannot cut off its log.
READ_SECONDS_MAX: Final = 5.0
#: Seconds of looking through the whole file at most.
INSPECT_SECONDS_MAX: Final = 600.0
#: Steps of SQLite between two looks at the clock.
READ_STEPS: Final = 10_000
#: How long closing waits for a read that nobody hears any more.
CLOSE_SECONDS_MAX: Final = 10.0


@final
class SqliteReader:
    """A `StoreReader` over a file."""

    def __init__(self, url: str, world: World) -> None:
        """Use `open`."""
        self._url = url
        self._world = world
        self._connections: queue.SimpleQueue[sqlite3.Connection | None] = queue.SimpleQueue()

    @classmethod
    async def open(cls, url: str, path: str, world: World) -> "SqliteReader":
        """Open a file for reading.

        Raises:
            StoreInvalid: there is no such file, or it is no store.
            StoreNewer: a newer version wrote it.
            StoreUnavailable: it cannot be read just now.

        If cancelled, nothing stays open.
        """
        # Shielded, for a connection that nobody waits for would stay open; SQLite bounds its own waits.
        reader = cls(url, world)
        with anyio.CancelScope(shield=True):
            reader._connections.put(await world.offload.run(connect_reader, path, url))
        return reader

    async def aclose(self) -> None:
        """Close the file; if cancelled, it is closed all the same."""
        with anyio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            await self._world.offload.run(self._close)

    async def case(self, key: CaseKey) -> CaseRow | None:
        """Give one case with its waits."""
        return await self._ask(queries.case, key)

    async def cases(
        self, tenant: str | None = None, *, status: CaseStatus | None = None, parent: str | None = None
    ) -> Sequence[CaseRow]:
        """Give cases with their waits, ordered by tenant and case id."""
        return await self._ask(queries.cases, tenant, status, parent)

    async def awaiting(
        self, keys: Sequence[str], *, after: Place = FIRST, limit: int | None = None
    ) -> Sequence[CaseRow]:
        """Give the cases that wait for one of these keys, who changed longest ago first."""
        return await self._ask(queries.awaiting, keys, after, limit)

    async def records(self, key: CaseKey, from_seq: int = 0) -> Sequence[Record]:
        """Give a case's log from `from_seq` on, in order."""
        return await self._ask(queries.records, key, from_seq)

    async def reviews(self, *, state: str | None = None) -> Sequence[ReviewRow]:
        """Give reviews, oldest first."""
        return await self._ask(queries.reviews, state)

    async def review(self, review_id: str) -> ReviewRow | None:
        """Give one review."""
        return await self._ask(queries.review, review_id)

    async def artifact(self, sha256: str) -> bytes | None:
        """Give the bytes stored under their content hash."""
        return await self._ask(queries.artifact, sha256)

    async def setting(self, name: str) -> str | None:
        """Give a remembered setting of this store."""
        return await self._ask(queries.setting, name)

    async def account(self, name: str) -> Account | None:
        """Give one account."""
        return await self._ask(sqlite_accounts.account, name)

    async def accounts(self) -> Sequence[Account]:
        """Give all accounts, ordered by name."""
        return await self._ask(sqlite_accounts.accounts)

    async def ledger(self, name: str) -> Sequence[LedgerEntry]:
        """Give an account's entries, in order."""
        return await self._ask(sqlite_accounts.ledger, name)

    async def transfer(self, key: CaseKey) -> Transfer | None:
        """Give all of one case."""
        return await self._ask(sqlite_archive.transfer, key)

    async def inspect(self) -> Sequence[Oddity]:
        """Look through the whole file; until it is done the owner's log grows."""
        return await self._told(partial(self._transact, sqlite_inspection.inspect, INSPECT_SECONDS_MAX))

    async def missing(self, names: Collection[str]) -> Sequence[str]:
        """Give those of some delivered files that are not kept."""
        return await self._ask(sqlite_inspection.missing, names)

    async def _ask(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._told(partial(self._transact, partial(_asked, query, args, kwargs)))

    async def _told(self, read: Callable[[], T]) -> T:
        try:
            return await self._world.offload.run(read)
        except sqlite3.Error as error:
            raise store_error(self._url, error) from error
        except ValueError as error:
            raise StoreInvalid(self._url, f"a value in it is not ours ({error})") from error

    def _transact(self, read: Callable[[sqlite3.Connection], T], seconds_max: float = 0.0) -> T:
        connection = self._connections.get()
        try:
            if connection is None:
                raise StoreUnavailable(self._url, "it was closed")
            clock = self._world.clock
            ends = clock.monotonic() + (seconds_max or READ_SECONDS_MAX)
            connection.set_progress_handler(lambda: clock.monotonic() > ends, READ_STEPS)
            connection.execute("BEGIN")
            try:
                return read(connection)
            finally:
                connection.set_progress_handler(None, 0)
                # An error of the disk may have ended it already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        finally:
            self._connections.put(connection)

    def _close(self) -> None:
        connection = self._connections.get()
        try:
            if connection is not None:
                connection.close()
        finally:
            self._connections.put(None)


def _asked(
    query: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object], connection: sqlite3.Connection
) -> T:
    return query(connection, *args, **kwargs)
