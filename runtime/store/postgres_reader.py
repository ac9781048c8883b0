"""Reads a PostgreSQL store, whoever writes it: a few connections that pass from hand to hand.

A connection that broke is put aside and the read is tried once more on a new one, for a server that was started
again has dropped all of them. What a cancelled read leaves behind on a connection is not waited for: it is closed.
It does not know who asks.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar, final

import anyio

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.store import postgres_accounts as books
from casework.runtime.store import postgres_archive as archive
from casework.runtime.store import postgres_inspection as inspection
from casework.runtime.store import postgres_queries as queries
from casework.runtime.store.accounts import Account, LedgerEntry
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, InboxItem, Record, ReviewRow
from casework.runtime.store.inspection import ODDITIES_MAX, Oddity
from casework.runtime.store.postgres_complaints import Complaints
from casework.runtime.store.postgres_link import (
    DRIVER_ERRORS,
    Fault,
    Link,
    connect,
    damaged,
    fault_of,
    part,
    store_error,
)
from casework.runtime.store.postgres_looks import Looks
from casework.runtime.store.postgres_schema import SCHEMA_VERSION, version_of
from casework.runtime.store.postgres_url import PostgresAddress
from casework.runtime.store.waiting import FIRST, Place

P = ParamSpec("P")
T = TypeVar("T")

#: Reads at the same time; more wait for one of them to end.
READERS_MAX: Final = 4


@final
class PostgresReader:
    """A `StoreReader` over a schema."""

    def __init__(self, address: PostgresAddress, complaints: Complaints | None = None) -> None:
        """Prepare; connections are made when they are needed.

        Whoever works on cases gives `complaints`, and has found it to be a store of ours: what the server says against
        a login, or a table, may pass from then on.
        """
        self._address = address
        self._complaints = complaints
        self._known = complaints is not None
        self._idle: list[Link] = []
        self._slots = anyio.Semaphore(READERS_MAX)
        self._closed = False
        self._cases = Looks(partial(self._ask_of, queries.cases_by_key))
        self._inboxes = Looks(partial(self._ask_of, queries.inboxes))

    @classmethod
    async def open(cls, address: PostgresAddress) -> "PostgresReader":
        """Open a schema for reading, and check that it is ours.

        Raises:
            StoreInvalid: the URL is wrong, or it is no store.
            StoreNewer: a newer version made it.
            StoreUnavailable: it cannot be read just now.

        If cancelled, nothing stays open.
        """
        reader = cls(address)
        try:
            version = await reader.ask(version_of, address)
            if version < SCHEMA_VERSION:
                old = f"it is of version {version}; a Runtime or `casework run` brings it to {SCHEMA_VERSION}"
                why = old if version else "nothing was stored yet; `casework run` begins it"
                raise StoreInvalid(address.shown, why)
            reader._known = True
        except BaseException:
            await reader.aclose()
            raise
        return reader

    async def aclose(self) -> None:
        """Close all connections; if cancelled, they are closed all the same."""
        self._closed = True
        while self._idle:
            await part(self._idle.pop())

    async def case(self, key: CaseKey) -> CaseRow | None:
        """Give one case with its waits."""
        return await self._cases.look(key) if queries.storable(*key) else None

    async def cases(
        self, tenant: str | None = None, *, status: CaseStatus | None = None, parent: str | None = None
    ) -> Sequence[CaseRow]:
        """Give cases with their waits, ordered by tenant and case id."""
        return await self.ask(queries.cases, tenant, status, parent)

    async def awaiting(
        self, keys: Sequence[str], *, after: Place = FIRST, limit: int | None = None
    ) -> Sequence[CaseRow]:
        """Give the cases that wait for one of these keys, who changed longest ago first."""
        return await self.ask_for_nodes(queries.awaiting, keys, after, limit)

    async def records(self, key: CaseKey, from_seq: int = 0) -> Sequence[Record]:
        """Give a case's log from `from_seq` on, in order."""
        return await self.ask(queries.records, key, from_seq)

    async def reviews(self, *, state: str | None = None) -> Sequence[ReviewRow]:
        """Give reviews, oldest first."""
        return await self.ask(queries.reviews, state)

    async def review(self, review_id: str) -> ReviewRow | None:
        """Give one review."""
        return await self.ask(queries.review, review_id)

    async def artifact(self, sha256: str) -> bytes | None:
        """Give the bytes stored under their content hash."""
        return await self.ask(queries.artifact, sha256)

    async def setting(self, name: str) -> str | None:
        """Give a remembered setting of this store."""
        return await self.ask_for_nodes(queries.setting, name)

    async def account(self, name: str) -> Account | None:
        """Give one account."""
        return await self.ask_for_nodes(books.account, name)

    async def accounts(self) -> Sequence[Account]:
        """Give all accounts, ordered by name."""
        return await self.ask_for_nodes(books.accounts)

    async def ledger(self, name: str) -> Sequence[LedgerEntry]:
        """Give an account's entries, in order."""
        return await self.ask(books.ledger, name)

    async def transfer(self, key: CaseKey) -> Transfer | None:
        """Give all of one case, as it is at one moment."""
        return await self.ask(archive.transfer, key)

    async def inspect(self) -> Sequence[Oddity]:
        """Look through what stands beside the logs."""
        known, found = await self.ask(inspection.tables, self._address.schema)
        if not known:
            return found
        found += await self.ask(inspection.the_rest)
        name, odd = await self.ask(inspection.files_after, None)
        while name is not None and len(found) < ODDITIES_MAX:
            found += odd
            name, odd = await self.ask(inspection.files_after, name)
        position, odd = await self.ask(inspection.messages_after, 0)
        while position is not None and len(found) < ODDITIES_MAX:
            found += odd
            position, odd = await self.ask(inspection.messages_after, position)
        return found

    async def missing(self, names: Collection[str]) -> Sequence[str]:
        """Give those of some delivered files that are not kept."""
        return await self.ask(inspection.missing, names)

    async def inbox(self, key: CaseKey) -> Sequence[InboxItem]:
        """Give what waits for a case, in order of insertion."""
        return (await self._inboxes.look(key) if queries.storable(*key) else None) or []

    async def ask(self, query: Callable[Concatenate[Link, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query on a connection that is free.

        Raises:
            StoreUnavailable, StoreInvalid: it cannot be read.

        If cancelled, its connection is closed.
        """
        async with self._slots:
            while True:
                if self._closed:
                    raise StoreUnavailable(self._address.shown, "it was closed")
                known = self._taken()
                link = known or await self._connected()
                try:
                    found = await query(link, *args, **kwargs)
                except DRIVER_ERRORS as error:
                    fault = fault_of(error, link)
                    told = store_error(self._address.shown, error, link, known=self._known)
                    if fault is Fault.LOST:
                        link.terminate()
                    else:
                        self._idle.append(link)
                    # One that stood idle tells nothing of the server as it is now.
                    if fault is Fault.LOST and known is not None:
                        continue
                    raise told from error
                except BaseException:
                    link.terminate()
                    raise
                await self._give_back(link)
                return found

    async def ask_for_nodes(
        self, query: Callable[Concatenate[Link, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a query for what nodes ask by themselves: a page that cannot be read is no fault of theirs, and may pass.

        Whoever only looks is told that it cannot be read, as by `ask`.
        """
        try:
            return await self.ask(query, *args, **kwargs)
        except StoreInvalid as error:
            if self._complaints is None or not damaged(error.__cause__):
                raise
            self._complaints.hear(error.why)
            raise StoreUnavailable(error.url, error.why) from error

    async def _connected(self) -> Link:
        try:
            return await connect(self._address)
        except StoreInvalid as error:
            if not self._known:
                raise
            raise StoreUnavailable(error.url, error.why) from error

    async def _ask_of(self, query: Callable[[Link, Sequence[CaseKey]], Awaitable[T]], keys: Sequence[CaseKey]) -> T:
        return await self.ask(query, keys)

    async def _give_back(self, link: Link) -> None:
        if self._closed:
            await part(link)
        else:
            self._idle.append(link)

    def _taken(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if not link.is_closed():
                return link
        return None
