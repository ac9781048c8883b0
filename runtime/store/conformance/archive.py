"""What a store promises of whole cases, of retention and of dropped chapters; part of the suite.

A store without these calls leaves the cases out. It does not know which store is tested.
"""

import msgspec
import pytest

from casework.protocols.codec import digest
from casework.runtime.store.archive import (
    Archive,
    BroughtIn,
    ChapterArchive,
    Cut,
    NotClosed,
    Retained,
    StillRead,
    Transfer,
)
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseKey,
    CaseOpened,
    CaseStatus,
    DecisionRefused,
    Duplicate,
    Store,
)
from casework.runtime.store.chain import broken_at
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    OpenStore,
    arrived,
    bounded,
    claimed,
    close,
    decided,
    evidence,
    ids,
    key_of,
    note,
    opening,
    parked,
    review,
    take,
    there,
    timer,
)
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify


def archive_of(store: Store) -> Archive:
    if not isinstance(store, Archive):
        pytest.skip("this store keeps no archive")
    return store


def chapters_of(store: Store) -> ChapterArchive:
    if not isinstance(store, ChapterArchive):
        pytest.skip("this store drops no chapters")
    return store


async def whole(store: Store, name: str) -> Transfer:
    transfer = await archive_of(store).transfer(key_of(name))
    assert transfer is not None
    return transfer


def elsewhere(transfer: Transfer) -> Transfer:
    """Give a transfer as it looks where it was brought in: no node has it."""
    return msgspec.structs.replace(transfer, row=msgspec.structs.replace(transfer.row, node="", claims=0))


async def a_parked_case(store: Store, name: str = "case") -> Transfer:
    """Make a case that waits, with one item consumed, one seen, one that is new, and a decided and an open review."""
    row = await claimed(store, name)
    key = key_of(name)
    await store.deliver(key.tenant, name, "consumed", arrived("consumed"))
    await store.deliver(key.tenant, name, "seen", arrived("seen"))
    seen = (await store.inbox(key))[-1].position
    reviews = (review(key, f"{name}-1"), review(key, f"{name}-2", opened_at=NOW + 1))
    await store.append(
        Append(
            key, row.epoch, 1, (note(1, row.epoch), note(2, row.epoch)), status=CaseStatus.PARKED,
            waits=(evidence("receipt"), timer(NOW + 9)), consumed=("consumed",), reviews_opened=reviews,
            release=True, inbox_seen=seen,
        )
    )  # fmt: skip
    await store.decide(f"{name}-1", "h1", decided(f"{name}-1"), NOW)
    await store.deliver(key.tenant, name, "new", arrived("new"))
    return await whole(store, name)


async def a_closed_case(store: Store, name: str) -> Transfer:
    row = await claimed(store, name)
    append = Append(row.key, row.epoch, 1, (note(1, frame=b"secret" * 9),), reviews_opened=(review(row.key, name),))
    await store.append(append)
    await store.deliver(row.key.tenant, name, f"late-{name}", arrived(f"late-{name}"))
    await close(store, await there(store, name))
    return await whole(store, name)


async def a_case_in_its_second_chapter(store: Store) -> Transfer:
    """Make a case that its node holds, and whose replay begins with record 3 of five."""
    row = await claimed(store, "long")
    records = [note(seq, frame=b"said %d" % seq) for seq in range(1, 5)]
    records[2] = msgspec.structs.replace(records[2], kind="chapter")
    assert await store.append(Append(row.key, row.epoch, 1, tuple(records), chapter=3)) == Appended()
    return await whole(store, "long")


async def account(name: str = "account") -> Transfer:
    """Make the account of a retention, elsewhere."""
    return await a_closed_case(MemoryStore(), name)


@bounded
class ArchiveConformance:
    """The promises of `casework.runtime.store.archive`, case by case."""

    async def test_a_transfer_of_an_absent_case_is_none(self, store: Store) -> None:
        assert await archive_of(store).transfer(key_of("absent")) is None

    async def test_a_transfer_has_all_of_a_case(self, store: Store) -> None:
        transfer = await a_parked_case(store)
        key = key_of("case")
        assert transfer.row == await there(store, "case")
        assert list(transfer.records) == list(await store.records(key))
        assert [entry.id for entry in transfer.inbox] == ["consumed", "seen", "decided:case-1", "new"]
        assert [entry.seen for entry in transfer.inbox] == [True, True, False, False]
        assert [bool(entry.kind) for entry in transfer.inbox] == [False, True, True, True]
        assert [each.state for each in transfer.reviews] == ["decided", "open"]

    async def test_a_case_that_was_brought_in_is_the_same_case(self, store: Store) -> None:
        transfer = await a_parked_case(MemoryStore())
        assert await archive_of(store).bring_in([transfer]) == BroughtIn((key_of("case"),))
        assert await whole(store, "case") == transfer
        assert await verify(store) == []

    async def test_a_case_that_was_brought_in_outlives_the_store_that_is_open(self, open_store: OpenStore) -> None:
        transfer = await a_parked_case(MemoryStore())
        async with open_store() as store:
            await archive_of(store).bring_in([transfer])
        async with open_store() as store:
            assert await whole(store, "case") == transfer

    async def test_a_case_that_was_brought_in_goes_on_here(self, store: Store) -> None:
        transfer = await a_parked_case(MemoryStore())
        await archive_of(store).bring_in([transfer])
        key = key_of("case")
        assert await store.deliver(key.tenant, "case", "consumed", arrived("consumed")) == Duplicate((key,))
        [row] = await take(store, NODE, limit=9, now=NOW)
        assert (row.key, row.epoch) == (key, transfer.row.epoch + 1)
        assert ids(await store.inbox(key)) == ["seen", "decided:case-1", "new"]
        await close(store, row)
        assert await verify(store) == []

    async def test_a_case_that_has_seen_everything_does_not_wake_where_it_was_brought_in(self, store: Store) -> None:
        source = MemoryStore()
        row = await claimed(source, "case")
        await source.deliver(row.key.tenant, "case", "seen", arrived("seen"))
        append = Append(row.key, 1, 1, (note(1),), CaseStatus.PARKED, waits=(evidence("x"),), release=True)
        await source.append(msgspec.structs.replace(append, inbox_seen=(await source.inbox(row.key))[-1].position))
        await archive_of(store).bring_in([await whole(source, "case")])
        await store.renew(NODE, until=NOW + 9)
        assert await take(store, NODE, limit=9, now=NOW) == []

    async def test_no_node_holds_what_was_brought_in(self, store: Store) -> None:
        source = MemoryStore()
        await claimed(source, "case")
        transfer = await whole(source, "case")
        await archive_of(store).bring_in([transfer])
        assert await whole(store, "case") == elsewhere(transfer)

    async def test_bringing_in_tells_of_cases_that_have_something_to_do(self, store: Store) -> None:
        heard: list[CaseKey] = []
        store.on_arrival(heard.extend)
        source = MemoryStore()
        transfers = [await a_closed_case(source, "closed"), await a_parked_case(source)]
        await archive_of(store).bring_in(transfers)
        assert heard == [key_of("case")]

    async def test_one_case_that_is_there_refuses_all_that_would_be_brought_in(self, store: Store) -> None:
        source = MemoryStore()
        await parked(store, "b")
        transfers = [await a_closed_case(source, "a"), await a_closed_case(source, "b")]
        assert await archive_of(store).bring_in(transfers) == CaseExists(await there(store, "b"))
        assert await store.case(key_of("a")) is None

    async def test_a_transfer_whose_chain_does_not_verify_is_an_error_of_the_caller(self, store: Store) -> None:
        transfer = await a_closed_case(MemoryStore(), "case")
        with pytest.raises(AssertionError, match="chain"):
            await archive_of(store).bring_in([msgspec.structs.replace(transfer, records=transfer.records[:-1])])
        assert await store.case(key_of("case")) is None

    async def test_retention_drops_frames_and_keeps_the_chain(self, store: Store) -> None:
        before = await a_closed_case(store, "old")
        kept = await a_closed_case(store, "young")
        assert await archive_of(store).retain([key_of("old")], await account()) == Retained(3)
        after = await whole(store, "old")
        assert after.row == before.row
        assert [record.frame for record in after.records] == [b"", b"", b""]
        assert [record.frame_hash for record in after.records] == [digest(each.frame) for each in before.records]
        assert [record.hash for record in after.records] == [record.hash for record in before.records]
        assert broken_at(after.row, after.records) is None
        assert await verify(store) == []
        assert await whole(store, "young") == kept

    async def test_retention_drops_reviews_and_what_was_never_read(self, store: Store) -> None:
        await a_closed_case(store, "old")
        await archive_of(store).retain([key_of("old")], await account())
        after = await whole(store, "old")
        assert [(entry.id, entry.kind, entry.frame) for entry in after.inbox] == [("late-old", "", b"")]
        assert after.reviews == ()
        assert await store.inbox(key_of("old")) == []
        assert await store.decide("old", "h1", decided("old"), NOW) == DecisionRefused("absent")

    async def test_the_account_of_a_retention_is_a_case_like_any_other(self, store: Store) -> None:
        told = await account()
        await a_closed_case(store, "old")
        await archive_of(store).retain([key_of("old")], told)
        assert await whole(store, "account") == told

    async def test_retention_again_drops_nothing_more(self, store: Store) -> None:
        await a_closed_case(store, "old")
        archive = archive_of(store)
        await archive.retain([key_of("old")], await account())
        after = await whole(store, "old")
        assert await archive.retain([key_of("old")], await account("again")) == Retained(0)
        assert await whole(store, "old") == after

    async def test_retention_of_a_case_that_goes_on_or_is_absent_changes_nothing(self, store: Store) -> None:
        before = await a_closed_case(store, "old")
        await parked(store, "alive", evidence("receipt"))
        keys = [key_of("old"), key_of("alive"), key_of("absent")]
        refused = await archive_of(store).retain(keys, await account())
        assert refused == NotClosed((key_of("alive"), key_of("absent")))
        assert await whole(store, "old") == before
        assert await store.case(key_of("account")) is None

    async def test_an_account_that_is_there_already_refuses_the_retention(self, store: Store) -> None:
        before = await a_closed_case(store, "old")
        await parked(store, "account")
        result = await archive_of(store).retain([key_of("old")], await account())
        assert result == CaseExists(await there(store, "account"))
        assert await whole(store, "old") == before

    async def test_trimming_drops_the_frames_of_earlier_chapters_of_a_case_that_goes_on(self, store: Store) -> None:
        before = await a_case_in_its_second_chapter(store)
        key = key_of("long")
        assert await chapters_of(store).trim([Cut(key, 3)], await account()) == Retained(2)
        after = await whole(store, "long")
        assert [bool(record.frame) for record in after.records] == [True, False, False, True, True]
        assert [record.frame_hash for record in after.records[1:3]] == [
            digest(each.frame) for each in before.records[1:3]
        ]
        assert msgspec.structs.replace(after, records=()) == msgspec.structs.replace(before, records=())
        assert await verify(store) == []
        # Whoever holds it goes on as if nothing had been.
        row = before.row
        last = Append(key, row.epoch, 5, (note(5),), CaseStatus.PARKED, release=True)
        assert isinstance(await store.append(last), Appended)
        await store.deliver(key.tenant, "long", "m", arrived("m"))
        (claimed,) = (await store.claim(NODE, limit=9, now=NOW)).cases
        assert [record.seq for record in claimed.records] == [3, 4, 5]
        assert all(record.frame for record in claimed.records)

    async def test_trimming_again_drops_nothing_more(self, store: Store) -> None:
        await a_case_in_its_second_chapter(store)
        archive, cut = chapters_of(store), Cut(key_of("long"), 3)
        await archive.trim([cut], await account())
        after = await whole(store, "long")
        assert await archive.trim([cut], await account("again")) == Retained(0)
        assert await whole(store, "long") == after

    async def test_what_a_replay_still_reads_is_not_trimmed(self, store: Store) -> None:
        before = await a_case_in_its_second_chapter(store)
        cuts = [Cut(key_of("long"), 4), Cut(key_of("absent"), 1)]
        refused = await chapters_of(store).trim(cuts, await account())
        assert refused == StillRead((key_of("long"), key_of("absent")))
        assert await whole(store, "long") == before
        assert await store.case(key_of("account")) is None

    async def test_an_account_that_is_there_already_refuses_the_trimming(self, store: Store) -> None:
        before = await a_case_in_its_second_chapter(store)
        await parked(store, "account")
        result = await chapters_of(store).trim([Cut(key_of("long"), 3)], await account())
        assert result == CaseExists(await there(store, "account"))
        assert await whole(store, "long") == before

    async def test_a_store_that_gave_its_space_back_has_all_that_it_had(self, store: Store) -> None:
        await a_case_in_its_second_chapter(store)
        await chapters_of(store).trim([Cut(key_of("long"), 3)], await account())
        before = await whole(store, "long")
        await chapters_of(store).shrink()
        assert await whole(store, "long") == before
        assert await verify(store) == []

    async def test_a_case_whose_frames_were_dropped_can_be_moved(self, store: Store) -> None:
        source = MemoryStore()
        await a_closed_case(source, "old")
        await source.retain([key_of("old")], await account())
        moved = await whole(source, "old")
        await archive_of(store).bring_in([moved])
        assert await whole(store, "old") == moved
        assert await verify(store) == []

    async def test_the_id_of_a_case_that_was_brought_in_is_taken(self, store: Store) -> None:
        await archive_of(store).bring_in([await a_closed_case(MemoryStore(), "case")])
        assert not isinstance(await store.open_case(opening(key_of("case"))), CaseOpened)
