"""What every store promises of what reaches a case from outside: its inbox and its reviews.

It does not know how a store keeps anything.
"""

import hashlib
from contextlib import suppress
from typing import Final

import anyio
import pytest

from casework.protocols.codec import encode, pack
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Cancel, ReviewAction
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseStatus,
    DecisionRefused,
    DecisionTaken,
    Delivered,
    Duplicate,
    Nobody,
    Store,
)
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    TENANT,
    arrived,
    bounded,
    claimed,
    close,
    decided,
    evidence,
    ids,
    key_of,
    note,
    parked,
    review,
    take,
    there,
)
from casework.runtime.store.rules import INDEXED_BYTES_MAX

#: What is no key, and no message's id, in any store.
UNFIT: Final = {
    "nothing": "",
    "undecodable bytes": b"c\xe9".decode("utf-8", "surrogateescape"),
    "a NUL": "c\0",
    "too long": "c" * (INDEXED_BYTES_MAX + 1),
}


def longest(last: str) -> str:
    """Make a key or id as long as they get, of digits that no compression shortens; two differ in the last one."""
    return hashlib.shake_256(b"longest").hexdigest(INDEXED_BYTES_MAX)[: INDEXED_BYTES_MAX - 1] + last


@bounded
class MessageConformance:
    """The inbox and reviews."""

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

    async def test_a_message_that_one_case_consumed_stays_with_the_others_that_have_it(self, store: Store) -> None:
        rows = [await claimed(store, name) for name in ("a", "b")]
        for row in rows:
            await store.deliver(TENANT, row.key.case_id, "m1", arrived())
        assert await store.append(Append(rows[0].key, 1, 1, (note(1),), consumed=("m1",))) == Appended()
        assert [ids(await store.inbox(row.key)) for row in rows] == [[], ["m1"]]

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
        await take(store, NODE, limit=2, now=NOW)
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

    @pytest.mark.parametrize("unfit", UNFIT)
    async def test_a_target_as_which_no_store_can_keep_anything_is_nobody(self, store: Store, unfit: str) -> None:
        target = UNFIT[unfit]
        await parked(store, "c", evidence("c" * INDEXED_BYTES_MAX))
        assert await store.deliver(TENANT, target, "m1", arrived()) == Nobody(target)
        assert await store.case(key_of(target)) is None
        assert list(await store.awaiting([target])) == []
        assert list(await store.inbox(key_of("c"))) == []

    @pytest.mark.parametrize("unfit", UNFIT)
    async def test_a_message_id_that_no_store_can_keep_is_refused(self, store: Store, unfit: str) -> None:
        await claimed(store, "c")
        answers: list[object] = []
        for target in ("c", "nowhere"):
            with suppress(FrameInvalid):
                answers.append(await store.deliver(TENANT, target, UNFIT[unfit], arrived()))
        assert answers == []
        assert list(await store.inbox(key_of("c"))) == []

    async def test_the_longest_keys_are_told_apart_by_their_last_letter(self, store: Store) -> None:
        for name, last in (("a", "x"), ("b", "y")):
            await parked(store, name, evidence(longest(last)))
        assert await store.deliver(TENANT, longest("y"), "m1", arrived()) == Delivered((key_of("b"),))
        assert [row.key for row in await store.awaiting([longest("x")])] == [key_of("a")]
        assert (await there(store, "a")).waits == (evidence(longest("x")),)

    @pytest.mark.promise("STORE-5")
    async def test_the_longest_message_ids_are_told_apart_by_their_last_letter(self, store: Store) -> None:
        row = await claimed(store, "c")
        answers = [await store.deliver(TENANT, "c", longest(last), arrived()) for last in "xyx"]
        assert answers == [Delivered((row.key,)), Delivered((row.key,)), Duplicate((row.key,))]
        assert ids(await store.inbox(row.key)) == [longest("x"), longest("y")]
        await store.append(Append(row.key, 1, 1, (note(1),), consumed=(longest("x"),)))
        assert ids(await store.inbox(row.key)) == [longest("y")]

    @pytest.mark.promise("STORE-5")
    async def test_a_delivery_by_key_repeated_after_it_was_consumed_is_a_duplicate(self, store: Store) -> None:
        await parked(store, "a", evidence("receipt"))
        await store.deliver(TENANT, "receipt", "m1", arrived())
        [row] = await take(store, NODE, limit=1, now=NOW)
        await store.append(Append(row.key, 2, 2, (note(2, 2),), consumed=("m1",), waits=()))
        assert await store.deliver(TENANT, "receipt", "m1", arrived()) == Duplicate((row.key,))
        assert await store.deliver(TENANT, "receipt", "m2", arrived("m2")) == Nobody("receipt")

    async def test_a_frame_that_is_no_delivery_is_refused(self, store: Store) -> None:
        await claimed(store, "c")
        for frame in (b"", b"\xff\x00", decided(), pack({"type": "arrived"})):
            with pytest.raises(FrameInvalid):
                await store.deliver(TENANT, "c", "m1", bytes(frame))
        assert list(await store.inbox(key_of("c"))) == []

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
        assert len(await take(store, NODE, limit=9, now=NOW)) == 1

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
    async def test_the_same_decision_again_after_it_was_consumed_is_not_heard_again(self, store: Store) -> None:
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),), reviews_opened=(review(row.key),)))
        first = await store.decide("r1", "h1", decided(), NOW)
        await store.append(Append(row.key, 1, 2, (note(2),), consumed=("decided:r1",)))
        assert await store.decide("r1", "h1", decided(), NOW) == first
        assert list(await store.inbox(row.key)) == []

    @pytest.mark.promise("STORE-7")
    @pytest.mark.parametrize("ended", ["decided", "withdrawn"])
    async def test_a_review_that_ended_does_not_open_again(self, store: Store, ended: str) -> None:
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),), reviews_opened=(review(row.key),)))
        if ended == "decided":
            assert isinstance(await store.decide("r1", "h1", decided(), NOW), DecisionTaken)
        else:
            await store.append(Append(row.key, 1, 2, (note(2),), reviews_withdrawn=("r1",)))
        before = list(await store.reviews())
        seq = (await there(store, "c")).next_seq
        again = Append(row.key, 1, seq, (note(seq),), reviews_opened=(review(row.key, opened_at=NOW + 9),))
        assert await store.append(again) == Appended()
        assert list(await store.reviews()) == before
        assert [found.state for found in before] == [ended]

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
        assert await store.decide("r1", "h2", decided(), NOW) == DecisionRefused("stale", row)
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

    async def test_a_review_whose_decision_was_heard_is_not_withdrawn_nor_one_of_another_case(
        self, store: Store
    ) -> None:
        await parked(store, "b", reviews=(review(key_of("b"), "rb"),))
        row = await claimed(store, "c")
        asked = (review(row.key), review(row.key, "r2"))
        await store.append(Append(row.key, 1, 1, (note(1),), reviews_opened=asked))
        for review_id in ("r1", "r2"):
            await store.decide(review_id, "h1", decided(review_id), NOW)
        await store.append(Append(row.key, 1, 2, (note(2),), consumed=("decided:r1",)))
        withdrawn = ("r1", "r2", "rb")
        await store.append(Append(row.key, 1, 3, (note(3),), consumed=("decided:r2",), reviews_withdrawn=withdrawn))
        states = {found.id: found.state for found in await store.reviews()}
        assert states == {"r1": "decided", "r2": "withdrawn", "rb": "open"}

    @pytest.mark.promise("STORE-7")
    @pytest.mark.parametrize("status", [CaseStatus.OPEN, CaseStatus.CLOSED])
    async def test_a_review_that_is_withdrawn_before_its_decision_was_heard_stays_withdrawn(
        self, store: Store, status: CaseStatus
    ) -> None:
        row = await claimed(store, "c")
        await store.append(Append(row.key, 1, 1, (note(1),), reviews_opened=(review(row.key),)))
        assert isinstance(await store.decide("r1", "h1", decided(), NOW), DecisionTaken)
        await store.append(Append(row.key, 1, 2, (note(2),), status=status, reviews_withdrawn=("r1",)))
        late = await store.review("r1")
        assert late is not None
        assert (late.state, late.decision) == ("withdrawn", decided())
        assert await store.decide("r1", "h1", decided(), NOW) == DecisionRefused("withdrawn", late)

    async def test_a_review_of_a_closed_case_is_not_decided(self, store: Store) -> None:
        row = await claimed(store, "c")
        closing = Append(
            row.key, 1, 1, (note(1),), status=CaseStatus.CLOSED, result="failed", reviews_opened=(review(row.key),)
        )
        await store.append(closing)
        result = await store.decide("r1", "h1", decided(), NOW)
        assert isinstance(result, DecisionRefused)
        assert result.why == "withdrawn"
