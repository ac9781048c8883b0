"""What every store promises about claims that lead to nothing: they are counted, and suspects come alone.

It does not know which store is tested.
"""

from collections.abc import Sequence

import msgspec
import pytest

from casework.runtime.store import rules
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseOpened,
    CaseRow,
    CaseStatus,
    Store,
    Wait,
    WaitKind,
)
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    claimed,
    evidence,
    key_of,
    note,
    opening,
    parked,
    take,
    there,
    timer,
)

#: Longer than any lease that these cases give.
LATER = 10_000


async def dies(store: Store, times: int, *, limit: int = 10, since: int = NOW) -> Sequence[CaseRow]:
    """Have so many nodes, one after another, claim what is free and end without a word; give the last one's rows."""
    rows: Sequence[CaseRow] = ()
    for number in range(times):
        now = since + number * LATER
        await store.renew(f"dying-{since}-{number}", until=now + 1_000)
        rows = await take(store, f"dying-{since}-{number}", limit=limit, now=now)
    return rows


class ClaimConformance:
    """Claims in vain, case by case."""

    @pytest.mark.promise("NODE-3")
    async def test_each_claim_without_a_record_counts(self, store: Store) -> None:
        await store.open_case(opening(key_of("a")))
        assert (await there(store, "a")).claims == 0
        for times in (1, 2, 3, 4):
            (row,) = await dies(store, 1, since=NOW + times * 10 * LATER)
            assert row.claims == times
        assert (await there(store, "a")).claims == 4

    async def test_a_record_begins_the_count_of_claims_anew(self, store: Store) -> None:
        await store.open_case(opening(key_of("a")))
        (row,) = await dies(store, 2)
        assert await store.append(Append(row.key, row.epoch, 1, (note(1, row.epoch),))) == Appended()
        assert (await there(store, "a")).claims == 0

    async def test_a_release_begins_the_count_of_claims_anew(self, store: Store) -> None:
        await store.open_case(opening(key_of("a")))
        (row,) = await dies(store, 2)
        append = Append(row.key, row.epoch, 1, (), status=CaseStatus.PARKED, release=True)
        assert isinstance(await store.append(append), Appended)
        assert (await there(store, "a")).claims == 0

    @pytest.mark.promise("NODE-3")
    async def test_the_clean_end_of_a_node_begins_the_count_of_claims_anew(self, store: Store) -> None:
        await claimed(store, "a")
        await store.renew(NODE, until=0)
        assert (await there(store, "a")).claims == 0

    async def test_a_node_learns_what_it_holds_and_nothing_of_what_others_hold(self, store: Store) -> None:
        await claimed(store, "a")
        row = await claimed(store, "b")
        await store.open_case(opening(key_of("c")))
        assert sorted(await store.held(NODE)) == [key_of("a"), key_of("b")]
        released = Append(row.key, row.epoch, 1, (), status=CaseStatus.PARKED, release=True)
        assert isinstance(await store.append(released), Appended)
        assert await store.held(NODE) == [key_of("a")]
        assert await store.held("node-2") == []

    async def test_a_node_also_holds_a_parked_case_that_it_claimed(self, store: Store) -> None:
        await parked(store, "a", timer(NOW + 1))
        (row,) = await take(store, NODE, limit=1, now=NOW + 1)
        assert row.status is CaseStatus.PARKED
        assert await store.held(NODE) == [row.key]

    async def test_a_case_is_taken_as_it_is_opened_and_only_once(self, store: Store) -> None:
        await store.renew(NODE, until=NOW + LATER)
        taking = msgspec.structs.replace(opening(key_of("a")), node=NODE)
        assert await store.open_case(taking) == CaseOpened(key_of("a"))
        assert isinstance(await store.open_case(msgspec.structs.replace(taking, node="node-2")), CaseExists)
        row = await there(store, "a")
        assert row == rules.opened_row(taking)
        assert (row.epoch, row.claims, row.node) == (1, 1, NODE)
        assert await take(store, "node-2", limit=1, now=NOW) == []
        appended = Append(row.key, row.epoch, 1, (note(1, 1),))
        assert await store.append(appended) == Appended()

    @pytest.mark.promise("STORE-1")
    async def test_a_free_case_is_not_taken_by_who_opens_it_again(self, store: Store) -> None:
        await store.open_case(opening(key_of("a")))
        free = await there(store, "a")
        again = msgspec.structs.replace(opening(key_of("a")), node=NODE)
        assert await store.open_case(again) == CaseExists(free)
        assert await there(store, "a") == free
        assert await store.held(NODE) == []

    async def test_a_case_that_its_node_reclaims_counts_no_claim(self, store: Store) -> None:
        row = await claimed(store, "a")
        again = await store.reclaim(NODE, row.key)
        assert again is not None
        assert (again.row.epoch, again.row.claims) == (2, 1)

    async def test_a_claim_gives_a_node_nothing_that_it_holds_though_its_lease_is_over(self, store: Store) -> None:
        row = await claimed(store, "a")
        sleeps = await claimed(store, "b")
        nap = (Wait("nap", WaitKind.TIMER, due=NOW + 1),)
        parking = Append(sleeps.key, sleeps.epoch, 1, (note(1),), status=CaseStatus.PARKED, waits=nap)
        assert await store.append(parking) == Appended()
        later = await store.claim(NODE, limit=9, now=NOW + LATER)
        assert (list(later.cases), later.next_due) == ([], None)
        taken = await take(store, "node-2", limit=9, now=NOW + LATER)
        assert [(each.key, each.epoch) for each in taken] == [(row.key, 2), (sleeps.key, 2)]

    @pytest.mark.promise("NODE-3")
    async def test_suspects_come_alone_and_before_the_others(self, store: Store) -> None:
        for name in ("a", "b"):
            await store.open_case(opening(key_of(name)))
        await dies(store, rules.SUSPECT_CLAIMS)
        await store.open_case(opening(key_of("c")))
        now = NOW + rules.SUSPECT_CLAIMS * LATER
        await store.renew(NODE, until=now + 2 * rules.SUSPECT_MICROS)
        rows = await take(store, NODE, limit=10, now=now)
        assert [row.key.case_id for row in rows] == ["a"]
        assert await take(store, NODE, limit=10, now=now + 1) == []
        rows = await take(store, NODE, limit=10, now=now + rules.ALONE_MICROS)
        assert [row.key.case_id for row in rows] == ["c"]
        now += rules.ALONE_MICROS
        await store.renew("node-2", until=now + 1_000)
        assert [row.key.case_id for row in await take(store, "node-2", limit=1, now=now + 1)] == ["b"]

    async def test_the_next_suspect_comes_once_the_one_before_has_a_record(self, store: Store) -> None:
        for name in ("a", "b"):
            await store.open_case(opening(key_of(name)))
        await dies(store, rules.SUSPECT_CLAIMS)
        now = NOW + rules.SUSPECT_CLAIMS * LATER
        await store.renew(NODE, until=now + 2 * rules.SUSPECT_MICROS)
        (row,) = await take(store, NODE, limit=10, now=now)
        assert await store.append(Append(row.key, row.epoch, 1, (note(1, row.epoch, at=now),))) == Appended()
        assert [row.key.case_id for row in await take(store, NODE, limit=10, now=now + 1)] == ["b"]

    async def test_the_next_suspect_comes_once_the_one_before_was_watched_long_enough(self, store: Store) -> None:
        for name in ("a", "b"):
            await store.open_case(opening(key_of(name)))
        await dies(store, rules.SUSPECT_CLAIMS)
        now = NOW + rules.SUSPECT_CLAIMS * LATER
        await store.renew(NODE, until=now + 2 * rules.SUSPECT_MICROS)
        await take(store, NODE, limit=10, now=now)
        rows = await take(store, NODE, limit=10, now=now + rules.SUSPECT_MICROS)
        assert [row.key.case_id for row in rows] == ["b"]

    async def test_of_cases_once_claimed_in_vain_a_node_gets_some_at_a_time_and_new_ones_pass_them(
        self, store: Store
    ) -> None:
        names = [f"{number:02}" for number in range(rules.DOUBTED_MAX + 4)]
        for name in names:
            await store.open_case(opening(key_of(name)))
        await dies(store, 1, limit=100)
        await store.open_case(opening(key_of("new")))
        now = NOW + LATER
        await store.renew(NODE, until=now + 2 * rules.SUSPECT_MICROS)
        rows = await take(store, NODE, limit=len(names), now=now)
        assert [row.key.case_id for row in rows] == [*names[: rules.DOUBTED_MAX], "new"]
        assert await take(store, NODE, limit=100, now=now) == []
        append = Append(rows[0].key, rows[0].epoch, 1, (note(1, rows[0].epoch, at=now),))
        assert isinstance(await store.append(append), Appended)
        (row,) = await take(store, NODE, limit=100, now=now)
        assert row.key.case_id == names[rules.DOUBTED_MAX]
        rows = await take(store, NODE, limit=100, now=now + rules.SUSPECT_MICROS)
        assert [row.key.case_id for row in rows] == names[rules.DOUBTED_MAX + 1 :]

    async def test_an_append_says_where_replay_begins_and_which_flow_a_case_is_pinned_to(self, store: Store) -> None:
        row = await claimed(store, "a")
        assert (row.chapter, row.version, row.source_hash) == (0, "1", "abc")
        append = Append(row.key, 1, 1, (note(1),), chapter=1, pinned=("2", "def"))
        assert isinstance(await store.append(append), Appended)
        assert await store.append(Append(row.key, 1, 2, (note(2),))) == Appended()
        row = await there(store, "a")
        assert (row.chapter, row.version, row.source_hash) == (1, "2", "def")

    async def test_a_parked_case_is_no_suspect(self, store: Store) -> None:
        assert (await parked(store, "a", evidence("receipt"))).claims == 0
