"""What the suites of a store share: the factory's type, and short ways to cases, records and frames.

It does not know which store is tested.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias, TypeVar

import anyio

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Decided, ReviewAction
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseKey,
    CaseOpened,
    CaseRow,
    CaseStatus,
    InboxItem,
    Opening,
    Record,
    ReviewRow,
    Store,
    Wait,
    WaitKind,
)

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
T = TypeVar("T", bound=type)

TENANT = "studio"
NODE = "node-1"
#: A moment; the store compares moments and knows no other meaning of them.
NOW = 1_800_000_000_000_000
#: How long one case may take, in seconds: only a store that hangs takes so long, on a machine with much else to do too.
CASE_SECONDS_MAX: Final = 30.0


def bounded(suite: T) -> T:
    """Bound every case of a suite, so that a store that hangs fails."""
    for name, case in list(vars(suite).items()):
        if name.startswith("test_"):
            setattr(suite, name, _bounded(case))
    return suite


def _bounded(case: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(case)
    async def within(*args: object, **kwargs: object) -> None:
        with anyio.fail_after(CASE_SECONDS_MAX):
            await case(*args, **kwargs)  # type: ignore[misc]

    return within


def key_of(name: str, tenant: str = TENANT) -> CaseKey:
    return CaseKey(tenant, name)


def opening(key: CaseKey, *, at: int = NOW, parent: str = "") -> Opening:
    record = Record(0, 0, "opened", "", at, b"opened", b"")
    return Opening(key, record, flow="quarter", version="1", source_hash="abc", crew="books", parent=parent)


def note(seq: int, epoch: int = 1, *, at: int = NOW, frame: bytes = b"noted") -> Record:
    return Record(seq, epoch, "noted", f"note#{seq}", at, frame, b"")


def arrived(item_id: str = "m1", key: str = "receipt") -> bytes:
    return encode(Arrived(key=key, message_id=item_id, by="ann"))


def decided(
    review_id: str = "r1",
    action: ReviewAction = ReviewAction.APPROVE,
    *,
    by: str = "ann",
    proposal_hash: str = "h1",
    at: int = NOW,
) -> bytes:
    return encode(Decided(review_id=review_id, action=action, by=by, proposal_hash=proposal_hash, at=at))


def review(key: CaseKey, review_id: str = "r1", *, expires: int = 0, opened_at: int = NOW) -> ReviewRow:
    return ReviewRow(
        id=review_id,
        key=key,
        step_id="review",
        title="Pay",
        state="open",
        opened_at=opened_at,
        expires=expires,
        proposal_hash="h1",
        frame=b"asked",
    )


def evidence(key: str) -> Wait:
    return Wait(key, WaitKind.EVIDENCE, reason="missing")


def timer(due: int) -> Wait:
    return Wait("timer", WaitKind.TIMER, due=due)


async def take(store: Store, node: str, *, limit: int, now: int) -> Sequence[CaseRow]:
    """Claim, and give the rows of what was claimed."""
    claims = await store.claim(node, limit=limit, now=now)
    assert not any(claimed.broken for claimed in claims.cases), "the logs of these cases can be read"
    return [claimed.row for claimed in claims.cases]


async def next_due(store: Store, now: int = NOW) -> int | None:
    """Give the earliest due moment that a node which takes nothing is told."""
    return (await store.claim("watcher", limit=0, now=now)).next_due


async def claimed(store: Store, name: str, *, node: str = NODE, now: int = NOW) -> CaseRow:
    """Open a case and claim it, for a node that lives."""
    await store.renew(node, until=now + 1_000)
    assert isinstance(await store.open_case(opening(key_of(name))), CaseOpened)
    rows = await take(store, node, limit=1, now=now)
    assert [row.key for row in rows] == [key_of(name)]
    return rows[0]


async def parked(
    store: Store, name: str, *waits: Wait, inbox_seen: int = 0, reviews: tuple[ReviewRow, ...] = ()
) -> CaseRow:
    """Open a case, claim it and park it."""
    row = await claimed(store, name)
    append = Append(
        row.key,
        row.epoch,
        1,
        (note(1),),
        status=CaseStatus.PARKED,
        waits=waits,
        release=True,
        inbox_seen=inbox_seen,
        reviews_opened=reviews,
    )
    assert isinstance(await store.append(append), Appended)
    return await there(store, name)


async def there(store: Store, name: str) -> CaseRow:
    row = await store.case(key_of(name))
    assert row is not None
    return row


async def close(store: Store, row: CaseRow) -> None:
    last = Record(row.next_seq, row.epoch, "closed", "", NOW, b"closed", b"")
    append = Append(row.key, row.epoch, row.next_seq, (last,), status=CaseStatus.CLOSED, result="completed")
    assert isinstance(await store.append(append), Appended)


def ids(items: Sequence[InboxItem]) -> list[str]:
    return [item.id for item in items]
