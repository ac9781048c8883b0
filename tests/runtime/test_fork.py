"""A fork is a case as it stood after one of its records; what cannot be forked is refused with the reason."""

import hashlib
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from casework.protocols.records import Migrated, ReviewAction
from casework.runtime.errors import ForkRefused
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.reading import Reader
from casework.runtime.fold import entry_of
from casework.runtime.fork import forked
from casework.runtime.seams import World
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import CaseStatus, Record
from casework.runtime.store.chain import broken_at
from casework.runtime.store.crosscheck import difference
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, closed, crew, runtime


async def asks(case: Case, inputs: Ask) -> list[str]:
    await case.note("begin")
    reviewed = await case.review("look", {"n": inputs.n}, rule="test")
    arrived = await case.park("page", reason="the next page")
    await case.note("end")
    return [reviewed.by, arrived.by]


async def asks_and_says_more(case: Case, inputs: Ask) -> list[str]:
    await case.note("begin")
    reviewed = await case.review("look", {"n": inputs.n}, rule="test")
    await case.note("looked")
    return [reviewed.by]


def reader(*versions: tuple[str, Any, str]) -> Reader:
    """Read with versions of the flow, as (version, function, source hash)."""
    flows = {version: Flow("asks", version, function, Ask, hash_) for version, function, hash_ in versions}
    return Reader(flows | {"asks": list(flows.values())[-1]}, World(), "")


@pytest.fixture
async def whole() -> Transfer:
    """A case that has closed, after a person and a message."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(asks), store) as machine:
            await machine.open("asks", "c1", Ask(1))
            row = await machine.wait("c1")
            await machine.decide(row.waits[0].key, ReviewAction.APPROVE, by="ann")
            await machine.deliver("c1", key="page", by="bob", message_id="p1")
            await closed(store)
    transfer = await store.transfer(KEY)
    assert transfer is not None
    return transfer


def seq_of(whole: Transfer, kind: str) -> int:
    return next(record.seq for record in whole.records if record.kind == kind)


async def test_what_was_decided_and_what_came_later_is_there_again(whole: Transfer) -> None:
    known = reader(("1", asks, whole.row.source_hash))
    early = forked(known, whole, 0)
    assert [(each.id, each.kind) for each in early.inbox if each.kind] == [("p1", "arrived")]
    assert early.reviews == (), "what was not asked yet is not decided"
    asked = forked(known, whole, seq_of(whole, "review"))
    assert {each.kind for each in asked.inbox} == {"decided", "arrived"}
    assert [review.state for review in asked.reviews] == ["decided"]
    late = forked(known, whole, seq_of(whole, "arrived"))
    assert {each.kind for each in late.inbox} == {""}, "what was taken by then is not taken again"
    for fork in (early, asked, late):
        assert (fork.row.status, fork.row.node, fork.row.waits) == (CaseStatus.OPEN, "", ())
        assert (broken_at(fork.row, fork.records), difference(fork)) == (None, None)


async def test_a_fork_goes_on_with_another_version_that_does_what_the_log_says_up_to_there(whole: Transfer) -> None:
    both = reader(("1", asks, whole.row.source_hash), ("2", asks_and_says_more, "new"))
    fork = forked(both, whole, seq_of(whole, "decided"), to="2")
    moved = entry_of(fork.records[-1])
    assert isinstance(moved, Migrated)
    assert (moved.version, moved.version_before, fork.row.version, fork.row.source_hash) == ("2", "1", "2", "new")
    assert (broken_at(fork.row, fork.records), difference(fork)) == (None, None)
    with pytest.raises(ForkRefused, match="version 2 does something else than its log says"):
        forked(both, whole, seq_of(whole, "parked"), to="2")


@pytest.mark.parametrize(
    ("at", "to", "why"),
    [
        (-1, "", "its log has the records 0 to 7"),
        (8, "", "its log has the records 0 to 7"),
        (7, "", "there it had ended; name an earlier record"),
        (3, "3", "the crew's versions of it: 1"),
    ],
)
async def test_what_cannot_be_forked_is_refused_with_the_reason(whole: Transfer, at: int, to: str, why: str) -> None:
    with pytest.raises(ForkRefused) as caught:
        forked(reader(("1", asks, whole.row.source_hash)), whole, at, to=to)
    assert (caught.value.case_id, caught.value.at) == ("c1", at)
    assert why in caught.value.why


async def test_whoever_has_no_such_source_is_asked_to_name_a_version(whole: Transfer) -> None:
    with pytest.raises(ForkRefused, match="name the version with which it is to go on"):
        forked(reader(("1", asks, "changed since")), whole, 3)
    assert forked(reader(("1", asks, "changed since")), whole, 3, to="1").row.source_hash == "changed since"


async def test_a_case_whose_contents_are_no_longer_kept_is_not_forked(whole: Transfer) -> None:
    dropped = [replace(each, frame=b"", frame_hash=hashlib.sha256(each.frame).digest()) for each in whole.records]
    bare = replace(whole, records=tuple(dropped))
    with pytest.raises(ForkRefused, match="no longer kept"):
        forked(reader(("1", asks, whole.row.source_hash)), bare, 3)


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (lambda each: (*each[:5], replace(each[5], at=1), *each[6:]), "record 5: the record or one before it was chan"),
        (lambda each: (*each[:5], *each[6:]), "record 5: record 5 is missing"),
        (lambda each: each[:-1], "record 7: the log ends here, but the case says it has 8 records"),
        (lambda each: (), "record 0: the log ends here"),
    ],
    ids=["changed", "lost", "cut off", "gone"],
)
async def test_a_case_whose_log_is_not_as_it_was_written_is_not_forked_anywhere(
    whole: Transfer, records: Callable[[tuple[Record, ...]], tuple[Record, ...]], why: str
) -> None:
    damaged = replace(whole, records=records(whole.records))
    for at in (0, 6):
        with pytest.raises(ForkRefused, match="its log is not as it was written") as caught:
            forked(reader(("1", asks, whole.row.source_hash)), damaged, at)
        assert why in caught.value.why
