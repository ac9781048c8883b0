"""What a claim gives with each case, so that a node can begin it without asking for more.

It does not know which store is tested.
"""

from casework.runtime.store.base import Append, Appended, CaseStatus, Store
from casework.runtime.store.claims import Claims
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    TENANT,
    arrived,
    bounded,
    claimed,
    evidence,
    ids,
    key_of,
    note,
    opening,
    parked,
    there,
    timer,
)
from casework.runtime.store.rules import CLAIM_BYTES_MAX

#: When the node that made the cases lives no more.
LATER = NOW + 1_000


async def left(store: Store, name: str, *frames: bytes, chapter: int | None = None) -> None:
    """Make a case with one record for each of these frames, held by a node that is dead at `LATER`."""
    row = await claimed(store, name, node="before")
    records = tuple(note(seq, row.epoch, frame=frame) for seq, frame in enumerate(frames, start=1))
    assert await store.append(Append(row.key, row.epoch, 1, records, chapter=chapter)) == Appended()


def names(claims: Claims) -> list[str]:
    return [given.row.key.case_id for given in claims.cases]


@bounded
class BeginningConformance:
    """Claims and what comes with them, case by case."""

    async def test_a_claim_gives_each_case_with_its_own_log(self, store: Store) -> None:
        for number in range(30):
            await left(store, f"{number:02}", *(f"{number}:{seq}".encode() for seq in range(1 + number % 5)))
        claims = await store.claim(NODE, limit=100, now=LATER)
        assert names(claims) == [f"{number:02}" for number in range(30)]
        for number, given in enumerate(claims.cases):
            assert (given.row, list(given.inbox), given.broken) == (await there(store, f"{number:02}"), [], "")
            assert list(given.records) == list(await store.records(given.row.key))
            assert [record.frame for record in given.records[1:]] == [
                f"{number}:{seq}".encode() for seq in range(1 + number % 5)
            ]

    async def test_a_claim_gives_the_log_from_the_chapter_on(self, store: Store) -> None:
        await left(store, "long", b"one", b"two", b"three", chapter=2)
        await left(store, "short", b"one")
        long, short = (await store.claim(NODE, limit=9, now=LATER)).cases
        assert [record.seq for record in long.records] == [2, 3]
        assert list(long.records) == list(await store.records(long.row.key, 2))
        assert [record.seq for record in short.records] == [0, 1]

    async def test_a_claim_gives_what_waits_for_each_case_in_order_and_nothing_that_was_read(
        self, store: Store
    ) -> None:
        row = await claimed(store, "a", node="before")
        for item in ("read", "z", "b"):
            await store.deliver(TENANT, "a", item, arrived(item))
        await store.append(Append(row.key, 1, 1, (note(1),), consumed=("read",)))
        await parked(store, "b", evidence("receipt"))
        await store.deliver(TENANT, "receipt", "m1", arrived("m1"))
        first, second = (await store.claim(NODE, limit=9, now=LATER)).cases
        assert (ids(first.inbox), ids(second.inbox)) == (["z", "b"], ["m1"])
        assert list(first.inbox) == list(await store.inbox(first.row.key))
        assert list(second.inbox) == list(await store.inbox(second.row.key))
        assert second.row.waits == (evidence("receipt"),)

    async def test_a_case_taken_again_comes_with_what_it_needs(self, store: Store) -> None:
        await left(store, "a", b"one", b"two", chapter=1)
        await store.claim(NODE, limit=1, now=LATER)
        await store.deliver(TENANT, "a", "m1", arrived("m1"))
        again = await store.reclaim(NODE, key_of("a"))
        assert again is not None
        assert again.row == await there(store, "a")
        assert list(again.records) == list(await store.records(key_of("a"), 1))
        assert ids(again.inbox) == ["m1"]

    async def test_a_claim_says_that_there_may_be_more_when_its_limit_is_reached(self, store: Store) -> None:
        await parked(store, "waits", timer(LATER + 60))
        await store.renew(NODE, until=LATER + 1_000)
        for name in ("a", "b", "c"):
            await store.open_case(opening(key_of(name)))
        first = await store.claim(NODE, limit=2, now=LATER)
        assert (names(first), first.more, first.next_due) == (["a", "b"], True, None)
        second = await store.claim(NODE, limit=2, now=LATER)
        assert (names(second), second.more, second.next_due) == (["c"], False, LATER + 60)
        third = await store.claim(NODE, limit=2, now=LATER)
        assert (names(third), third.more, third.next_due) == ([], False, LATER + 60)

    async def test_the_timer_of_a_case_that_is_just_given_is_no_more_due(self, store: Store) -> None:
        await parked(store, "soon", timer(LATER))
        await parked(store, "late", timer(LATER + 90))
        await store.renew(NODE, until=LATER + 1_000)
        claims = await store.claim(NODE, limit=9, now=LATER)
        assert (names(claims), claims.more, claims.next_due) == (["soon"], False, LATER + 90)

    async def test_a_claim_gives_no_further_case_once_it_is_long_and_says_so(self, store: Store) -> None:
        part = bytes(CLAIM_BYTES_MAX // 2 + 1)
        await store.renew(NODE, until=LATER + 1_000)
        for name in ("a", "b", "c"):
            await left(store, name, part)
        first = await store.claim(NODE, limit=9, now=LATER)
        assert (names(first), first.more) == (["a", "b"], True)
        assert (await there(store, "c")).node == "before"
        second = await store.claim(NODE, limit=9, now=LATER)
        assert (names(second), second.more) == (["c"], False)
        assert [record.frame for record in second.cases[0].records] == [b"opened", part]

    async def test_a_case_that_is_too_long_for_a_claim_comes_by_itself(self, store: Store) -> None:
        part = bytes(CLAIM_BYTES_MAX // 8)
        await store.renew(NODE, until=LATER + 1_000)
        await left(store, "a", *[part] * 9)
        await left(store, "b", b"short")
        first = await store.claim(NODE, limit=9, now=LATER)
        assert (names(first), first.more) == (["a"], True)
        assert [len(record.frame) for record in first.cases[0].records] == [len(b"opened"), *[len(part)] * 9]
        assert names(await store.claim(NODE, limit=9, now=LATER)) == ["b"]
        again = await store.reclaim(NODE, key_of("a"))
        assert again is not None
        assert list(again.records) == list(await store.records(key_of("a")))

    async def test_what_an_earlier_chapter_holds_does_not_make_a_claim_long(self, store: Store) -> None:
        part = bytes(CLAIM_BYTES_MAX // 2 + 1)
        await store.renew(NODE, until=LATER + 1_000)
        for name in ("a", "b", "c"):
            await left(store, name, part, b"chapter", chapter=2)
        claims = await store.claim(NODE, limit=9, now=LATER)
        assert (names(claims), claims.more) == (["a", "b", "c"], False)
        assert [row.status for row in await store.cases()] == [CaseStatus.OPEN] * 3
