"""The store contract: a small set of atomic calls, each one transaction with a typed result.

Above it sit the node and its cases; below it, memory, SQLite and whatever keeps the same promises. Nothing raises
for what a caller must handle: the answer is one of the result records at the end of this file. No transaction is
held across an await of the caller. All times are microseconds since the epoch. An append compares the case's epoch
and next sequence number and does everything or nothing: log records, consumed inbox items, messages to other cases,
cases opened, reviews opened and withdrawn, settlements, waits, status. Only the owner of a case (the node that claimed
it, under its epoch) appends; everyone else puts an item into its inbox. It does not know what a record means.
"""

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

from casework.runtime.store.accounts import (
    Account,
    AccountKeeper,
    AccountReader,
    Drawn,
    DrawRefused,
    LimitSetter,
    Overdrawn,
    Settlement,
)
from casework.runtime.store.settings import SettingKeeper
from casework.runtime.store.taking import Taker
from casework.runtime.store.waiting import WaitReader

if TYPE_CHECKING:
    from casework.runtime.store.claims import Claimed, Claims


class CaseKey(NamedTuple):
    """The address of a case."""

    tenant: str
    case_id: str


class CaseStatus(enum.StrEnum):
    """Where a case stands."""

    OPEN = "open"
    """It has something to do; a node may claim it."""
    PARKED = "parked"
    """It waits for named things (see its waits) and has no node."""
    CLOSED = "closed"
    """It ended; nothing is appended any more."""


class WaitKind(enum.StrEnum):
    """What a parked case waits for."""

    EVIDENCE = "evidence"
    REVIEW = "review"
    TIMER = "timer"
    CHILD = "child"
    OPERATOR = "operator"
    """It cannot go on by itself; the reason says why."""


class Wait(Struct, frozen=True, gc=False):
    """One named thing that a case waits for; its key has 1 to `rules.INDEXED_BYTES_MAX` bytes."""

    key: str
    kind: WaitKind
    reason: str = ""
    due: int = 0
    """When a timer fires; 0 for everything else."""


class CaseRow(Struct, frozen=True, gc=False):
    """A case as the store sees it."""

    key: CaseKey
    epoch: int
    next_seq: int
    node: str
    """The node incarnation that claimed it, or empty."""
    status: CaseStatus
    result: str
    """How it ended, empty while it has not."""
    flow: str
    version: str
    source_hash: str
    crew: str
    parent: str
    head: bytes
    opened_at: int
    changed_at: int
    waits: tuple[Wait, ...] = ()
    claims: int = 0
    """How often it was claimed since its last record, release or clean end of a node; many mean that it kills."""
    chapter: int = 0
    """Sequence number of the record with which its replay begins."""


class Record(Struct, frozen=True, gc=False):
    """One entry of a case's log."""

    seq: int
    epoch: int
    kind: str
    step_id: str
    at: int
    frame: bytes
    hash: bytes = b""
    """Its place in the chain, given by the store when it is appended; what an append carries here is ignored."""
    frame_hash: bytes = b""
    """Hash of a frame that retention dropped: `frame` is empty then. Else empty."""


class InboxItem(Struct, frozen=True, gc=False):
    """A message that waits to be read by a case; `id` is unique per receiver for the life of the case."""

    key: CaseKey
    id: str
    kind: str
    """Tag of the frame: `arrived`, `decided`, `cancel`, `reported`."""
    frame: bytes
    position: int = 0
    """Given by the store: grows with each insertion."""
    otherwise: "InboxItem | None" = None
    """What an append sends out in its place where its receiver is closed or absent; None: nothing. Not kept."""


class ReviewRow(Struct, frozen=True, gc=False):
    """A review as the queue shows it; one that is opened again stays as it is."""

    id: str
    key: CaseKey
    step_id: str
    title: str
    state: str
    """`open`, `decided` or `withdrawn`."""
    opened_at: int
    expires: int
    proposal_hash: str
    frame: bytes
    """The `Review` record's frame."""
    decision: bytes = b""
    """The `Decided` frame, empty until there is one."""


class Opening(Struct, frozen=True, gc=False):
    """A case to be opened together with its first record."""

    key: CaseKey
    record: Record
    """seq 0, epoch 0, kind `opened`."""
    flow: str
    version: str
    source_hash: str
    crew: str
    parent: str = ""
    node: str = ""
    """The node that takes it at once, under epoch 1 and as its first claim, and is not told of it; else it is free."""
    otherwise: InboxItem | None = None
    """What goes out where an append opens it, but the key is there and has another parent; None: nothing."""


class Append(Struct, frozen=True, gc=False):
    """Everything that one step of a case changes, at once."""

    key: CaseKey
    epoch: int
    next_seq: int
    """Sequence number that the first of `records` has."""
    records: tuple[Record, ...]
    status: CaseStatus = CaseStatus.OPEN
    result: str = ""
    waits: tuple[Wait, ...] | None = None
    """The case's waits from now on; None leaves them."""
    chapter: int | None = None
    """Where its replay begins from now on; None leaves it."""
    pinned: tuple[str, str] | None = None
    """Version and source hash of its flow from now on; None leaves them."""
    consumed: tuple[str, ...] = ()
    """Ids of inbox items that `records` hold; they never come again."""
    sends: tuple[InboxItem, ...] = ()
    """One whose id the receiver had before is dropped; where the receiver is closed or absent, `otherwise` is sent."""
    opens: tuple[Opening, ...] = ()
    """An opening whose key exists is dropped, and its `otherwise` sent if that case has another parent."""
    reviews_opened: tuple[ReviewRow, ...] = ()
    reviews_withdrawn: tuple[str, ...] = ()
    """Not one whose decision was consumed by an earlier append. A decision that nobody will hear stays in its row."""
    settles: tuple[Settlement, ...] = ()
    """What calls cost; one whose draw is settled, or was made in another store, is dropped."""
    release: bool = False
    """Give the case back: no node holds it from now on."""
    inbox_seen: int = 0
    """With `release`: the highest inbox position that was read. Only a later item makes a parked case claimable."""


# Results. Each call names those it can give.


class Appended(Struct, frozen=True, gc=False):
    """It is durable; `head` is the hash of the last record of a case that it closed, else empty, or not told."""

    head: bytes = b""
    rests: bool = False
    """It was given back parked, and nothing has come that it has not seen; False where nobody looked for that."""


class Fenced(Struct, frozen=True, gc=False):
    """The epoch differs: another incarnation owns the case. Stop and drop; never retry."""

    epoch: int


class Conflict(Struct, frozen=True, gc=False):
    """Only the sequence number differs; our own state is behind."""

    next_seq: int


class Unavailable(Struct, frozen=True, gc=False):
    """Nothing happened, the store cannot do it just now."""

    why: str


class Unknown(Struct, frozen=True, gc=False):
    """Perhaps committed, perhaps not. Claim again and replay."""

    why: str


class CaseOpened(Struct, frozen=True, gc=False):
    """The case is there and is new."""

    key: CaseKey


class CaseExists(Struct, frozen=True, gc=False):
    """The case was there before; nothing changed."""

    row: CaseRow


class Delivered(Struct, frozen=True, gc=False):
    """The item is durable in the inbox of each of these cases."""

    keys: tuple[CaseKey, ...]


class Duplicate(Struct, frozen=True, gc=False):
    """Every receiver had this message id before; nothing changed."""

    keys: tuple[CaseKey, ...]


class Nobody(Struct, frozen=True, gc=False):
    """No open case has that id and none waits for that key; nothing was stored."""

    target: str


class DecisionTaken(Struct, frozen=True, gc=False):
    """The decision is durable and in the case's inbox; again gives this again, unless the case withdrew it unheard."""

    review: ReviewRow


class DecisionRefused(Struct, frozen=True, gc=False):
    """The decision does not stand: `why` is `decided`, `withdrawn`, `expired`, `stale` or `absent`."""

    why: str
    review: ReviewRow | None = None


AppendResult = Appended | Fenced | Conflict | Unavailable | Unknown
OpenResult = CaseOpened | CaseExists | Unavailable | Unknown
DeliverResult = Delivered | Duplicate | Nobody | Unavailable | Unknown
DrawResult = Drawn | Overdrawn | DrawRefused | Unavailable | Unknown
LimitResult = Account | Unavailable | Unknown
DecideResult = DecisionTaken | DecisionRefused | Unavailable | Unknown


class StoreReader(AccountReader, WaitReader, Protocol):
    """What anybody may read; a read sees only what is durable.

    Raises (each call): StoreUnavailable, StoreInvalid.
    """

    async def case(self, key: CaseKey) -> CaseRow | None:
        """Give one case with its waits."""
        ...

    async def cases(
        self, tenant: str | None = None, *, status: CaseStatus | None = None, parent: str | None = None
    ) -> Sequence[CaseRow]:
        """Give cases with their waits, ordered by tenant and case id."""
        ...

    async def records(self, key: CaseKey, from_seq: int = 0) -> Sequence[Record]:
        """Give a case's log from `from_seq` on, in order."""
        ...

    async def reviews(self, *, state: str | None = None) -> Sequence[ReviewRow]:
        """Give reviews, oldest first."""
        ...

    async def review(self, review_id: str) -> ReviewRow | None:
        """Give one review."""
        ...

    async def artifact(self, sha256: str) -> bytes | None:
        """Give the bytes stored under their content hash."""
        ...

    async def setting(self, name: str) -> str | None:
        """Give a remembered setting of this store."""
        ...

    async def aclose(self) -> None:
        """Let go of the store; if cancelled, it is let go of all the same."""
        ...


class StoreDoor(LimitSetter, Protocol):
    """What somebody who does not own the case may write."""

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Put an `arrived` or `cancel` frame into the inbox of case `target`, or of every case that waits for key
        `target` (an open case of that id wins). FrameInvalid refuses another frame, or id: see `rules.arrival_kind`.

        If cancelled, it may or may not have been delivered; the same `item_id` again does no harm.
        """
        ...

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide an open review by compare-and-set: `frame` is the `Decided` record, `proposal_hash` what was seen.

        It must be open, not expired at `now`, its hash equal. In the same transaction the decision goes into the inbox
        of the case, under the id `decided:<review id>`.
        """
        ...

    async def put_artifact(self, sha256: str, data: bytes) -> None:
        """Keep bytes under their content hash; again is harmless."""
        ...


class Store(StoreReader, StoreDoor, AccountKeeper, SettingKeeper, Taker, Protocol):
    """What the owner of the store may do."""

    @property
    def url(self) -> str:
        """Name the store."""
        ...

    async def open_case(self, opening: Opening) -> OpenResult:
        """Open a case; durable when it returns."""
        ...

    async def claim(self, node: str, *, limit: int, now: int) -> "Claims":
        """Take up to `limit` cases for a node, each with epoch + 1, oldest first, and read what they need to begin.

        Once their frames amount to more than `rules.CLAIM_BYTES_MAX` the rest is left for the next claim. Claimable is
        a case without a living node that is OPEN, or PARKED with an inbox item beyond what it has seen, or PARKED with
        a timer due at `now`. What the asker itself holds is not, though its lease be over: it may be at work on it.

        Each claim counts in the row's `claims`, until the case is appended to (records or a release) or its node ends
        cleanly. A suspect, with `rules.SUSPECT_CLAIMS` of them, comes before the others and alone: while the node holds
        one without a new record, it gets nothing else for `rules.ALONE_MICROS` after the claim, and no other suspect
        for `rules.SUSPECT_MICROS`. Of those with fewer it holds at most `rules.DOUBTED_MAX` that were given within
        `rules.SUSPECT_MICROS` and have no new record.
        """
        ...

    async def reclaim(self, node: str, key: CaseKey) -> "Claimed | None":
        """Take a case again that a node holds, with epoch + 1, which counts as no claim; None if it holds it not."""
        ...

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        """Say that a node lives until then; 0 is its clean end. One that never renewed, or not in time, does not live.

        One that `carries` flows, each a `rules.pin`, gets none that only others carry; one process may pass this over.
        """
        ...

    async def append(self, append: Append) -> AppendResult:
        """Append to one case, many in one commit; durable when it returns `Appended`. If cancelled: `Unknown`."""
        ...

    async def inbox(self, key: CaseKey) -> Sequence[InboxItem]:
        """Give what waits for a case, in order of insertion."""
        ...

    async def held(self, node: str) -> Sequence[CaseKey]:
        """Give the cases that a node holds: it may have claimed some without hearing of it."""
        ...

    def on_arrival(self, heard: Callable[[Sequence[CaseKey]], None]) -> None:
        """Have the one listener hear of each commit that gave cases an item or opened them; it must not block."""
        ...
