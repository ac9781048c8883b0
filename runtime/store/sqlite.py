"""The store in a SQLite file, as its owner sees it.

One process owns the file, one thread of it writes. Whoever takes the file's lock knows that all nodes before it are
gone, so their leases end at once. It does not know statements or threads, only which call goes where.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, final

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import (
    changes,
    ledger_rules,
    queries,
    rules,
    sqlite_accounts,
    sqlite_archive,
    sqlite_claims,
)
from casework.runtime.store.accounts import Account, Draw, LedgerEntry
from casework.runtime.store.archive import BringInResult, Cut, RetainResult, Transfer, TrimResult, assert_transfer
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseKey,
    CaseRow,
    CaseStatus,
    DecideResult,
    DeliverResult,
    DrawResult,
    InboxItem,
    LimitResult,
    Opening,
    OpenResult,
    Record,
    ReviewRow,
    Unavailable,
    Unknown,
)
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.connections import MACHINE, Binding, show_damage
from casework.runtime.store.lock import FileLock
from casework.runtime.store.sqlite_call import Change, OutcomeUnknown
from casework.runtime.store.sqlite_hand import Hand, Heard
from casework.runtime.store.sqlite_upkeep import SqliteStatistics
from casework.runtime.store.sqlite_version import warn_of
from casework.runtime.store.sqlite_writer import SqliteWriter
from casework.runtime.store.taking import Delivery
from casework.runtime.store.waiting import FIRST, Place

T = TypeVar("T")


@final
class SqliteStore:
    """A `Store` in one file."""

    def __init__(self, url: str, path: str, hand: Callable[[Heard], Hand]) -> None:
        """Use `open`, unless something else than a file's writer carries the statements out."""
        self._url = url
        self._path = path
        self._heard: Heard | None = None
        self._writer = hand(self._announce)

    @classmethod
    async def open(cls, url: str, path: str, world: World, *, binding: Binding = MACHINE) -> "SqliteStore":
        """Take the file's ownership and open it; a missing file is made.

        A file that is older than its owner remembers is opened all the same, and says so in its settings: see
        `casework.runtime.store.generation`.

        Raises:
            StoreOwned: another process owns it.
            StoreNewer: a newer version wrote it; it was not touched.
            StoreInvalid: it is no store.
            StoreUnavailable: it cannot be opened just now.

        If cancelled, nothing is held.
        """
        lock = FileLock.acquire(f"{path}.lock", url)
        # While its thread hangs the file is still written to, and must not be anybody else's.
        writer = partial(SqliteWriter, path, url, world, binding=binding, let_go=lock.release)
        store = cls(url, path, writer)
        warn_of(binding.version)
        try:
            await store._writer.start()
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def url(self) -> str:
        """Name the store."""
        return self._url

    @property
    def path(self) -> str:
        """Name its file."""
        return self._path

    def statistics(self) -> SqliteStatistics:
        """Count what was written and how long the write-ahead log is."""
        return self._writer.statistics()

    def on_arrival(self, heard: Heard) -> None:
        """Call `heard` on the event loop after each commit that gave cases an item or opened them."""
        self._heard = heard

    async def aclose(self) -> None:
        """Finish what is queued, write the log back and give the file up; if cancelled, this happens all the same."""
        await self._writer.aclose()

    # What anybody may read.

    async def case(self, key: CaseKey) -> CaseRow | None:
        """Give one case with its waits."""
        return await self._read(queries.case, key)

    async def cases(
        self, tenant: str | None = None, *, status: CaseStatus | None = None, parent: str | None = None
    ) -> Sequence[CaseRow]:
        """Give cases with their waits, ordered by tenant and case id."""
        return await self._read(queries.cases, tenant, status, parent)

    async def awaiting(
        self, keys: Sequence[str], *, after: Place = FIRST, limit: int | None = None
    ) -> Sequence[CaseRow]:
        """Give the cases that wait for one of these keys, who changed longest ago first."""
        return await self._read(queries.awaiting, keys, after, limit)

    async def records(self, key: CaseKey, from_seq: int = 0) -> Sequence[Record]:
        """Give a case's log from `from_seq` on, in order."""
        return await self._read(queries.records, key, from_seq)

    async def reviews(self, *, state: str | None = None) -> Sequence[ReviewRow]:
        """Give reviews, oldest first."""
        return await self._read(queries.reviews, state)

    async def review(self, review_id: str) -> ReviewRow | None:
        """Give one review."""
        return await self._read(queries.review, review_id)

    async def artifact(self, sha256: str) -> bytes | None:
        """Give the bytes stored under their content hash."""
        return await self._read(queries.artifact, sha256)

    async def setting(self, name: str) -> str | None:
        """Give a remembered setting of this store."""
        return await self._read(queries.setting, name)

    async def account(self, name: str) -> Account | None:
        """Give one account."""
        return await self._read(sqlite_accounts.account, name)

    async def accounts(self) -> Sequence[Account]:
        """Give all accounts, ordered by name."""
        return await self._read(sqlite_accounts.accounts)

    async def ledger(self, name: str) -> Sequence[LedgerEntry]:
        """Give an account's entries, in order."""
        return await self._read(sqlite_accounts.ledger, name)

    async def inbox(self, key: CaseKey) -> Sequence[InboxItem]:
        """Give what waits for a case, in order of insertion."""
        return await self._read(queries.inbox, key)

    async def held(self, node: str) -> Sequence[CaseKey]:
        """Give the cases that a node holds; looks at every case."""
        return await self._read(queries.held, node)

    # What somebody who does not own the case may write.

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Put a frame into the inbox of case `target`, or of every case that waits for key `target`.

        Raises:
            FrameInvalid: the frame is no `arrived` and no `cancel`.

        If cancelled, it may or may not have been delivered.
        """
        item = (item_id, rules.arrival_kind(item_id, frame), frame)
        return await self._typed(lambda connection, arrived: changes.deliver(connection, tenant, target, item, arrived))

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide an open review by compare-and-set.

        Raises:
            FrameInvalid: the frame is no `decided` frame for this review.

        If cancelled, it may or may not have been decided.
        """
        rules.decision_of(review_id, frame)
        return await self._typed(
            lambda connection, arrived: changes.decide(connection, review_id, proposal_hash, frame, now, arrived)
        )

    async def put_artifact(self, sha256: str, data: bytes) -> None:
        """Keep bytes under their content hash; again is harmless.

        Raises:
            FrameInvalid: the hash is another.
            StoreUnavailable: it cannot be written just now.
        """
        await self._writer.change(lambda connection, _: changes.put_artifact(connection, sha256, data))

    # What the owner may do.

    async def open_case(self, opening: Opening) -> OpenResult:
        """Open a case; durable when it returns."""
        rules.assert_opening(opening)
        return await self._typed(lambda link, arrived: changes.open_case(link, opening, arrived), opening)

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> DeliverResult:
        """Deliver, and take the case that it wakes for a node; durable when it returns, and not when `taken` is called.

        Raises:
            FrameInvalid: the frame is no `arrived` and no `cancel`.

        If cancelled, it may or may not have been delivered, and the case taken; then `taken` is called all the same.
        """
        assert node, "a node has a name"
        item = delivery, rules.arrival_kind(delivery.item_id, delivery.frame)
        try:
            result, _ = await self._writer.change_early(
                lambda link, arrived: sqlite_claims.deliver_and_claim(link, node, item, now, arrived),
                lambda given: partial(taken, given[1]) if given[1] is not None else None,
            )
        except OutcomeUnknown as error:
            return Unknown(error.why)
        except StoreUnavailable as error:
            return Unavailable(error.why)
        return result

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        """Take up to `limit` cases for a node, each with epoch + 1, oldest first, with what they need to begin.

        Raises:
            StoreUnavailable: it cannot be written just now.

        If cancelled, cases may have been claimed; they are claimable again once the node's lease is over.
        """
        assert node, "a node has a name"
        return await self._writer.hold(lambda connection: sqlite_claims.claim(connection, node, limit, now))

    async def reclaim(self, node: str, key: CaseKey) -> Claimed | None:
        """Take a case again that this node holds but has lost track of, with epoch + 1; None if it holds it not.

        Raises:
            StoreUnavailable: it cannot be written just now.

        If cancelled, the epoch may have grown; reclaim again.
        """
        assert node, "a node has a name"
        return await self._writer.hold(lambda connection: sqlite_claims.reclaim(connection, node, key))

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        """Say that a node lives until then; raises StoreUnavailable."""
        await self._writer.hold(lambda connection: changes.renew(connection, node, until))

    async def append(self, append: Append) -> AppendResult:
        """Append to one case; durable when it returns `Appended`. If cancelled, treat it as `Unknown`."""
        rules.assert_append(append)
        try:
            return await self._writer.append(append)
        except OutcomeUnknown as error:
            return Unknown(error.why)
        except StoreUnavailable as error:
            return Unavailable(error.why)

    async def set_limit(self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False) -> LimitResult:
        """Set an account's limit; if cancelled, it may or may not have been set."""
        ledger_rules.assert_limit(name, limit_micros, by, at)
        set_limit = partial(sqlite_accounts.set_limit, by=by, at=at, only_new=only_new)
        return await self._typed(lambda link, _: set_limit(link, name, limit_micros))

    async def draw(self, draw: Draw) -> DrawResult:
        """Reserve an amount of several accounts at once, all or none; if cancelled, it may or may not be drawn."""
        ledger_rules.assert_draw(draw)
        return await self._typed(lambda link, _: sqlite_accounts.draw(link, draw))

    async def remember(self, name: str, value: str) -> None:
        """Set a setting of this store; raises StoreUnavailable."""
        await self._writer.change(lambda connection, _: changes.remember(connection, name, value))

    async def extend(self, name: str, text: str) -> None:
        """Add to the end of a setting; raises StoreUnavailable."""
        await self._writer.change(lambda connection, _: changes.extend(connection, name, text))

    # The archive.

    async def transfer(self, key: CaseKey) -> Transfer | None:
        """Give all of one case."""
        return await self._read(sqlite_archive.transfer, key)

    async def bring_in(self, transfers: Sequence[Transfer]) -> BringInResult:
        """Take in whole cases, all or none; if cancelled, they may or may not be here."""
        for each in transfers:
            assert_transfer(each)
        return await self._typed(lambda connection, arrived: sqlite_archive.bring_in(connection, transfers, arrived))

    async def retain(self, keys: Sequence[CaseKey], account: Transfer) -> RetainResult:
        """Drop what closed cases contained, and bring in the account of it; if cancelled, it may be done or not."""
        assert_transfer(account)
        return await self._typed(lambda connection, _: sqlite_archive.retain(connection, keys, account))

    async def trim(self, cuts: Sequence[Cut], account: Transfer) -> TrimResult:
        """Drop the frames of earlier chapters, and bring in the account; if cancelled, it may be done or not."""
        assert_transfer(account)
        return await self._typed(lambda connection, _: sqlite_archive.trim(connection, cuts, account))

    async def shrink(self) -> None:
        """Write the file anew without what is unused; it takes as much room beside it meanwhile, and others wait."""
        # Between two transactions, as a read is.
        await self._writer.read(sqlite_archive.shrink)

    async def _read(self, query: Callable[..., T], *args: object) -> T:
        try:
            return await self._writer.read(partial(_asked, query, args))
        except ValueError as error:
            raise StoreInvalid(self._url, f"a value in it is not ours ({error})") from error

    async def _typed(self, change: Change[T], opening: Opening | None = None) -> T | Unavailable | Unknown:
        try:
            return await self._writer.change(change, opening)
        except OutcomeUnknown as error:
            return Unknown(error.why)
        except StoreUnavailable as error:
            return Unavailable(error.why)
        except UnicodeEncodeError:
            # What the caller gave, and not what is kept.
            raise
        except ValueError as error:
            raise StoreInvalid(self._url, f"a value in it is not ours ({error})") from error

    def _announce(self, keys: Sequence[CaseKey]) -> None:
        if self._heard is not None:
            self._heard(keys)


def _asked(query: Callable[..., T], args: tuple[object, ...], connection: sqlite3.Connection) -> T:
    try:
        return query(connection, *args)
    except sqlite3.OperationalError:
        show_damage(connection)
        return query(connection, *args)
