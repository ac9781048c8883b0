"""What every store promises, as one suite: subclass `StoreConformance` and give it a factory.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def open_store(self, tmp_path: Path) -> OpenStore:
            return lambda: MyStore.open(tmp_path)       # an async context manager

The factory opens the same store each time within one test, so a case may close it and look again. It needs pytest,
and anyio's plugin runs it on asyncio, and on trio where that is installed; `anyio_backend` chooses.
It does not know how a store keeps anything.
"""

from collections.abc import AsyncIterator, Sequence

import anyio
import pytest

from casework.protocols.codec import digest
from casework.protocols.errors import FrameInvalid
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseKey,
    CaseRow,
    Conflict,
    Duplicate,
    Fenced,
    InboxItem,
    Store,
)
from casework.runtime.store.chain import broken_at
from casework.runtime.store.conformance.accounts import AccountConformance
from casework.runtime.store.conformance.archive import ArchiveConformance
from casework.runtime.store.conformance.beginnings import BeginningConformance
from casework.runtime.store.conformance.claims import ClaimConformance
from casework.runtime.store.conformance.log import LogConformance
from casework.runtime.store.conformance.messages import MessageConformance
from casework.runtime.store.conformance.outgoing import OutgoingConformance
from casework.runtime.store.conformance.refusals import RefusalConformance
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    TENANT,
    OpenStore,
    arrived,
    bounded,
    claimed,
    decided,
    evidence,
    ids,
    key_of,
    next_due,
    note,
    opening,
    parked,
    review,
    take,
    there,
    timer,
)
from casework.runtime.store.conformance.takings import TakingConformance
from casework.runtime.store.conformance.versions import VersionConformance
from casework.runtime.store.verify import verify
from casework.runtime.store.waiting import place_of


@pytest.mark.anyio
@bounded
class StoreConformance(
    LogConformance,
    RefusalConformance,
    MessageConformance,
    OutgoingConformance,
    ClaimConformance,
    BeginningConformance,
    AccountConformance,
    ArchiveConformance,
    TakingConformance,
    VersionConformance,
):
    """The promises of `casework.runtime.store.base`, case by case."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """Give the factory; to be overridden."""
        pytest.fail(f"{type(self).__name__} gives no store: override the fixture open_store, as docs/stores.md shows")

    @pytest.fixture
    def several_processes(self) -> bool:
        """Say whether more than one process works on such a store; to be overridden by one of which only one does."""
        return True

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        async with open_store() as store:
            yield store

    async def test_the_next_due_moment_is_the_earliest_of_parked_cases(self, store: Store) -> None:
        await parked(store, "a", timer(NOW + 70), timer(NOW + 60))
        await parked(store, "b", evidence("receipt"), timer(NOW + 80))
        row = await claimed(store, "running")
        await store.append(Append(row.key, 1, 1, (note(1),), waits=(timer(NOW + 1),)))
        assert await next_due(store) == NOW + 60

    async def test_a_timer_of_a_case_that_a_living_node_holds_is_not_due_to_others(self, store: Store) -> None:
        await parked(store, "a", timer(NOW + 60))
        await take(store, NODE, limit=1, now=NOW + 60)
        assert await next_due(store, NOW + 60) is None
        assert await next_due(store, NOW + 5_000) == NOW + 60

    async def test_cases_are_found_by_what_they_wait_for_while_they_do(self, store: Store) -> None:
        await parked(store, "b", evidence("receipt"), timer(NOW + 60))
        await parked(store, "a", evidence("receipt"), evidence("invoice"))
        running = await claimed(store, "c")
        await store.append(Append(running.key, 1, 1, (note(1),), waits=(evidence("receipt"),)))
        found = await store.awaiting(["receipt", "receip"])
        assert {row.key for row in found} == {key_of("a"), key_of("b"), key_of("c")}
        places = [place_of(row) for row in found]
        assert places == sorted(places)
        assert found[0] == await store.case(found[0].key)
        assert await store.awaiting(["invoice", "receipt"]) == found
        assert await store.awaiting(["receipt"], limit=2) == found[:2]
        assert await store.awaiting(["receipt"], after=places[0], limit=1) == found[1:2]
        assert await store.awaiting(["receipt"], after=places[2]) == []
        assert [row.key for row in await store.awaiting(["invoice", "no\0key", "\udc80"])] == [key_of("a")]
        await store.append(Append(running.key, 1, 2, (note(2),), waits=()))
        assert {row.key for row in await store.awaiting(["receipt"])} == {key_of("a"), key_of("b")}
        assert await store.awaiting([]) == await store.awaiting(["%"]) == []

    async def test_a_setting_is_remembered_and_replaced(self, store: Store) -> None:
        await store.remember("crew", "books:crew")
        await store.remember("crew", "other:crew")
        assert await store.setting("crew") == "other:crew"

    async def test_what_is_added_to_a_setting_comes_after_what_stands_there_whoever_adds(self, store: Store) -> None:
        async with anyio.create_task_group() as group:
            for number in range(9):
                group.start_soon(store.extend, "lines", f"{number};")
        lines = await store.setting("lines") or ""
        assert sorted(lines.split(";")) == ["", *map(str, range(9))]
        await store.remember("lines", "afresh;")
        await store.extend("lines", "")
        await store.extend("lines", "more;")
        assert await store.setting("lines") == "afresh;more;"

    async def test_an_artifact_is_kept_under_its_content_hash(self, store: Store) -> None:
        data = bytes(range(256)) * 10
        name = digest(data).hex()
        await store.put_artifact(name, data)
        await store.put_artifact(name, data)
        assert await store.artifact(name) == data
        with pytest.raises(FrameInvalid):
            await store.put_artifact(name, b"something else")
        assert await store.artifact(name) == data

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

    @pytest.mark.promise("STORE-8")
    async def test_the_chain_of_every_case_verifies(self, store: Store) -> None:
        await parked(store, "b", evidence("receipt"))
        row = await claimed(store, "a")
        await store.append(Append(row.key, 1, 1, (note(1), note(2)), opens=(opening(key_of("child")),)))
        done: list[tuple[int, int]] = []
        assert await verify(store, lambda cases, of: done.append((cases, of))) == []
        assert done == [(1, 3), (2, 3), (3, 3)]

    @pytest.mark.promise("STORE-9")
    async def test_a_hundred_appends_at_once_are_each_answered_for_themselves(self, store: Store) -> None:
        await store.renew(NODE, until=NOW + 1_000)
        for number in range(100):
            await store.open_case(opening(key_of(f"{number:03}")))
        rows = await take(store, NODE, limit=100, now=NOW)
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
                taken.extend(row.key for row in await take(store, node, limit=3, now=NOW))

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
