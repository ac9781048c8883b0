"""The store in PostgreSQL: any number of processes open it, and each reads and writes for itself.

What is written goes through one connection of this process in batches, what is read through a few others. Nobody owns
the store, so leases end only by the database's time. Those who work on cases run its ear beside them.
It does not know statements or transactions, only which call goes where.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, final

import anyio

from casework.runtime.errors import StoreError, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import ledger_rules, postgres_queries, rules, taking
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
from casework.runtime.store.postgres_calls import (
    Artifact,
    Asked,
    BringIn,
    Claim,
    Decision,
    Delivery,
    Limit,
    Reclaim,
    Renewal,
    Retain,
    Setting,
    Trim,
)
from casework.runtime.store.postgres_complaints import Complaints
from casework.runtime.store.postgres_ear import PostgresEar
from casework.runtime.store.postgres_link import Link
from casework.runtime.store.postgres_reader import PostgresReader
from casework.runtime.store.postgres_url import PostgresAddress
from casework.runtime.store.postgres_writer import Ears, PostgresWriter
from casework.runtime.store.settings import SWITCHES
from casework.runtime.store.waiting import FIRST, Place

#: How long a hint to the others may take; they look by themselves if it is not given.
HINT_SECONDS_MAX: Final = 2.0

_HINT: Final = "SELECT pg_notify($1, $2)"
#: Whether any case can go on without something from outside, whoever holds it.
_UNSETTLED: Final = """
    SELECT EXISTS (SELECT 1 FROM "case" WHERE status = 'open')
        OR EXISTS (SELECT 1 FROM inbox i JOIN "case" p ON p.no = i.case_no
                   WHERE NOT i.consumed AND p.status = 'parked' AND i.position > p.seen)
"""
_NODES: Final = """
    SELECT count(*) FROM node WHERE until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
"""


@final
class PostgresStore:
    """A `Store` in one schema of a database."""

    def __init__(self, address: PostgresAddress, world: World) -> None:
        """Use `open`."""
        self._address = address
        self._heard: Callable[[Sequence[CaseKey]], None] | None = None
        self._nodes: dict[str, tuple[str, ...]] = {}  # our nodes, with what each carries
        complaints = Complaints(address.shown, world.clock)
        self._reader = PostgresReader(address, complaints)  # the writer looks first
        ears = Ears(self._arrived, self._want_hint)
        self._writer = PostgresWriter(address, world, self._nodes, ears, complaints)
        self.ear = PostgresEar(address, world, self._announce, self._nodes)  #: to be served by whoever works on cases
        self._hinting = False
        self._hint_wanted = False

    @classmethod
    async def open(cls, address: PostgresAddress, world: World) -> "PostgresStore":
        """Open a schema; one that is missing is made.

        Raises:
            StoreInvalid: the URL is wrong, the schema is somebody else's, or the event loop is not asyncio's.
            StoreNewer: a newer version made it; it was not touched.
            StoreUnavailable: it cannot be reached just now.

        If cancelled, nothing stays open.
        """
        store = cls(address, world)
        try:
            await store._writer.start()
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def url(self) -> str:
        """Name the store, without its password."""
        return self._address.shown

    def on_arrival(self, heard: Callable[[Sequence[CaseKey]], None]) -> None:
        """Call `heard` on the event loop after each commit that gave cases an item or opened them.

        Those of other processes are heard while `ear` is served.
        """
        self._heard = heard

    async def aclose(self) -> None:
        """Finish the batch that is under way and close all connections; if cancelled, this happens all the same."""
        await self._writer.aclose()
        await self._reader.aclose()

    async def unsettled(self) -> bool:
        """Say whether any case, of whatever process, can go on without something from outside; as `case` raises."""
        return bool(await self._reader.ask(_value, _UNSETTLED))

    async def attended(self) -> bool:
        """Say whether any node of whatever process lives; as `case` raises."""
        return bool(await self._reader.ask(_value, _NODES))

    # What anybody may read.

    async def case(self, key: CaseKey) -> CaseRow | None:
        """Give one case with its waits."""
        return await self._reader.case(key)

    async def cases(
        self, tenant: str | None = None, *, status: CaseStatus | None = None, parent: str | None = None
    ) -> Sequence[CaseRow]:
        """Give cases with their waits, ordered by tenant and case id."""
        return await self._reader.cases(tenant, status=status, parent=parent)

    async def awaiting(
        self, keys: Sequence[str], *, after: Place = FIRST, limit: int | None = None
    ) -> Sequence[CaseRow]:
        """Give the cases that wait for one of these keys, who changed longest ago first."""
        return await self._reader.awaiting(keys, after=after, limit=limit)

    async def records(self, key: CaseKey, from_seq: int = 0) -> Sequence[Record]:
        """Give a case's log from `from_seq` on, in order."""
        return await self._reader.records(key, from_seq)

    async def reviews(self, *, state: str | None = None) -> Sequence[ReviewRow]:
        """Give reviews, oldest first."""
        return await self._reader.reviews(state=state)

    async def review(self, review_id: str) -> ReviewRow | None:
        """Give one review."""
        return await self._reader.review(review_id)

    async def artifact(self, sha256: str) -> bytes | None:
        """Give the bytes stored under their content hash."""
        return await self._reader.artifact(sha256)

    async def setting(self, name: str) -> str | None:
        """Give a remembered setting of this store."""
        return await self._reader.setting(name)

    async def transfer(self, key: CaseKey) -> Transfer | None:
        """Give all of one case, as it is at one moment."""
        return await self._reader.transfer(key)

    async def account(self, name: str) -> Account | None:
        """Give one account."""
        return await self._reader.account(name)

    async def accounts(self) -> Sequence[Account]:
        """Give all accounts, ordered by name."""
        return await self._reader.accounts()

    async def ledger(self, name: str) -> Sequence[LedgerEntry]:
        """Give an account's entries, in order."""
        return await self._reader.ledger(name)

    async def inbox(self, key: CaseKey) -> Sequence[InboxItem]:
        """Give what waits for a case, in order of insertion."""
        return await self._reader.inbox(key)

    async def held(self, node: str) -> Sequence[CaseKey]:
        """Give the cases that a node holds; looks at every case."""
        return await self._reader.ask_for_nodes(postgres_queries.held, node)

    # What somebody who does not own a case may write.

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Put a frame into the inbox of case `target`, or of every case that waits for key `target`.

        Raises:
            FrameInvalid: the frame is no `arrived` and no `cancel`.

        If cancelled, it may or may not have been delivered.
        """
        call = Delivery(tenant, target, item_id, rules.arrival_kind(item_id, frame), frame)
        answer = await self._ask(call)
        assert isinstance(answer, DeliverResult), "each call has its own kinds of answers"
        return answer

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide an open review by compare-and-set.

        Raises:
            FrameInvalid: the frame is no `decided` frame for this review.

        If cancelled, it may or may not have been decided.
        """
        rules.decision_of(review_id, frame)
        answer = await self._ask(Decision(review_id, proposal_hash, frame, now))
        assert isinstance(answer, DecideResult), "each call has its own kinds of answers"
        return answer

    async def put_artifact(self, sha256: str, data: bytes) -> None:
        """Keep bytes under their content hash; again is harmless.

        Raises:
            FrameInvalid: the hash is another.
            StoreUnavailable: it cannot be written just now, or it is not known whether it was.
        """
        rules.assert_content(sha256, data)
        await self._do(Artifact(sha256, data))

    # What the holder of a case may do.

    async def open_case(self, opening: Opening) -> OpenResult:
        """Open a case; durable when it returns."""
        rules.assert_opening(opening)
        answer = await self._ask(opening)
        assert isinstance(answer, OpenResult), "each call has its own kinds of answers"
        return answer

    async def deliver_and_claim(
        self, node: str, delivery: taking.Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> DeliverResult:
        """Deliver; the case that it wakes is left to the next claim of whichever node is first."""
        assert node, "a node has a name"
        return await self.deliver(delivery.tenant, delivery.target, delivery.item_id, delivery.frame)

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        """Take up to `limit` cases for a node, each with epoch + 1, oldest first, with what they need to begin.

        A case that another process is just writing to is passed over; the next claim finds it.

        Raises:
            StoreUnavailable: it cannot be written just now, or it is not known whether it was.

        If cancelled, cases may have been claimed; they are claimable again once the node's lease is over.
        """
        assert node, "a node has a name"
        claims = await self._do(Claim(node, limit, now, self._nodes.get(node, ())))
        assert isinstance(claims, Claims), "each call has its own kinds of answers"
        return claims

    async def reclaim(self, node: str, key: CaseKey) -> Claimed | None:
        """Take a case again that this node holds but has lost track of, with epoch + 1; None if it holds it not.

        Raises:
            StoreUnavailable: it cannot be written just now, or it is not known whether it was.

        If cancelled, the epoch may have grown; reclaim again.
        """
        assert node, "a node has a name"
        claimed = await self._do(Reclaim(node, key))
        assert claimed is None or isinstance(claimed, Claimed), "a claim again has one case or none"
        return claimed

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        """Say that a node lives until then; raises StoreUnavailable. A lease given up at once is told to the others."""
        self._nodes[node] = tuple(pin for pin in carries if postgres_queries.storable(pin))
        await self._do(Renewal(node, until, self._nodes[node]))
        if self._writer.others:
            self.ear.met()
        await self._learn_switches()
        if until == 0:
            self._hint_wanted = True
            await self._hint()

    async def append(self, append: Append) -> AppendResult:
        """Append to one case; durable when it returns `Appended`. If cancelled, treat it as `Unknown`."""
        rules.assert_append(append)
        answer = await self._ask(append)
        assert isinstance(answer, AppendResult), "each call has its own kinds of answers"
        return answer

    async def set_limit(self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False) -> LimitResult:
        """Set an account's limit; if cancelled, it may or may not have been set."""
        ledger_rules.assert_limit(name, limit_micros, by, at)
        answer = await self._ask(Limit(name, limit_micros, by, at, only_new))
        assert isinstance(answer, LimitResult), "each call has its own kinds of answers"
        return answer

    async def draw(self, draw: Draw) -> DrawResult:
        """Reserve an amount of several accounts at once, all or none; if cancelled, it may or may not be drawn."""
        ledger_rules.assert_draw(draw)
        answer = await self._ask(draw)
        assert isinstance(answer, DrawResult), "each call has its own kinds of answers"
        return answer

    async def remember(self, name: str, value: str) -> None:
        """Set a setting of this store; raises StoreUnavailable."""
        await self._do(Setting(name, value))

    async def extend(self, name: str, text: str) -> None:
        """Add to the end of a setting; raises StoreUnavailable. The other processes are told to look."""
        await self._do(Setting(name, text, added=True))
        self._hint_wanted = True
        await self._hint()
        self.ear.switches.forget()

    async def bring_in(self, transfers: Sequence[Transfer]) -> BringInResult:
        """Take in whole cases, all or none. If cancelled, they may be there or not."""
        for transfer in transfers:
            assert_transfer(transfer)
        answer = await self._ask(BringIn(tuple(transfers)))
        assert isinstance(answer, BringInResult), "each call has its own kinds of answers"
        return answer

    async def retain(self, keys: Sequence[CaseKey], account: Transfer) -> RetainResult:
        """Drop what closed cases contained, and bring in the account of it. If cancelled, it may be done or not."""
        assert_transfer(account)
        answer = await self._ask(Retain(tuple(dict.fromkeys(keys)), account))
        assert isinstance(answer, RetainResult), "each call has its own kinds of answers"
        return answer

    async def trim(self, cuts: Sequence[Cut], account: Transfer) -> TrimResult:
        """Drop the frames of earlier chapters, and bring in the account. If cancelled, it may be done or not."""
        assert_transfer(account)
        answer = await self._ask(Trim(tuple(cuts), account))
        assert isinstance(answer, TrimResult), "each call has its own kinds of answers"
        return answer

    async def shrink(self) -> None:
        """Do nothing: the server's autovacuum sees to it, and what it frees is used again before the table grows."""

    async def _ask(self, asked: Asked) -> object:
        answer = await self._writer.ask(asked)
        if self._hint_wanted:
            await self._hint()
        return answer

    async def _do(self, asked: Asked) -> object:
        answer = await self._writer.ask(asked)
        if isinstance(answer, Unavailable | Unknown):
            raise StoreUnavailable(self.url, answer.why)
        return answer

    async def _learn_switches(self) -> None:
        """Read what was switched, if more was than was heard of: a renewal says how much stands there."""
        if self.ear.switches.missed(self._writer.switches):
            with suppress(StoreError):
                self.ear.switches.hear(await self.setting(SWITCHES) or "")

    def _arrived(self, keys: Sequence[CaseKey]) -> None:
        if self._heard is None:
            # Where nobody listens here, somebody else must work on it.
            self._want_hint()
        self._announce(keys)

    def _want_hint(self) -> None:
        self._hint_wanted = True

    def _announce(self, keys: Sequence[CaseKey]) -> None:
        if self._heard is not None:
            self._heard(keys)

    async def _hint(self) -> None:
        """Tell the other processes to look; one hint at a time, the next speaks for all who came meanwhile."""
        if self._hinting:
            return
        self._hinting = True
        try:
            with anyio.move_on_after(HINT_SECONDS_MAX, shield=True):
                while self._hint_wanted:
                    self._hint_wanted = False
                    await self._reader.ask(_value, _HINT, self._address.channel, self.ear.name)
        except StoreError:
            # Without the hint they find it when they look next.
            pass
        finally:
            self._hinting = False


async def _value(link: Link, query: str, *args: object) -> object:
    found: object = await link.fetchval(query, *args)
    return found
