"""What goes into one transaction, and what becomes one append."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_support import NOW, evidence, key_of, note, opening

from casework.runtime.store.base import Append, CaseStatus, InboxItem
from casework.runtime.store.batch import Group, coalesce, follows, joined

C = key_of("c")


def step(seq: int, count: int = 1, *, epoch: int = 1, case: str = "c") -> Append:
    return Append(key_of(case), epoch, seq, tuple(note(seq + offset, epoch) for offset in range(count)))


def test_appends_that_follow_each_other_become_one() -> None:
    queued = [step(1), step(2, 2), step(4)]
    [group] = coalesce(queued)
    assert isinstance(group, Group)
    assert group.places == (0, 1, 2)
    assert group.append.next_seq == 1
    assert [record.seq for record in group.append.records] == [1, 2, 3, 4]


def test_other_calls_and_other_cases_keep_their_places() -> None:
    queued = [step(1), None, step(1, case="d"), step(2), None]
    first, second, third, fourth = coalesce(queued)
    assert isinstance(first, Group)
    assert isinstance(third, Group)
    assert (first.places, second, third.places, fourth) == ((0, 3), 1, (2,), 4)


def test_the_later_append_has_the_last_word() -> None:
    item = InboxItem(C, "s", "arrived", b"")
    earlier = msgspec.structs.replace(step(1), waits=(evidence("a"),), consumed=("m1",), opens=(opening(key_of("d")),))
    later = msgspec.structs.replace(step(2), status=CaseStatus.PARKED, consumed=("m2",), sends=(item,), release=True)
    both = joined(earlier, msgspec.structs.replace(later, inbox_seen=7))
    assert (both.status, both.waits, both.consumed) == (CaseStatus.PARKED, (evidence("a"),), ("m1", "m2"))
    assert (both.opens, both.sends, both.release, both.inbox_seen) == (earlier.opens, (item,), True, 7)
    assert joined(earlier, msgspec.structs.replace(later, waits=())).waits == ()


def test_a_chapter_or_a_migration_of_the_earlier_append_is_kept() -> None:
    later = step(2)
    earlier = msgspec.structs.replace(step(1), chapter=1, pinned=("2", "hash"))
    assert (joined(earlier, later).chapter, joined(earlier, later).pinned) == (1, ("2", "hash"))
    newer = msgspec.structs.replace(later, chapter=2, pinned=("3", "other"))
    assert (joined(earlier, newer).chapter, joined(earlier, newer).pinned) == (2, ("3", "other"))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (step(1), step(3)),
        (step(1), step(1)),
        (step(1), step(2, epoch=2)),
        (step(1), step(2, case="d")),
        (msgspec.structs.replace(step(1), release=True), step(2)),
        (msgspec.structs.replace(step(1), status=CaseStatus.CLOSED), step(2)),
        (
            msgspec.structs.replace(step(1), sends=(InboxItem(key_of("d"), "s", "arrived", b""),)),
            msgspec.structs.replace(step(2), opens=(opening(key_of("d"), at=NOW),)),
        ),
        (
            msgspec.structs.replace(step(1), consumed=("decided:r",)),
            msgspec.structs.replace(step(2), reviews_withdrawn=("r",)),
        ),
    ],
)
def test_appends_that_do_not_follow_stay_apart(earlier: Append, later: Append) -> None:
    assert not follows(earlier, later)
    assert [group.places for group in coalesce([earlier, later]) if isinstance(group, Group)] == [(0,), (1,)]


@given(st.lists(st.one_of(st.none(), st.tuples(st.sampled_from("abc"), st.integers(1, 6), st.integers(1, 2)))))
def test_every_call_has_one_place_and_cases_keep_their_order(queue: list[tuple[str, int, int] | None]) -> None:
    queued = [None if call is None else step(call[1], call[2], case=call[0]) for call in queue]
    steps = coalesce(queued)
    places = [place for step in steps for place in (step.places if isinstance(step, Group) else (step,))]
    assert sorted(places) == list(range(len(queued)))
    for case in "abc":
        order = [place for place in places if (append := queued[place]) and append.key == key_of(case)]
        assert order == sorted(order)
