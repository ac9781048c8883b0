"""What every store promises of what an append sends out: messages to cases, and cases that it opens.

It does not know how a store keeps anything.
"""

import anyio
import msgspec
import pytest

from casework.runtime.store.base import Append, Appended, CaseKey, CaseStatus, InboxItem, Store
from casework.runtime.store.chain import broken_at
from casework.runtime.store.conformance.support import (
    NOW,
    bounded,
    claimed,
    close,
    ids,
    key_of,
    note,
    opening,
    parked,
    take,
    there,
)


@bounded
class OutgoingConformance:
    """Messages between cases, and cases that open others."""

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
    async def test_what_goes_out_in_the_place_of_a_message_does_so_only_where_nobody_can_take_it(
        self, store: Store
    ) -> None:
        await close(store, await claimed(store, "closed"))
        await parked(store, "b")
        row = await claimed(store, "a")

        def sent(name: str) -> InboxItem:
            back = InboxItem(row.key, f"no {name}", "noted", name.encode())
            return InboxItem(key_of(name), "s1", "arrived", b"sent", otherwise=back)

        sends = tuple(sent(name) for name in ("closed", "b", "b", "nowhere"))
        heard: list[CaseKey] = []
        store.on_arrival(heard.extend)
        assert await store.append(Append(row.key, 1, 1, (note(1),), sends=sends)) == Appended()
        assert await store.append(Append(row.key, 1, 2, (note(2),), sends=sends)) == Appended()
        items = await store.inbox(row.key)
        assert [(item.id, item.kind, item.frame) for item in items] == [
            ("no closed", "noted", b"closed"),
            ("no nowhere", "noted", b"nowhere"),
        ]
        assert [item.otherwise for item in (*items, *await store.inbox(key_of("b")))] == [None, None, None]
        assert set(heard) == {row.key, key_of("b")}

    @pytest.mark.promise("STORE-6")
    async def test_who_closes_with_what_it_sends_hears_nothing_more(self, store: Store) -> None:
        row = await claimed(store, "a")
        sent = InboxItem(key_of("nowhere"), "s1", "arrived", b"", otherwise=InboxItem(row.key, "no", "noted", b""))
        closing = Append(row.key, 1, 1, (note(1),), CaseStatus.CLOSED, "completed", sends=(sent,), release=True)
        assert isinstance(await store.append(closing), Appended)
        assert list(await store.inbox(row.key)) == []

    @pytest.mark.promise("STORE-6")
    async def test_a_case_opened_by_an_append_is_opened_once(self, store: Store) -> None:
        row = await claimed(store, "a")
        child = opening(key_of("child"), parent="a")
        await store.append(Append(row.key, 1, 1, (note(1),), opens=(child,)))
        await store.append(Append(row.key, 1, 2, (note(2),), opens=(opening(key_of("child"), at=NOW + 1),)))
        [found] = await store.cases(parent="a")
        assert (found.key, found.status, found.next_seq, found.opened_at) == (child.key, CaseStatus.OPEN, 1, NOW)
        assert broken_at(found, await store.records(child.key)) is None

    @pytest.mark.promise("STORE-6")
    async def test_who_opens_a_case_that_is_anothers_hears_so_and_it_stays_as_it_was(self, store: Store) -> None:
        owner, other = await claimed(store, "owner"), await claimed(store, "other")
        mine = opening(key_of("child"), parent="owner")
        again = msgspec.structs.replace(mine, otherwise=InboxItem(owner.key, "own", "reported", b"own"))
        foreign = opening(key_of("child"), at=NOW + 1, parent="other")
        foreign = msgspec.structs.replace(foreign, otherwise=InboxItem(other.key, "foreign", "reported", b"foreign"))
        await store.append(Append(owner.key, 1, 1, (note(1),), opens=(again,)))
        child = await store.case(key_of("child"))
        heard: list[CaseKey] = []
        store.on_arrival(heard.extend)
        assert await store.append(Append(other.key, 1, 1, (note(1),), opens=(foreign,))) == Appended()
        assert await store.append(Append(owner.key, 1, 2, (note(2),), opens=(again,))) == Appended()
        assert [(each.id, each.frame) for each in await store.inbox(other.key)] == [("foreign", b"foreign")]
        assert [key for key in heard if key == other.key] == [other.key]
        assert list(await store.inbox(owner.key)) == []
        assert await store.case(key_of("child")) == child

    @pytest.mark.promise("STORE-9")
    async def test_of_two_that_open_one_case_at_once_the_other_one_hears_so(self, store: Store) -> None:
        rows = {name: await claimed(store, name) for name in ("a", "b")}

        async def open_child(name: str) -> None:
            item = InboxItem(rows[name].key, "foreign", "reported", b"foreign")
            child = msgspec.structs.replace(opening(key_of("child"), parent=name), otherwise=item)
            assert await store.append(Append(rows[name].key, 1, 1, (note(1),), opens=(child,))) == Appended()

        async with anyio.create_task_group() as jobs:
            for name in rows:
                jobs.start_soon(open_child, name)
        child = await there(store, "child")
        told = [name for name, row in rows.items() if ids(await store.inbox(row.key)) == ["foreign"]]
        assert [*told, child.parent] in (["a", "b"], ["b", "a"])

    async def test_a_message_to_a_case_opened_by_the_same_append_arrives(self, store: Store) -> None:
        row = await claimed(store, "a")
        item = InboxItem(key_of("child"), "s1", "arrived", b"sent")
        await store.append(Append(row.key, 1, 1, (note(1),), opens=(opening(key_of("child")),), sends=(item,)))
        assert ids(await store.inbox(key_of("child"))) == ["s1"]

    @pytest.mark.promise("STORE-5")
    async def test_a_message_that_was_sent_and_consumed_does_not_come_again(self, store: Store) -> None:
        receiver, row = await claimed(store, "b"), await claimed(store, "a")
        sends = (InboxItem(receiver.key, "s1", "arrived", b"sent"),)
        await store.append(Append(row.key, 1, 1, (note(1),), sends=sends))
        await store.append(Append(receiver.key, 1, 1, (note(1),), consumed=("s1",)))
        assert await store.append(Append(row.key, 1, 2, (note(2),), sends=sends)) == Appended()
        assert list(await store.inbox(receiver.key)) == []

    @pytest.mark.promise("STORE-6")
    async def test_what_a_case_sends_and_opens_as_it_closes_is_there(self, store: Store) -> None:
        receiver, row = await claimed(store, "b"), await claimed(store, "a")
        item = InboxItem(receiver.key, "s1", "reported", b"sent")
        closing = Append(row.key, 1, 1, (note(1),), CaseStatus.CLOSED, "completed", sends=(item,), release=True)
        closing = msgspec.structs.replace(closing, opens=(opening(key_of("child"), parent="a"),))
        assert isinstance(await store.append(closing), Appended)
        assert ids(await store.inbox(receiver.key)) == ["s1"]
        assert (await there(store, "child")).status is CaseStatus.OPEN

    @pytest.mark.promise("STORE-6")
    async def test_what_a_case_sends_to_itself_arrives(self, store: Store) -> None:
        row = await claimed(store, "a")
        item = InboxItem(row.key, "s1", "arrived", b"sent")
        assert await store.append(Append(row.key, 1, 1, (note(1),), sends=(item,))) == Appended()
        assert [(got.id, got.frame) for got in await store.inbox(row.key)] == [("s1", b"sent")]

    @pytest.mark.promise("STORE-6")
    async def test_of_the_cases_that_an_append_opens_only_those_that_are_there_are_dropped(self, store: Store) -> None:
        row = await claimed(store, "a")
        children = [opening(key_of(name), parent="a") for name in ("one", "two", "three")]
        await store.append(Append(row.key, 1, 1, (note(1),), opens=(children[1],)))
        assert await store.append(Append(row.key, 1, 2, (note(2),), opens=tuple(children))) == Appended()
        assert {child.key.case_id for child in await store.cases(parent="a")} == {"one", "two", "three"}

    async def test_a_case_opened_by_an_append_is_free_though_its_opener_is_held(self, store: Store) -> None:
        row = await claimed(store, "a")
        await store.append(Append(row.key, 1, 1, (note(1),), opens=(opening(key_of("child"), parent="a"),)))
        child = await there(store, "child")
        assert (child.node, child.epoch, child.claims) == ("", 0, 0)
        assert [each.key for each in await take(store, "node-2", limit=9, now=NOW)] == [child.key]
