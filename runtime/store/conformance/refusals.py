"""What every store promises of an append that it refuses: nothing is another after it, for anybody who looks.

It does not know which store is tested.
"""

import anyio
import msgspec
import pytest

from casework.protocols.errors import FrameInvalid
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
from casework.runtime.store.verify import verify

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


#: What appends do that are made at once, and why each stands or does not, of a case with epoch 1 and one record.
KINDS = ("notes", "parks", "closes", "sends")
AT_ONCE = {"stands": (1, 1, Appended()), "fenced": (2, 1, Fenced(1)), "conflict": (1, 2, Conflict(1))}


def changing(kind: str, key: CaseKey, epoch: int, seq: int) -> Append:
    """Give an append of one of `KINDS`."""
    notes = Append(key, epoch, seq, (note(seq, epoch),))
    match kind:
        case "parks":
            return msgspec.structs.replace(notes, status=CaseStatus.PARKED, waits=(evidence("invoice"),), release=True)
        case "closes":
            return msgspec.structs.replace(notes, status=CaseStatus.CLOSED, result="completed")
        case "sends":
            sends = (InboxItem(key_of("to"), f"sent by {key.case_id}", "arrived", b"sent"),)
            return msgspec.structs.replace(notes, sends=sends)
        case _:
            return notes


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

    @pytest.mark.promise("STORE-9")
    async def test_of_changes_of_many_kinds_at_once_each_is_answered_for_itself(self, store: Store) -> None:
        expected: dict[str, object] = {}
        answers: dict[str, object] = {}
        before = [await parked(store, "to", evidence("receipt"))]

        async def append(name: str, change: Append) -> None:
            answer = await store.append(change)
            answers[name] = Appended() if isinstance(answer, Appended) else answer

        async def deliver(name: str, frame: bytes) -> None:
            try:
                answers[name] = await store.deliver(TENANT, "to", name, frame)
            except FrameInvalid as error:
                answers[name] = type(error)

        changes: dict[str, Append] = {}
        for number in range(4):
            for kind in KINDS:
                for why, (epoch, seq, answer) in AT_ONCE.items():
                    name = f"{kind} {why} {number}"
                    row = await claimed(store, name)
                    changes[name], expected[name] = changing(kind, row.key, epoch, seq), answer
                    before.append(row)
        async with anyio.create_task_group() as group:
            for number, (name, change) in enumerate(changes.items()):
                good, bad = f"good {number}", f"bad {number}"
                expected |= {good: Delivered((key_of("to"),)), bad: FrameInvalid}
                group.start_soon(append, name, change)
                group.start_soon(deliver, good, arrived(good))
                group.start_soon(deliver, bad, b"no frame")
        assert answers == expected
        done = {name for name, answer in expected.items() if answer == Appended()}
        after = {row.key.case_id: row for row in await store.cases()}
        assert {name for name in changes if after[name].next_seq == 2} == done
        assert all(after[row.key.case_id] == row for row in before if row.key.case_id not in {"to", *done})
        sent = {f"sent by {name}" for name in done if name.startswith("sends")}
        assert {item.id for item in await store.inbox(key_of("to"))} == {
            *sent,
            *(f"good {number}" for number in range(len(changes))),
        }
        assert await verify(store) == []
