"""What every store promises, as one suite: subclass `StoreConformance` and give it a factory.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def open_store(self, tmp_path: Path) -> OpenStore:
            return lambda: MyStore.open(tmp_path)       # an async context manager

The factory opens the same store each time within one test, so a case may close it and look again.
It does not know how a store keeps anything.
"""

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, TypeVar

import anyio
import pytest

from casework.protocols.codec import digest, encode, pack
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Arrived, Cancel, Decided, ReviewAction
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseKey,
    CaseOpened,
    CaseRow,
    CaseStatus,
    Conflict,
    DecisionRefused,
    DecisionTaken,
    Delivered,
    Duplicate,
    Fenced,
    InboxItem,
    Nobody,
    Opening,
    Record,
    ReviewRow,
    Store,
    Wait,
    WaitKind,
)
from casework.runtime.store.chain import broken_at
from casework.runtime.store.verify import verify

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
T = TypeVar("T", bound=type)

TENANT = "studio"
NODE = "node-1"
#: A moment; the store compares moments and knows no other meaning of them.
NOW = 1_800_000_000_000_000


def bounded(suite: T) -> T:
    """Bound every case of a suite, so that a store that hangs fails."""
    for name, case in list(vars(suite).items()):
        if name.startswith("test_"):
            setattr(suite, name, _bounded(case))
    return suite


def _bounded(case: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(case)
    async def within(*args: object, **kwargs: object) -> None:
        with anyio.fail_after(5):
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


async def claimed(store: Store, name: str, *, node: str = NODE, now: int = NOW) -> CaseRow:
    """Open a case and claim it, for a node that lives."""
    await store.renew(node, until=now + 1_000)
    assert isinstance(await store.open_case(opening(key_of(name))), CaseOpened)
    rows = await store.claim(node, limit=1, now=now)
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
    assert await store.append(append) == Appended()
    return await there(store, name)


async def there(store: Store, name: str) -> CaseRow:
    row = await store.case(key_of(name))
    assert row is not None
    return row


async def close(store: Store, row: CaseRow) -> None:
    append = Append(
        row.key, row.epoch, row.next_seq, (note(row.next_seq, row.epoch),), status=CaseStatus.CLOSED, result="completed"
    )
    assert await store.append(append) == Appended()


def ids(items: Sequence[InboxItem]) -> list[str]:
    return [item.id for item in items]


@bounded
class StoreConformance:
    """The promises of `casework.runtime.store.base`, case by case."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """Give the factory; to be overridden."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        async with open_store() as store:
            yield store

    # Opening.

    async def test_an_opened_case_is_open_with_its_first_record(self, store: Store) -> None:
        key = key_of("c")
        assert await store.open_case(opening(key, parent="p")) == CaseOpened(key)
        row = await there(store, "c")
        assert (row.status, row.epoch, row.next_seq, row.node, row.parent) == (CaseStatus.OPEN, 0, 1, "", "p")
        assert (row.flow, row.version, row.source_hash, row.crew) == ("quarter", "1", "abc", "books")
        assert row.opened_at == row.changed_at == NOW
        [record] = await store.records(key)
        assert (record.seq, record.kind, record.frame) == (0, "opened", b"opened")
        assert record.hash == row.head

    @pytest.mark.promise("STORE-1")
    async def test_opening_a_case_again_changes_nothing_and_gives_the_case(self, store: Store) -> None:
        row = await claimed(store, "c")
        assert await store.open_case(opening(key_of("c"), at=NOW + 9)) == CaseExists(row)
        assert len(await store.records(key_of("c"))) == 1

    async def test_the_same_id_under_two_tenants_is_two_cases(self, store: Store) -> None:
        await store.open_case(opening(key_of("c", "a")))
        await store.open_case(opening(key_of("c", "b")))
        assert [row.key.tenant for row in await store.cases()] == ["a", "b"]
        assert [row.key.tenant for row in await store.cases("a")] == ["a"]

    async def test_what_is_not_there_reads_as_nothing(self, store: Store) -> None:
        nowhere = key_of("nowhere")
        assert await store.case(nowhere) is None
        assert list(await store.records(nowhere)) == []
        assert list(await store.inbox(nowhere)) == []
        assert await store.review("none") is None
        assert await store.artifact("00") is None
        assert await store.setting("none") is None
        assert await store.next_due() is None

    async def test_cases_come_by_tenant_and_id_and_can_be_chosen(self, store: Store) -> None:
        await parked(store, "b", evidence("receipt"))
        await store.open_case(opening(key_of("c", "other")))
        await store.open_case(opening(key_of("a"), parent="b"))
        assert [row.key for row in await store.cases()] == [key_of("c", "other"), key_of("a"), key_of("b")]
        assert [row.key for row in await store.cases(status=CaseStatus.PARKED)] == [key_of("b")]
        assert [row.key for row in await store.cases(parent="b")] == [key_of("a")]
        assert [row.key for row in await store.cases(TENANT, status=CaseStatus.OPEN, parent="b")] == [key_of("a")]
        assert [row.waits for row in await store.cases(TENANT)] == [(), (evidence("receipt"),)]

    # Claiming.

    @pytest.mark.promise("STORE-2")
    async def test_a_claim_raises_the_epoch_and_names_the_node(self, store: Store) -> None:
        row = await claimed(store, "c")
        assert (row.epoch, row.node) == (1, NODE)
        assert await there(store, "c") == row

    async def test_a_claim_takes_the_oldest_first_up_to_its_limit(self, store: Store) -> None:
        for name, at in (("young", NOW + 2), ("old", NOW), ("middle", NOW + 1)):
            await store.open_case(opening(key_of(name), at=at))
        await store.renew(NODE, until=NOW + 1_000)
        assert [row.key.case_id for row in await store.claim(NODE, limit=2, now=NOW)] == ["old", "middle"]
        assert [row.key.case_id for row in await store.claim(NODE, limit=2, now=NOW)] == ["young"]

    async def test_a_case_of_a_living_node_is_not_claimable(self, store: Store) -> None:
        await claimed(store, "c")
        assert list(await store.claim("node-2", limit=9, now=NOW)) == []

    @pytest.mark.promise("STORE-2")
    async def test_a_case_of_a_node_whose_time_is_over_is_claimable(self, store: Store) -> None:
        await claimed(store, "c")
        assert list(await store.claim("node-2", limit=9, now=NOW + 999)) == []
        [row] = await store.claim("node-2", limit=9, now=NOW + 1_000)
        assert (row.epoch, row.node) == (2, "node-2")

    async def test_a_node_that_renews_keeps_its_cases(self, store: Store) -> None:
        await claimed(store, "c")
        await store.renew(NODE, until=NOW + 5_000)
        assert list(await store.claim("node-2", limit=9, now=NOW + 1_000)) == []

    async def test_a_node_that_never_renewed_does_not_live(self, store: Store) -> None:
        await store.open_case(opening(key_of("c")))
        await store.claim("ghost", limit=1, now=NOW)
        [row] = await store.claim(NODE, limit=1, now=NOW)
        assert row.epoch == 2

    async def test_a_parked_case_without_news_is_not_claimable(self, store: Store) -> None:
        await parked(store, "c", evidence("receipt"))
        assert list(await store.claim(NODE, limit=9, now=NOW)) == []

    async def test_a_parked_case_with_a_new_item_is_claimable(self, store: Store) -> None:
        await parked(store, "c", evidence("receipt"))
        await store.deliver(TENANT, "c", "m1", arrived())
        [row] = await store.claim(NODE, limit=9, now=NOW)
        assert (row.key, row.status) == (key_of("c"), CaseStatus.PARKED)

    @pytest.mark.promise("STORE-3")
    async def test_an_item_that_was_seen_does_not_wake_a_parked_case_again(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        [item] = await store.inbox(row.key)
        park = Append(row.key, 1, 1, (note(1),), status=CaseStatus.PARKED, release=True, inbox_seen=item.position)
        assert await store.append(park) == Appended()
        assert list(await store.claim(NODE, limit=9, now=NOW)) == []
        await store.deliver(TENANT, "c", "m2", arrived("m2"))
        assert [row.key for row in await store.claim(NODE, limit=9, now=NOW)] == [row.key]

    @pytest.mark.promise("STORE-3")
    async def test_an_item_that_came_after_the_last_look_wakes_the_case_that_parks(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        [item] = await store.inbox(row.key)
        await store.deliver(TENANT, "c", "m2", arrived("m2"))
        await store.append(
            Append(row.key, 1, 1, (note(1),), status=CaseStatus.PARKED, release=True, inbox_seen=item.position)
        )
        assert [row.key for row in await store.claim(NODE, limit=9, now=NOW)] == [row.key]

    async def test_a_parked_case_is_claimable_once_its_timer_is_due(self, store: Store) -> None:
        await parked(store, "c", timer(NOW + 50))
        assert list(await store.claim(NODE, limit=9, now=NOW + 49)) == []
        assert len(await store.claim(NODE, limit=9, now=NOW + 50)) == 1

    async def test_a_closed_case_is_never_claimable(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        await close(store, row)
        assert list(await store.claim("node-2", limit=9, now=NOW + 9_999)) == []

    async def test_a_released_open_case_is_claimable_at_once(self, store: Store) -> None:
        row = await claimed(store, "c")
        assert await store.append(Append(row.key, 1, 1, (), release=True)) == Appended()
        assert (await there(store, "c")).node == ""
        [again] = await store.claim(NODE, limit=1, now=NOW)
        assert again.epoch == 2

    @pytest.mark.promise("STORE-10")
    async def test_a_node_takes_a_case_again_only_while_it_holds_it(self, store: Store) -> None:
        row = await claimed(store, "c")
        again = await store.reclaim(NODE, row.key)
        assert again is not None
        assert (again.epoch, again.node) == (2, NODE)
        assert await store.append(Append(row.key, 1, 1, (note(1),))) == Fenced(2)
        assert await store.append(Append(row.key, 2, 1, (note(1, 2),))) == Appended()
        assert await store.reclaim("node-2", row.key) is None
        assert await store.reclaim(NODE, key_of("nowhere")) is None
        await store.claim("node-2", limit=1, now=NOW + 1_000)
        assert await store.reclaim(NODE, row.key) is None
        assert (await there(store, "c")).epoch == 3

    async def test_a_case_that_was_released_or_closed_is_not_taken_again(self, store: Store) -> None:
        released = await parked(store, "a")
        closed = await claimed(store, "b")
        await close(store, closed)
        assert await store.reclaim(NODE, released.key) is None
        assert await store.reclaim(NODE, closed.key) is None

    # Appending.

    async def test_an_append_is_read_back_in_order_with_its_fields(self, store: Store) -> None:
        row = await claimed(store, "c")
        records = (note(1, frame=b"one"), note(2, frame=b"", at=NOW + 7))
        assert await store.append(Append(row.key, 1, 1, records)) == Appended()
        kept = await store.records(row.key)
        assert [(r.seq, r.epoch, r.kind, r.step_id, r.at, r.frame) for r in kept[1:]] == [
            (r.seq, r.epoch, r.kind, r.step_id, r.at, r.frame) for r in records
        ]
        assert [record.seq for record in await store.records(row.key, 2)] == [2]
        after = await there(store, "c")
        assert (after.next_seq, after.changed_at, after.node) == (3, NOW + 7, NODE)

    @pytest.mark.promise("STORE-4")
    async def test_an_append_under_an_older_epoch_is_fenced_and_changes_nothing(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.claim("node-2", limit=1, now=NOW + 1_000)
        before = await there(store, "c")
        stale = Append(
            row.key, 1, 1, (note(1),), sends=(InboxItem(row.key, "s", "arrived", b"x"),), opens=(opening(key_of("d")),)
        )
        assert await store.append(stale) == Fenced(2)
        assert await there(store, "c") == before
        assert len(await store.records(row.key)) == 1
        assert list(await store.inbox(row.key)) == []
        assert await store.case(key_of("d")) is None

    async def test_an_append_under_an_epoch_that_was_never_given_is_fenced(self, store: Store) -> None:
        row = await claimed(store, "c")
        assert await store.append(Append(row.key, 7, 1, (note(1, 7),))) == Fenced(1)

    @pytest.mark.promise("STORE-4")
    async def test_an_append_to_a_case_that_nobody_holds_is_fenced(self, store: Store) -> None:
        await store.open_case(opening(key_of("c")))
        assert await store.append(Append(key_of("c"), 0, 1, (note(1, 0),))) == Fenced(0)
        assert isinstance(await store.append(Append(key_of("nowhere"), 1, 1, (note(1),))), Fenced)

    async def test_an_append_after_a_release_is_fenced(self, store: Store) -> None:
        row = await parked(store, "c")
        assert await store.append(Append(row.key, 1, 2, (note(2),))) == Fenced(1)

    @pytest.mark.promise("STORE-4")
    async def test_an_append_at_another_sequence_number_conflicts_and_changes_nothing(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),)))
        assert await store.append(Append(row.key, 1, 1, (note(1, frame=b"other"),))) == Conflict(2)
        assert await store.append(Append(row.key, 1, 3, (note(3),))) == Conflict(2)
        assert [record.frame for record in await store.records(row.key)] == [b"opened", b"noted"]

    async def test_nothing_is_appended_to_a_closed_case(self, store: Store) -> None:
        row = await claimed(store, "c")
        await close(store, row)
        after = await there(store, "c")
        assert (after.status, after.result, after.node, after.waits) == (CaseStatus.CLOSED, "completed", "", ())
        assert await store.append(Append(row.key, 1, 2, (note(2),))) == Fenced(1)

    async def test_waits_stay_until_they_are_replaced(self, store: Store) -> None:
        row = await claimed(store, "c")
        waits = (evidence("receipt"), timer(NOW + 5), Wait("r1", WaitKind.REVIEW, "asks"))
        await store.append(Append(row.key, 1, 1, (note(1),), waits=waits))
        await store.append(Append(row.key, 1, 2, (note(2),)))
        assert (await there(store, "c")).waits == waits
        await store.append(Append(row.key, 1, 3, (note(3),), waits=()))
        assert (await there(store, "c")).waits == ()

    # The inbox.

    async def test_a_delivery_to_a_case_waits_in_its_inbox(self, store: Store) -> None:
        await claimed(store, "c")
        assert await store.deliver(TENANT, "c", "m1", arrived()) == Delivered((key_of("c"),))
        await store.deliver(TENANT, "c", "m2", encode(Cancel(message_id="m2", by="ann")))
        first, second = await store.inbox(key_of("c"))
        assert (first.id, first.kind, first.frame) == ("m1", "arrived", arrived())
        assert (second.id, second.kind) == ("m2", "cancel")
        assert 0 < first.position < second.position

    @pytest.mark.promise("STORE-5")
    async def test_the_same_message_id_is_taken_once(self, store: Store) -> None:
        await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        assert await store.deliver(TENANT, "c", "m1", arrived()) == Duplicate((key_of("c"),))
        assert ids(await store.inbox(key_of("c"))) == ["m1"]

    @pytest.mark.promise("STORE-5")
    async def test_a_consumed_message_never_comes_again(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        await store.append(Append(row.key, 1, 1, (note(1),), consumed=("m1",)))
        assert list(await store.inbox(row.key)) == []
        assert await store.deliver(TENANT, "c", "m1", arrived()) == Duplicate((row.key,))
        assert list(await store.inbox(row.key)) == []

    async def test_a_fenced_append_consumes_nothing(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        await store.append(Append(row.key, 9, 1, (note(1, 9),), consumed=("m1",)))
        assert ids(await store.inbox(row.key)) == ["m1"]

    async def test_a_delivery_by_key_reaches_every_case_that_waits_for_it(self, store: Store) -> None:
        for name in ("a", "b"):
            await parked(store, name, evidence("receipt"))
        await parked(store, "c", evidence("other"))
        result = await store.deliver(TENANT, "receipt", "m1", arrived())
        assert result == Delivered((key_of("a"), key_of("b")))
        assert [ids(await store.inbox(key_of(name))) for name in "abc"] == [["m1"], ["m1"], []]

    async def test_a_delivery_by_key_to_some_that_had_it_names_those_that_had_not(self, store: Store) -> None:
        row = await parked(store, "b")
        await parked(store, "a", evidence("receipt"))
        await store.deliver(TENANT, "receipt", "m1", arrived())
        await store.deliver(TENANT, "b", "m0", arrived("m0"))
        await store.claim(NODE, limit=2, now=NOW)
        await store.append(Append(row.key, 2, 2, (note(2, 2),), waits=(evidence("receipt"),)))
        assert await store.deliver(TENANT, "receipt", "m1", arrived()) == Delivered((key_of("b"),))

    async def test_a_key_awaited_twice_by_one_case_is_delivered_once(self, store: Store) -> None:
        await parked(store, "a", evidence("receipt"), evidence("receipt"))
        assert await store.deliver(TENANT, "receipt", "m1", arrived()) == Delivered((key_of("a"),))

    async def test_a_case_of_that_id_wins_over_cases_that_wait_for_that_key(self, store: Store) -> None:
        await parked(store, "a", evidence("b"))
        await parked(store, "b", evidence("receipt"))
        assert await store.deliver(TENANT, "b", "m1", arrived()) == Delivered((key_of("b"),))

    async def test_a_closed_case_gives_way_to_those_that_wait_for_its_name(self, store: Store) -> None:
        await close(store, await claimed(store, "b"))
        await parked(store, "a", evidence("b"))
        assert await store.deliver(TENANT, "b", "m1", arrived()) == Delivered((key_of("a"),))

    async def test_a_delivery_for_nobody_is_not_stored(self, store: Store) -> None:
        await close(store, await claimed(store, "closed"))
        await parked(store, "a", evidence("receipt"))
        for target in ("nowhere", "closed", "recei"):
            assert await store.deliver(TENANT, target, "m1", arrived()) == Nobody(target)
        assert await store.deliver("other", "receipt", "m1", arrived()) == Nobody("receipt")
        assert list(await store.inbox(key_of("a"))) == []

    async def test_a_target_from_undecodable_bytes_is_nobody(self, store: Store) -> None:
        target = b"caf\xe9".decode("utf-8", "surrogateescape")
        assert await store.deliver(TENANT, target, "m1", arrived()) == Nobody(target)
        assert await store.case(key_of(target)) is None

    @pytest.mark.promise("STORE-5")
    async def test_a_delivery_by_key_repeated_after_it_was_consumed_is_a_duplicate(self, store: Store) -> None:
        await parked(store, "a", evidence("receipt"))
        await store.deliver(TENANT, "receipt", "m1", arrived())
        [row] = await store.claim(NODE, limit=1, now=NOW)
        await store.append(Append(row.key, 2, 2, (note(2, 2),), consumed=("m1",), waits=()))
        assert await store.deliver(TENANT, "receipt", "m1", arrived()) == Duplicate((row.key,))
        assert await store.deliver(TENANT, "receipt", "m2", arrived("m2")) == Nobody("receipt")

    async def test_a_frame_that_is_no_delivery_is_refused(self, store: Store) -> None:
        await claimed(store, "c")
        for frame in (b"", b"\xff\x00", decided(), pack({"type": "arrived"})):
            with pytest.raises(FrameInvalid):
                await store.deliver(TENANT, "c", "m1", bytes(frame))
        assert list(await store.inbox(key_of("c"))) == []

    # Messages and cases that an append sends out.

    async def test_a_message_reaches_the_inbox_of_another_case(self, store: Store) -> None:
        await parked(store, "b")
        row = await claimed(store, "a")
        item = InboxItem(key_of("b"), "s1", "arrived", b"sent")
        assert await store.append(Append(row.key, 1, 1, (note(1),), sends=(item,))) == Appended()
        [got] = await store.inbox(key_of("b"))
        assert (got.id, got.kind, got.frame) == ("s1", "arrived", b"sent")

    @pytest.mark.promise("STORE-6")
    async def test_a_message_that_the_receiver_had_or_cannot_have_is_dropped(self, store: Store) -> None:
        await close(store, await claimed(store, "closed"))
        await parked(store, "b")
        row = await claimed(store, "a")
        sends = tuple(InboxItem(key_of(name), "s1", "arrived", b"sent") for name in ("b", "b", "closed", "nowhere"))
        assert await store.append(Append(row.key, 1, 1, (note(1),), sends=sends)) == Appended()
        assert await store.append(Append(row.key, 1, 2, (note(2),), sends=sends)) == Appended()
        assert ids(await store.inbox(key_of("b"))) == ["s1"]
        assert list(await store.inbox(key_of("closed"))) == []

    @pytest.mark.promise("STORE-6")
    async def test_a_case_opened_by_an_append_is_opened_once(self, store: Store) -> None:
        row = await claimed(store, "a")
        child = opening(key_of("child"), parent="a")
        await store.append(Append(row.key, 1, 1, (note(1),), opens=(child,)))
        await store.append(Append(row.key, 1, 2, (note(2),), opens=(opening(key_of("child"), at=NOW + 1),)))
        [found] = await store.cases(parent="a")
        assert (found.key, found.status, found.next_seq, found.opened_at) == (child.key, CaseStatus.OPEN, 1, NOW)
        assert broken_at(found, await store.records(child.key)) is None

    async def test_a_message_to_a_case_opened_by_the_same_append_arrives(self, store: Store) -> None:
        row = await claimed(store, "a")
        item = InboxItem(key_of("child"), "s1", "arrived", b"sent")
        await store.append(Append(row.key, 1, 1, (note(1),), opens=(opening(key_of("child")),), sends=(item,)))
        assert ids(await store.inbox(key_of("child"))) == ["s1"]

    # Reviews.

    async def test_a_review_is_in_the_queue_until_it_is_decided(self, store: Store) -> None:
        asked = review(key_of("c"))
        await parked(store, "c", reviews=(asked,))
        assert list(await store.reviews(state="open")) == [asked]
        result = await store.decide("r1", "h1", decided(), NOW)
        assert isinstance(result, DecisionTaken)
        assert (result.review.state, result.review.decision) == ("decided", decided())
        assert await store.review("r1") == result.review
        assert list(await store.reviews(state="open")) == []
        [item] = await store.inbox(key_of("c"))
        assert (item.id, item.kind, item.frame) == ("decided:r1", "decided", decided())
        assert len(await store.claim(NODE, limit=9, now=NOW)) == 1

    async def test_reviews_come_oldest_first(self, store: Store) -> None:
        key = key_of("c")
        await parked(store, "c", reviews=(review(key, "late", opened_at=NOW + 1), review(key, "early")))
        assert [found.id for found in await store.reviews()] == ["early", "late"]

    @pytest.mark.promise("STORE-7")
    async def test_the_same_decision_again_is_the_one_taken(self, store: Store) -> None:
        await parked(store, "c", reviews=(review(key_of("c"), expires=NOW + 5),))
        first = await store.decide("r1", "h1", decided(), NOW)
        assert await store.decide("r1", "h1", decided(at=NOW + 99), NOW + 99) == first
        assert ids(await store.inbox(key_of("c"))) == ["decided:r1"]

    @pytest.mark.promise("STORE-7")
    async def test_another_decision_is_refused_with_the_one_taken(self, store: Store) -> None:
        await parked(store, "c", reviews=(review(key_of("c")),))
        first = await store.decide("r1", "h1", decided(), NOW)
        assert isinstance(first, DecisionTaken)
        for other in (decided(action=ReviewAction.REJECT), decided(by="bob")):
            assert await store.decide("r1", "h1", other, NOW) == DecisionRefused("decided", first.review)

    @pytest.mark.promise("STORE-7")
    async def test_of_many_decisions_at_once_exactly_one_is_taken(self, store: Store) -> None:
        await parked(store, "c", reviews=(review(key_of("c")),))
        results: list[object] = []

        async def click(person: str) -> None:
            results.append(await store.decide("r1", "h1", decided(by=person), NOW))

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(click, f"person-{number}")
        assert sum(isinstance(result, DecisionTaken) for result in results) == 1
        assert len(await store.inbox(key_of("c"))) == 1

    async def test_a_decision_that_cannot_stand_says_why(self, store: Store) -> None:
        await parked(store, "c", reviews=(review(key_of("c"), expires=NOW + 5),))
        row = await store.review("r1")
        assert await store.decide("none", "h1", decided("none"), NOW) == DecisionRefused("absent")
        assert await store.decide("r1", "h1", decided(), NOW + 5) == DecisionRefused("expired", row)
        stale = await store.decide("r1", "h2", decided(proposal_hash="h2"), NOW)
        assert stale == DecisionRefused("stale", row)
        assert await store.decide("r1", "h1", decided(proposal_hash="h2"), NOW) == DecisionRefused("stale", row)
        assert list(await store.inbox(key_of("c"))) == []
        assert isinstance(await store.decide("r1", "h1", decided(), NOW + 4), DecisionTaken)

    async def test_a_frame_that_decides_something_else_is_refused(self, store: Store) -> None:
        await parked(store, "c", reviews=(review(key_of("c")),))
        for frame in (b"", arrived(), decided("r2")):
            with pytest.raises(FrameInvalid):
                await store.decide("r1", "h1", frame, NOW)
        assert [found.state for found in await store.reviews()] == ["open"]

    async def test_a_withdrawn_review_is_not_decided(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),), reviews_opened=(review(row.key),)))
        await store.append(Append(row.key, 1, 2, (note(2),), reviews_withdrawn=("r1",)))
        result = await store.decide("r1", "h1", decided(), NOW)
        assert isinstance(result, DecisionRefused)
        assert result.why == "withdrawn"
        assert [found.state for found in await store.reviews()] == ["withdrawn"]

    async def test_a_decided_review_is_not_withdrawn_nor_one_of_another_case(self, store: Store) -> None:
        await parked(store, "b", reviews=(review(key_of("b"), "rb"),))
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),), reviews_opened=(review(row.key),)))
        await store.decide("r1", "h1", decided(), NOW)
        await store.append(Append(row.key, 1, 2, (note(2),), reviews_withdrawn=("r1", "rb")))
        assert {found.id: found.state for found in await store.reviews()} == {"r1": "decided", "rb": "open"}

    async def test_a_review_of_a_closed_case_is_not_decided(self, store: Store) -> None:
        row = await claimed(store, "c")
        closing = Append(
            row.key, 1, 1, (note(1),), status=CaseStatus.CLOSED, result="failed", reviews_opened=(review(row.key),)
        )
        await store.append(closing)
        result = await store.decide("r1", "h1", decided(), NOW)
        assert isinstance(result, DecisionRefused)
        assert result.why == "withdrawn"

    # Timers, settings, artifacts.

    async def test_the_next_due_moment_is_the_earliest_of_parked_cases(self, store: Store) -> None:
        await parked(store, "a", timer(NOW + 70), timer(NOW + 60))
        await parked(store, "b", evidence("receipt"), timer(NOW + 80))
        row = await claimed(store, "running")
        await store.append(Append(row.key, 1, 1, (note(1),), waits=(timer(NOW + 1),)))
        assert await store.next_due() == NOW + 60

    async def test_a_timer_of_a_case_that_a_living_node_holds_is_not_due_to_others(self, store: Store) -> None:
        await parked(store, "a", timer(NOW + 60))
        await store.claim(NODE, limit=1, now=NOW + 60)
        assert await store.next_due() is None
        await store.claim("node-2", limit=0, now=NOW + 5_000)
        assert await store.next_due() == NOW + 60

    async def test_a_setting_is_remembered_and_replaced(self, store: Store) -> None:
        await store.remember("crew", "books:crew")
        await store.remember("crew", "other:crew")
        assert await store.setting("crew") == "other:crew"

    async def test_an_artifact_is_kept_under_its_content_hash(self, store: Store) -> None:
        data = bytes(range(256)) * 10
        name = digest(data).hex()
        await store.put_artifact(name, data)
        await store.put_artifact(name, data)
        assert await store.artifact(name) == data
        with pytest.raises(FrameInvalid):
            await store.put_artifact(name, b"something else")
        assert await store.artifact(name) == data

    # Arrivals.

    async def test_the_listener_hears_who_got_an_item_or_was_opened(self, store: Store) -> None:
        heard: list[Sequence[CaseKey]] = []
        await parked(store, "a", evidence("receipt"), reviews=(review(key_of("a")),))
        row = await claimed(store, "b")
        store.on_arrival(heard.append)
        await store.open_case(opening(key_of("c")))
        await store.open_case(opening(key_of("c")))
        await store.deliver(TENANT, "receipt", "m1", arrived())
        await store.deliver(TENANT, "receipt", "m1", arrived())
        await store.decide("r1", "h1", decided(), NOW)
        sends = (InboxItem(key_of("a"), "s1", "arrived", b"sent"), InboxItem(key_of("a"), "s2", "arrived", b"sent"))
        await store.append(Append(row.key, 1, 1, (note(1),), sends=sends, opens=(opening(key_of("d")),)))
        await store.append(Append(row.key, 1, 2, (note(2),), sends=sends))
        flat = [sorted(keys) for keys in heard]
        assert flat == [[key_of("c")], [key_of("a")], [key_of("a")], [key_of("a"), key_of("d")]]

    # The chain.

    @pytest.mark.promise("STORE-8")
    async def test_the_chain_of_every_case_verifies(self, store: Store) -> None:
        await parked(store, "b", evidence("receipt"))
        row = await claimed(store, "a")
        await store.append(Append(row.key, 1, 1, (note(1), note(2)), opens=(opening(key_of("child")),)))
        done: list[tuple[int, int]] = []
        assert await verify(store, lambda *at: done.append(at)) == []
        assert done == [(1, 3), (2, 3), (3, 3)]

    # Concurrency and durability.

    @pytest.mark.promise("STORE-9")
    async def test_a_hundred_appends_at_once_are_each_answered_for_themselves(self, store: Store) -> None:
        await store.renew(NODE, until=NOW + 1_000)
        for number in range(100):
            await store.open_case(opening(key_of(f"{number:03}")))
        rows = await store.claim(NODE, limit=100, now=NOW)
        results: dict[str, object] = {}

        async def append(row: CaseRow, number: int) -> None:
            epoch = row.epoch + (number % 10 == 3)
            seq = 1 + (number % 10 == 7)
            results[row.key.case_id] = await store.append(Append(row.key, epoch, seq, (note(seq, epoch),)))

        async with anyio.create_task_group() as group:
            for number, row in enumerate(rows):
                group.start_soon(append, row, number)
        for number in range(100):
            expected = {3: Fenced(1), 7: Conflict(1)}.get(number % 10, Appended())
            assert results[f"{number:03}"] == expected
            assert (await there(store, f"{number:03}")).next_seq == (2 if expected == Appended() else 1)
        assert await verify(store) == []

    @pytest.mark.promise("STORE-9")
    async def test_appends_of_one_case_in_flight_together_keep_their_order(self, store: Store) -> None:
        row = await claimed(store, "c")
        results: list[object] = []
        turns = [anyio.Event() for _ in range(22)]

        async def append(seq: int) -> None:
            await turns[seq].wait()
            turns[seq + 1].set()
            results.append(await store.append(Append(row.key, 1, seq, (note(seq),), waits=(timer(NOW + seq),))))

        async with anyio.create_task_group() as group:
            for seq in range(1, 21):
                group.start_soon(append, seq)
            turns[1].set()
        assert results == [Appended()] * 20
        after = await there(store, "c")
        assert (after.next_seq, after.waits) == (21, (timer(NOW + 20),))
        assert broken_at(after, await store.records(row.key)) is None

    @pytest.mark.promise("STORE-10")
    async def test_of_two_nodes_that_claim_at_once_one_gets_each_case(self, store: Store) -> None:
        for number in range(20):
            await store.open_case(opening(key_of(f"{number:02}")))
        taken: list[CaseKey] = []

        async def claim(node: str) -> None:
            await store.renew(node, until=NOW + 1_000)
            for _ in range(5):
                taken.extend(row.key for row in await store.claim(node, limit=3, now=NOW))

        async with anyio.create_task_group() as group:
            for node in ("a", "b", "c"):
                group.start_soon(claim, node)
        assert sorted(taken) == [key_of(f"{number:02}") for number in range(20)]

    @pytest.mark.promise("STORE-11")
    async def test_what_was_written_is_there_when_the_store_is_opened_again(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            asked = review(key_of("a"))
            before = await parked(store, "a", evidence("receipt"), timer(NOW + 9), reviews=(asked,))
            await store.deliver(TENANT, "receipt", "m1", arrived())
            await store.remember("crew", "books:crew")
            records = await store.records(before.key)
        async with open_store() as store:
            assert await there(store, "a") == before
            assert list(await store.records(before.key)) == list(records)
            assert ids(await store.inbox(before.key)) == ["m1"]
            assert list(await store.reviews()) == [asked]
            assert await store.setting("crew") == "books:crew"
            assert await store.deliver(TENANT, "receipt", "m1", arrived()) == Duplicate((before.key,))

    async def test_a_cancelled_append_leaves_the_log_whole(self, store: Store) -> None:
        row = await claimed(store, "c")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.append(Append(row.key, 1, 1, (note(1),)))
        after = await there(store, "c")
        assert after.next_seq in {1, 2}
        assert broken_at(after, await store.records(row.key)) is None
