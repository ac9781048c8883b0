"""What every store promises of a delivery that takes the case which it wakes: it is one with what a claim gives.

A store may leave a case to the next claim, so each case here looks at whichever of the two gave it.
It does not know which store is tested.
"""

import pytest

from casework.runtime.store import rules
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseKey,
    CaseStatus,
    Delivered,
    DeliverResult,
    Duplicate,
    Nobody,
    Store,
)
from casework.runtime.store.claims import Claimed
from casework.runtime.store.conformance.claims import LATER, dies
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    TENANT,
    arrived,
    bounded,
    claimed,
    close,
    evidence,
    ids,
    key_of,
    note,
    opening,
    parked,
    there,
)
from casework.runtime.store.taking import Delivery


async def delivered(
    store: Store, target: str, item: str = "m1", *, node: str = NODE, now: int = NOW
) -> tuple[DeliverResult, list[Claimed]]:
    """Deliver for a node, and give the answer and what was taken."""
    taken: list[Claimed] = []
    delivery = Delivery(TENANT, target, item, arrived(item))
    answer = await store.deliver_and_claim(node, delivery, now=now, taken=taken.append)
    return answer, taken


async def woken(store: Store, target: str, *, node: str = NODE, now: int = NOW) -> Claimed:
    """Deliver, and give the one case that the delivery took or left to the next claim."""
    answer, taken = await delivered(store, target, node=node, now=now)
    assert isinstance(answer, Delivered)
    (given,) = taken or (await store.claim(node, limit=9, now=now)).cases
    assert answer.keys == (given.row.key,)
    return given


@bounded
class TakingConformance:
    """Deliveries that take a case, case by case."""

    @pytest.mark.parametrize("target", ["a", "receipt"], ids=["case", "key"])
    async def test_a_delivery_gives_the_parked_case_that_it_wakes_with_its_log_and_inbox(
        self, store: Store, target: str
    ) -> None:
        before = await parked(store, "a", evidence("receipt"))
        given = await woken(store, target, now=NOW + 1)
        assert given.row == await there(store, "a")
        assert (given.row.epoch, given.row.claims, given.row.node) == (before.epoch + 1, 1, NODE)
        assert (given.row.status, given.row.changed_at) == (CaseStatus.PARKED, NOW + 1)
        assert list(given.records) == list(await store.records(key_of("a")))
        assert list(given.inbox) == list(await store.inbox(key_of("a")))
        assert ids(given.inbox) == ["m1"]
        append = Append(given.row.key, given.row.epoch, 2, (note(2, given.row.epoch),), consumed=("m1",))
        assert await store.append(append) == Appended()
        assert list(await store.inbox(key_of("a"))) == []

    async def test_a_case_that_a_delivery_took_is_given_to_nobody_else(self, store: Store) -> None:
        await store.renew(NODE, until=NOW + LATER)
        await parked(store, "a", evidence("receipt"))
        await woken(store, "a")
        assert list((await store.claim("node-2", limit=9, now=NOW)).cases) == []
        answer, taken = await delivered(store, "a", "m2", node="node-2")
        assert (answer, taken) == (Delivered((key_of("a"),)), [])
        assert ids(await store.inbox(key_of("a"))) == ["m1", "m2"]

    async def test_a_case_that_a_dead_node_holds_is_free_to_a_delivery(self, store: Store) -> None:
        await store.open_case(opening(key_of("a")))
        await dies(store, 1)
        await store.append(Append(key_of("a"), 1, 1, (note(1),), CaseStatus.PARKED, waits=(evidence("receipt"),)))
        given = await woken(store, "a", now=NOW + LATER)
        assert (given.row.node, given.row.epoch, given.row.claims) == (NODE, 2, 1)

    async def test_a_delivery_takes_no_case_that_its_node_holds(self, store: Store) -> None:
        row = await claimed(store, "a")
        for number, now in enumerate((NOW, NOW + LATER)):
            answer, taken = await delivered(store, "a", f"m{number}", now=now)
            assert (answer, taken) == (Delivered((row.key,)), [])
        assert (await there(store, "a")).epoch == row.epoch

    async def test_a_delivery_to_several_cases_takes_none_of_them(self, store: Store) -> None:
        for name in ("a", "b"):
            await parked(store, name, evidence("receipt"))
        answer, taken = await delivered(store, "receipt")
        assert (answer, taken) == (Delivered((key_of("a"), key_of("b"))), [])
        assert [given.row.key for given in (await store.claim(NODE, limit=9, now=NOW)).cases] == [
            key_of("a"),
            key_of("b"),
        ]

    async def test_a_delivery_that_changes_nothing_takes_nothing_and_is_announced_to_nobody(self, store: Store) -> None:
        await close(store, await claimed(store, "b", node="node-2"))
        await parked(store, "a", evidence("receipt"))
        await store.deliver(TENANT, "a", "m1", arrived())
        heard: list[CaseKey] = []
        store.on_arrival(heard.extend)
        assert await delivered(store, "a") == (Duplicate((key_of("a"),)), [])
        assert await delivered(store, "nobody") == (Nobody("nobody"), [])
        assert await delivered(store, "b") == (Nobody("b"), [])
        assert (await there(store, "a")).node == ""
        assert heard == []

    async def test_a_delivery_takes_no_case_that_was_claimed_in_vain(self, store: Store) -> None:
        await store.open_case(opening(key_of("a")))
        for times in range(1, rules.SUSPECT_CLAIMS + 1):
            await dies(store, 1, since=NOW + times * LATER)
            answer, taken = await delivered(store, "a", f"m{times}", now=NOW + (times + 1) * LATER)
            assert (answer, taken) == (Delivered((key_of("a"),)), [])
            assert (await there(store, "a")).claims == times

    async def test_a_delivery_takes_nothing_beside_a_suspect_that_its_node_watches(self, store: Store) -> None:
        await parked(store, "a", evidence("receipt"))
        await store.open_case(opening(key_of("bad")))
        await dies(store, rules.SUSPECT_CLAIMS)
        now = NOW + rules.SUSPECT_CLAIMS * LATER
        await store.renew(NODE, until=now + 2 * rules.SUSPECT_MICROS)
        assert [given.row.key for given in (await store.claim(NODE, limit=9, now=now)).cases] == [key_of("bad")]
        answer, taken = await delivered(store, "a", now=now + 1)
        assert (answer, taken) == (Delivered((key_of("a"),)), [])
        given = (await store.claim(NODE, limit=9, now=now + rules.ALONE_MICROS)).cases
        assert [each.row.key for each in given] == [key_of("a")]

    async def test_a_case_that_was_taken_is_announced_to_nobody_and_one_that_was_not_is(self, store: Store) -> None:
        heard: list[CaseKey] = []
        await parked(store, "a", evidence("receipt"))
        await claimed(store, "b")
        store.on_arrival(heard.extend)
        _, taken = await delivered(store, "a")
        assert heard == ([] if taken else [key_of("a")])
        heard.clear()
        await delivered(store, "b")
        assert heard == [key_of("b")]
