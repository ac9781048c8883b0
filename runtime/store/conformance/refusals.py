"""What every store promises of an append that it refuses: nothing is another after it, for anybody who looks.

It does not know which store is tested.
"""

import msgspec
import pytest

from casework.runtime.store.accounts import Account, Draw, Drawn, Settlement
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseKey,
    CaseStatus,
    Conflict,
    DecisionTaken,
    Delivered,
    Fenced,
    InboxItem,
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
    key_of,
    next_due,
    note,
    opening,
    parked,
    review,
    timer,
)

#: Why an append is refused: its epoch, its place, and how it is answered, of a case with epoch 2 and 3 records.
REFUSALS = {
    "fenced": (1, 3, Fenced(2)),
    "conflict": (2, 2, Conflict(3)),
    "both": (1, 2, Fenced(2)),
    "held by nobody": (2, 3, Fenced(2)),
}

SHAPES = (
    "all that goes on",
    "all that parks",
    "all that closes",
    "all without records",
    "records alone",
    "release alone",
)


async def look(store: Store) -> list[object]:
    """Give all that anybody can see of a store."""
    rows = await store.cases()
    accounts = await store.accounts()
    return [
        rows,
        [list(await store.records(row.key)) for row in rows],
        [list(await store.inbox(row.key)) for row in rows],
        list(await store.reviews()),
        accounts,
        [list(await store.ledger(account.name)) for account in accounts],
        [sorted(await store.held(node)) for node in (NODE, "node-2")],
        [row.key for row in await store.awaiting(["receipt", "invoice"])],
        await next_due(store, NOW + 5_000),
    ]


async def scene(store: Store) -> CaseKey:
    """Make a case with something of everything, which a node holds under epoch 2, and other cases beside it."""
    await close(store, await claimed(store, "closed"))
    await parked(store, "b", evidence("receipt"), timer(NOW + 90))
    row = await claimed(store, "c")
    asked = (review(row.key, "heard"), review(row.key, "open"))
    first = Append(row.key, 1, 1, (note(1),), reviews_opened=asked, opens=(opening(key_of("theirs")),))
    assert await store.append(first) == Appended()
    assert isinstance(await store.deliver(TENANT, "c", "m1", arrived()), Delivered)
    assert isinstance(await store.decide("heard", "h1", decided("heard"), NOW), DecisionTaken)
    assert isinstance(await store.set_limit("tenant/acme", 100, by="ann", at=NOW), Account)
    assert await store.draw(Draw("d1", ("tenant/acme",), 60, 1, NOW)) == Drawn("d1")
    assert await store.reclaim(NODE, row.key) is not None
    # It waits for nothing and was written under its epoch: a store may know a shorter way for such a case.
    assert await store.append(Append(row.key, 2, 2, (note(2, 2),))) == Appended()
    return row.key


def everything(key: CaseKey, epoch: int, seq: int) -> Append:
    """Give an append to the case of the scene that would change all that one can."""
    back = InboxItem(key, "back", "noted", b"back")
    return Append(
        key,
        epoch,
        seq,
        (note(seq, epoch, at=NOW + 7), note(seq + 1, epoch, at=NOW + 8)),
        waits=(evidence("invoice"), timer(NOW + 30)),
        chapter=1,
        pinned=("2", "def"),
        consumed=("m1", "decided:heard"),
        sends=(
            InboxItem(key_of("b"), "s1", "arrived", b"sent"),
            InboxItem(key, "s1", "arrived", b"sent"),
            InboxItem(key_of("closed"), "s1", "arrived", b"sent", otherwise=back),
        ),
        opens=(
            opening(key_of("child"), parent="c"),
            msgspec.structs.replace(opening(key_of("theirs"), parent="c"), otherwise=back),
        ),
        reviews_opened=(review(key, "new"),),
        reviews_withdrawn=("heard", "open"),
        settles=(Settlement("d1", 20, NOW + 7),),
    )


def shaped(shape: str, key: CaseKey, epoch: int, seq: int) -> Append:
    """Give an append of one of `SHAPES`: a store may have ways of its own for those that change little."""
    whole = everything(key, epoch, seq)
    match shape:
        case "all that goes on":
            return whole
        case "all that parks":
            return msgspec.structs.replace(whole, status=CaseStatus.PARKED, release=True)
        case "all that closes":
            return msgspec.structs.replace(whole, status=CaseStatus.CLOSED, result="completed")
        case "all without records":
            return msgspec.structs.replace(whole, records=(), release=True)
        case "records alone":
            return Append(key, epoch, seq, whole.records)
        case _:
            return Append(key, epoch, seq, (), CaseStatus.PARKED, release=True)


@bounded
class RefusalConformance:
    """Appends that are refused, reason by reason and shape by shape."""

    @pytest.mark.promise("STORE-4")
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("why", REFUSALS)
    async def test_a_refused_append_changes_nothing(self, store: Store, why: str, shape: str) -> None:
        key = await scene(store)
        epoch, seq, refusal = REFUSALS[why]
        if why == "held by nobody":
            assert await store.append(Append(key, 2, 3, (), release=True)) == Appended()
        before = await look(store)
        heard: list[CaseKey] = []
        store.on_arrival(heard.extend)
        assert await store.append(shaped(shape, key, epoch, seq)) == refusal
        assert await look(store) == before
        assert heard == []
        # No id of what it would have sent was taken.
        for receiver in (key, key_of("b")):
            assert await store.deliver(TENANT, receiver.case_id, "s1", arrived()) == Delivered((receiver,))
