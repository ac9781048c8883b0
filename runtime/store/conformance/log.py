"""What every store promises of cases and their logs: opening, claiming, appending.

It does not know how a store keeps anything.
"""

import msgspec
import pytest

from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseOpened,
    CaseStatus,
    Conflict,
    Fenced,
    InboxItem,
    Store,
    Wait,
    WaitKind,
)
from casework.runtime.store.chain import broken_at
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    TENANT,
    arrived,
    bounded,
    claimed,
    close,
    evidence,
    key_of,
    next_due,
    note,
    opening,
    parked,
    take,
    there,
    timer,
)
from casework.runtime.store.rules import closed_row


@bounded
class LogConformance:
    """Opening, claiming, appending."""

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
        assert await next_due(store) is None

    async def test_cases_come_by_tenant_and_id_and_can_be_chosen(self, store: Store) -> None:
        await parked(store, "b", evidence("receipt"))
        await store.open_case(opening(key_of("c", "other")))
        await store.open_case(opening(key_of("a"), parent="b"))
        assert [row.key for row in await store.cases()] == [key_of("c", "other"), key_of("a"), key_of("b")]
        assert [row.key for row in await store.cases(status=CaseStatus.PARKED)] == [key_of("b")]
        assert [row.key for row in await store.cases(parent="b")] == [key_of("a")]
        assert [row.key for row in await store.cases(TENANT, status=CaseStatus.OPEN, parent="b")] == [key_of("a")]
        assert [row.waits for row in await store.cases(TENANT)] == [(), (evidence("receipt"),)]

    @pytest.mark.promise("STORE-2")
    async def test_a_claim_raises_the_epoch_and_names_the_node(self, store: Store) -> None:
        row = await claimed(store, "c")
        assert (row.epoch, row.node) == (1, NODE)
        assert await there(store, "c") == row

    async def test_a_claim_takes_the_oldest_first_up_to_its_limit(self, store: Store) -> None:
        for name, at in (("young", NOW + 2), ("old", NOW), ("middle", NOW + 1)):
            await store.open_case(opening(key_of(name), at=at))
        await store.renew(NODE, until=NOW + 1_000)
        assert [row.key.case_id for row in await take(store, NODE, limit=2, now=NOW)] == ["old", "middle"]
        assert [row.key.case_id for row in await take(store, NODE, limit=2, now=NOW)] == ["young"]

    async def test_a_case_of_a_living_node_is_not_claimable(self, store: Store) -> None:
        await claimed(store, "c")
        assert list(await take(store, "node-2", limit=9, now=NOW)) == []

    @pytest.mark.promise("STORE-2")
    async def test_a_case_of_a_node_whose_time_is_over_is_claimable(self, store: Store) -> None:
        await claimed(store, "c")
        assert list(await take(store, "node-2", limit=9, now=NOW + 999)) == []
        [row] = await take(store, "node-2", limit=9, now=NOW + 1_000)
        assert (row.epoch, row.node) == (2, "node-2")

    async def test_a_node_that_renews_keeps_its_cases(self, store: Store) -> None:
        await claimed(store, "c")
        await store.renew(NODE, until=NOW + 5_000)
        assert list(await take(store, "node-2", limit=9, now=NOW + 1_000)) == []

    async def test_a_node_that_never_renewed_does_not_live(self, store: Store) -> None:
        await store.open_case(opening(key_of("c")))
        await take(store, "ghost", limit=1, now=NOW)
        [row] = await take(store, NODE, limit=1, now=NOW)
        assert row.epoch == 2

    async def test_a_parked_case_without_news_is_not_claimable(self, store: Store) -> None:
        await parked(store, "c", evidence("receipt"))
        assert list(await take(store, NODE, limit=9, now=NOW)) == []

    async def test_a_parked_case_with_a_new_item_is_claimable(self, store: Store) -> None:
        await parked(store, "c", evidence("receipt"))
        await store.deliver(TENANT, "c", "m1", arrived())
        [row] = await take(store, NODE, limit=9, now=NOW)
        assert (row.key, row.status) == (key_of("c"), CaseStatus.PARKED)

    @pytest.mark.promise("STORE-3")
    async def test_an_item_that_was_seen_does_not_wake_a_parked_case_again(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        [item] = await store.inbox(row.key)
        park = Append(row.key, 1, 1, (note(1),), status=CaseStatus.PARKED, release=True, inbox_seen=item.position)
        assert isinstance(await store.append(park), Appended)
        assert list(await take(store, NODE, limit=9, now=NOW)) == []
        await store.deliver(TENANT, "c", "m2", arrived("m2"))
        assert [row.key for row in await take(store, NODE, limit=9, now=NOW)] == [row.key]

    @pytest.mark.promise("STORE-3")
    async def test_an_item_that_came_after_the_last_look_wakes_the_case_that_parks(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        [item] = await store.inbox(row.key)
        await store.deliver(TENANT, "c", "m2", arrived("m2"))
        await store.append(
            Append(row.key, 1, 1, (note(1),), status=CaseStatus.PARKED, release=True, inbox_seen=item.position)
        )
        assert [row.key for row in await take(store, NODE, limit=9, now=NOW)] == [row.key]

    @pytest.mark.parametrize("seen", [True, False])
    async def test_a_case_is_only_said_to_rest_if_nothing_came_that_it_has_not_seen(
        self, store: Store, *, seen: bool
    ) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        [item] = await store.inbox(row.key)
        position = item.position if seen else item.position - 1
        park = Append(row.key, 1, 1, (note(1),), status=CaseStatus.PARKED, release=True, inbox_seen=position)
        answer = await store.append(park)
        assert isinstance(answer, Appended)
        assert seen or not answer.rests
        assert len(await take(store, NODE, limit=9, now=NOW)) == (not seen)

    async def test_a_parked_case_is_claimable_once_its_timer_is_due(self, store: Store) -> None:
        await parked(store, "c", timer(NOW + 50))
        assert list(await take(store, NODE, limit=9, now=NOW + 49)) == []
        assert len(await take(store, NODE, limit=9, now=NOW + 50)) == 1

    async def test_a_due_timer_wakes_a_case_with_items_that_it_saw_and_left(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        [item] = await store.inbox(row.key)
        park = Append(row.key, 1, 1, (note(1),), status=CaseStatus.PARKED, waits=(timer(NOW + 50),), release=True)
        await store.append(msgspec.structs.replace(park, inbox_seen=item.position))
        assert list(await take(store, NODE, limit=9, now=NOW + 49)) == []
        assert len(await take(store, NODE, limit=9, now=NOW + 50)) == 1

    async def test_a_timer_still_wakes_a_case_that_read_a_message_before_it_was_due(self, store: Store) -> None:
        await parked(store, "c", timer(NOW + 50))
        await store.deliver(TENANT, "c", "m1", arrived())
        [row] = await take(store, NODE, limit=9, now=NOW)
        park = Append(row.key, 2, 2, (note(2, 2),), CaseStatus.PARKED, consumed=("m1",), release=True)
        assert isinstance(await store.append(park), Appended)
        assert list(await take(store, NODE, limit=9, now=NOW + 49)) == []
        assert len(await take(store, NODE, limit=9, now=NOW + 50)) == 1

    async def test_a_closed_case_is_never_claimable(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.deliver(TENANT, "c", "m1", arrived())
        await close(store, row)
        assert list(await take(store, "node-2", limit=9, now=NOW + 9_999)) == []

    async def test_a_released_open_case_is_claimable_at_once(self, store: Store) -> None:
        row = await claimed(store, "c")
        assert await store.append(Append(row.key, 1, 1, (), release=True)) == Appended()
        assert (await there(store, "c")).node == ""
        [again] = await take(store, NODE, limit=1, now=NOW)
        assert again.epoch == 2

    @pytest.mark.promise("STORE-10")
    async def test_a_node_takes_a_case_again_only_while_it_holds_it(self, store: Store) -> None:
        row = await claimed(store, "c")
        again = await store.reclaim(NODE, row.key)
        assert again is not None
        assert (again.row.epoch, again.row.node) == (2, NODE)
        assert await store.append(Append(row.key, 1, 1, (note(1),))) == Fenced(2)
        assert await store.append(Append(row.key, 2, 1, (note(1, 2),))) == Appended()
        assert await store.reclaim("node-2", row.key) is None
        assert await store.reclaim(NODE, key_of("nowhere")) is None
        await take(store, "node-2", limit=1, now=NOW + 1_000)
        assert await store.reclaim(NODE, row.key) is None
        assert (await there(store, "c")).epoch == 3

    async def test_a_case_that_was_released_or_closed_is_not_taken_again(self, store: Store) -> None:
        released = await parked(store, "a")
        closed = await claimed(store, "b")
        await close(store, closed)
        assert await store.reclaim(NODE, released.key) is None
        assert await store.reclaim(NODE, closed.key) is None

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

    async def test_many_records_of_one_append_are_all_kept(self, store: Store) -> None:
        row = await claimed(store, "c")
        records = tuple(note(seq, frame=str(seq).encode()) for seq in range(1, 501))
        assert await store.append(Append(row.key, 1, 1, records)) == Appended()
        kept = await store.records(row.key)
        assert [record.frame for record in kept[1:]] == [record.frame for record in records]
        assert broken_at(await there(store, "c"), kept) is None

    @pytest.mark.promise("STORE-4")
    async def test_an_append_under_an_older_epoch_is_fenced_and_changes_nothing(self, store: Store) -> None:
        row = await claimed(store, "c")
        await take(store, "node-2", limit=1, now=NOW + 1_000)
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

    async def test_what_is_told_of_a_case_that_closes_is_what_it_has(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),), waits=(evidence("receipt"),), chapter=1))
        row = await there(store, "c")
        closing = Append(row.key, 1, 2, (note(2), note(3, at=NOW + 9)), CaseStatus.CLOSED, "completed", release=True)
        closed = await store.append(closing)
        after = await there(store, "c")
        assert isinstance(closed, Appended)
        # A store need not say it: who wants to know reads then.
        assert closed.head in (b"", after.head)
        assert closed_row(row, closing, after.head) == after

    async def test_waits_stay_until_they_are_replaced(self, store: Store) -> None:
        row = await claimed(store, "c")
        waits = (evidence("receipt"), timer(NOW + 5), Wait("r1", WaitKind.REVIEW, "asks"))
        await store.append(Append(row.key, 1, 1, (note(1),), waits=waits))
        await store.append(Append(row.key, 1, 2, (note(2),)))
        assert (await there(store, "c")).waits == waits
        await store.append(Append(row.key, 1, 3, (note(3),), waits=()))
        assert (await there(store, "c")).waits == ()
