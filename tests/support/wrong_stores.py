"""Stores that break one promise each, made of the store in memory: what the suite for stores must notice.

Only tests reach these: each patches the store while a test lasts. Beside it stands the case of the suite that notices.
It does not know how a case is run.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from casework.runtime.store import rules
from casework.runtime.store.base import (
    Append,
    Appended,
    AppendResult,
    CaseExists,
    CaseKey,
    CaseStatus,
    Conflict,
    DecideResult,
    Duplicate,
    Fenced,
    InboxItem,
    Opening,
    OpenResult,
    Wait,
    WaitKind,
)
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.memory_archive import MemoryCase
from casework.runtime.store.taking import Delivery

Patch = pytest.MonkeyPatch

REFUSED = "test_a_refused_append_changes_nothing"


class Wrong(NamedTuple):
    """A store that is wrong, and the case of the suite by which it fails, with the parameters of that case."""

    make: Callable[[Patch], None]
    case: str
    parameters: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "-".join((self.make.__name__, *self.parameters))


def _given(patch: Patch, otherwise: Callable[[MemoryStore, Append], Append]) -> None:
    """Have a store carry out something else than the append that it was given."""
    append = MemoryStore.append

    async def other(self: MemoryStore, asked: Append) -> AppendResult:
        return await append(self, otherwise(self, asked))

    patch.setattr(MemoryStore, "append", other)


def _then(patch: Patch, after: Callable[[MemoryStore, MemoryCase, Append], object], *, refused: bool) -> None:
    """Have a store do something more after it refused an append, or after it carried one out."""
    append = MemoryStore.append

    async def more(self: MemoryStore, asked: Append) -> AppendResult:
        answer = await append(self, asked)
        if isinstance(answer, Fenced | Conflict if refused else Appended) and asked.key in self._cases:
            after(self, self._cases[asked.key], asked)
        return answer

    patch.setattr(MemoryStore, "append", more)


def _timeless(waits: Sequence[Wait]) -> tuple[Wait, ...]:
    return tuple(wait for wait in waits if wait.kind is not WaitKind.TIMER)


# What is refused.


def a_refused_append_sends_its_messages(patch: Patch) -> None:
    _then(patch, lambda store, case, append: [store._put(item) for item in append.sends], refused=True)


def a_refused_append_opens_its_cases(patch: Patch) -> None:
    _then(patch, lambda store, case, append: [store._open(opening) for opening in append.opens], refused=True)


def a_refused_append_changes_reviews(patch: Patch) -> None:
    _then(patch, lambda store, case, append: store._change_reviews(case, append), refused=True)


def a_refused_append_changes_waits(patch: Patch) -> None:
    def wait(store: MemoryStore, case: MemoryCase, append: Append) -> None:
        case.row = replace(case.row, waits=append.waits or ())

    _then(patch, wait, refused=True)


def a_refused_append_consumes_messages(patch: Patch) -> None:
    _then(patch, lambda store, case, append: [case.unread.pop(id_, None) for id_ in append.consumed], refused=True)


def a_refused_append_settles(patch: Patch) -> None:
    _then(patch, lambda store, case, append: store._settle(append.settles, append.epoch), refused=True)


def a_refused_append_takes_the_ids_that_it_sends(patch: Patch) -> None:
    def take(store: MemoryStore, case: MemoryCase, append: Append) -> None:
        for item in append.sends:
            store._cases[item.key].had.setdefault(item.id, "")

    _then(patch, take, refused=True)


def nobody_looks_under_which_epoch_a_case_is_released(patch: Patch) -> None:
    def current(store: MemoryStore, append: Append) -> Append:
        row = store._cases[append.key].row
        return append if append.records or not row.node else replace(append, epoch=row.epoch)

    _given(patch, current)


def nobody_looks_where_a_case_is_released(patch: Patch) -> None:
    def current(store: MemoryStore, append: Append) -> Append:
        return append if append.records else replace(append, next_seq=store._cases[append.key].row.next_seq)

    _given(patch, current)


def a_case_that_nobody_holds_is_appended_to(patch: Patch) -> None:
    refusal = rules.append_refusal
    patch.setattr(rules, "append_refusal", lambda append, **there: refusal(append, **{**there, "node": "somebody"}))


def who_is_fenced_and_behind_hears_that_it_is_behind(patch: Patch) -> None:
    def refusal(append: Append, *, epoch: int, next_seq: int, node: str) -> Fenced | Conflict | None:
        if append.next_seq != next_seq:
            return Conflict(next_seq)
        return Fenced(epoch) if append.epoch != epoch or not node else None

    patch.setattr(rules, "append_refusal", refusal)


# What goes out.


def what_was_sent_and_consumed_is_taken_again(patch: Patch) -> None:
    put = MemoryStore._put

    def again(self: MemoryStore, item: InboxItem, *, target: str = "") -> bool:
        case = self._cases.get(item.key)
        if case is not None and not target and item.id not in case.unread:
            case.had.pop(item.id, None)
        return put(self, item, target=target)

    patch.setattr(MemoryStore, "_put", again)


def what_a_case_sends_as_it_closes_is_lost(patch: Patch) -> None:
    def silent(store: MemoryStore, append: Append) -> Append:
        return replace(append, sends=()) if append.status is CaseStatus.CLOSED else append

    _given(patch, silent)


def what_a_case_opens_as_it_closes_is_lost(patch: Patch) -> None:
    def barren(store: MemoryStore, append: Append) -> Append:
        return replace(append, opens=()) if append.status is CaseStatus.CLOSED else append

    _given(patch, barren)


def what_a_case_sends_to_itself_is_lost(patch: Patch) -> None:
    def elsewhere(store: MemoryStore, append: Append) -> Append:
        return replace(append, sends=tuple(item for item in append.sends if item.key != append.key))

    _given(patch, elsewhere)


def where_one_case_is_there_the_new_ones_are_dropped(patch: Patch) -> None:
    def half(store: MemoryStore, append: Append) -> Append:
        there = tuple(opening for opening in append.opens if opening.key in store._cases)
        return replace(append, opens=there or append.opens)

    _given(patch, half)


def what_a_case_opens_is_held_by_its_node(patch: Patch) -> None:
    def inherit(store: MemoryStore, append: Append) -> Append:
        node = store._cases[append.key].row.node
        return replace(append, opens=tuple(replace(opening, node=node) for opening in append.opens))

    _given(patch, inherit)


# The log, claims and timers.


def a_case_that_is_opened_again_is_taken(patch: Patch) -> None:
    open_case = MemoryStore.open_case

    async def taking(self: MemoryStore, opening: Opening) -> OpenResult:
        answer = await open_case(self, opening)
        case = self._cases[opening.key]
        if isinstance(answer, CaseExists) and not case.row.node:
            case.row = replace(case.row, node=opening.node)
        return answer

    patch.setattr(MemoryStore, "open_case", taking)


def of_many_records_only_the_first_are_kept(patch: Patch) -> None:
    log = MemoryStore._log

    def some(self: MemoryStore, case: MemoryCase, append: Append) -> None:
        log(self, case, replace(append, records=append.records[:50]))

    patch.setattr(MemoryStore, "_log", some)


def a_node_does_not_hold_what_is_parked(patch: Patch) -> None:
    held = MemoryStore.held

    async def open_ones(self: MemoryStore, node: str) -> Sequence[CaseKey]:
        return [key for key in await held(self, node) if self._cases[key].row.status is CaseStatus.OPEN]

    patch.setattr(MemoryStore, "held", open_ones)


def a_timer_wakes_no_case_with_items_that_it_saw(patch: Patch) -> None:
    claimable = MemoryStore._claimable

    def untouched(self: MemoryStore, node: str, limit: int, now: int) -> list[MemoryCase]:
        return [
            case
            for case in claimable(self, node, limit, now)
            if not any(item.position <= case.seen for item in case.unread.values())
        ]

    patch.setattr(MemoryStore, "_claimable", untouched)


def who_reads_a_message_loses_its_timers(patch: Patch) -> None:
    def stop(store: MemoryStore, case: MemoryCase, append: Append) -> None:
        if append.consumed and append.waits is None:
            case.row = replace(case.row, waits=_timeless(case.row.waits))

    _then(patch, stop, refused=False)


# The inbox and reviews.


def what_changes_nothing_is_announced(patch: Patch) -> None:
    deliver = MemoryStore._deliver

    def loud(self: MemoryStore, delivery: Delivery, kind: str) -> Any:
        answer = deliver(self, delivery, kind)
        if isinstance(answer, Duplicate):
            self._announce(answer.keys)
        return answer

    patch.setattr(MemoryStore, "_deliver", loud)


def what_one_case_consumed_is_gone_everywhere(patch: Patch) -> None:
    def consume(store: MemoryStore, case: MemoryCase, append: Append) -> None:
        for other in store._cases.values():
            for item_id in append.consumed:
                other.unread.pop(item_id, None)

    _then(patch, consume, refused=False)


def a_review_opens_again(patch: Patch) -> None:
    change = MemoryStore._change_reviews

    def afresh(self: MemoryStore, case: MemoryCase, append: Append) -> None:
        for review in append.reviews_opened:
            self._reviews.pop(review.id, None)
        change(self, case, append)

    patch.setattr(MemoryStore, "_change_reviews", afresh)


def a_decision_that_was_consumed_comes_again(patch: Patch) -> None:
    decide = MemoryStore.decide

    async def again(self: MemoryStore, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        review = self._reviews[review_id]
        item = InboxItem(review.key, rules.decision_item_id(review_id), rules.DECIDED, frame)
        if review.decision == frame and item.id not in self._cases[review.key].unread:
            self._cases[review.key].had.pop(item.id)
            self._put(item)
        return await decide(self, review_id, proposal_hash, frame, now)

    patch.setattr(MemoryStore, "decide", again)


def nobody_looks_which_proposal_was_seen(patch: Patch) -> None:
    settled = rules.settled_decision

    def unseen(review: Any, decision: Any, *, proposal_hash: str, **facts: Any) -> Any:
        return settled(review, decision, proposal_hash=decision.proposal_hash, **facts)

    patch.setattr(rules, "settled_decision", unseen)


def an_id_that_no_store_keeps_is_taken(patch: Patch) -> None:
    kind = rules.arrival_kind
    patch.setattr(rules, "arrival_kind", lambda item_id, frame: kind("m1", frame))


def a_target_is_read_up_to_its_nul(patch: Patch) -> None:
    receivers = MemoryStore._receivers
    patch.setattr(MemoryStore, "_receivers", lambda self, *of: receivers(self, of[0], of[1].partition("\0")[0]))


def long_keys_are_cut(patch: Patch) -> None:
    receivers = MemoryStore._receivers

    def cut(self: MemoryStore, tenant: str, target: str) -> list[MemoryCase]:
        keys = {wait.key for case in self._cases.values() for wait in case.row.waits if wait.key[:255] == target[:255]}
        return [case for key in sorted(keys) for case in receivers(self, tenant, key)]

    patch.setattr(MemoryStore, "_receivers", cut)


def long_message_ids_are_cut(patch: Patch) -> None:
    put = MemoryStore._put

    def cut(self: MemoryStore, item: InboxItem, *, target: str = "") -> bool:
        return put(self, replace(item, id=item.id[:255]), target=target)

    patch.setattr(MemoryStore, "_put", cut)


WRONG = (
    *(
        Wrong(make, REFUSED, (why, shape))
        for make in (
            a_refused_append_sends_its_messages,
            a_refused_append_opens_its_cases,
            a_refused_append_changes_reviews,
            a_refused_append_changes_waits,
            a_refused_append_consumes_messages,
            a_refused_append_settles,
            a_refused_append_takes_the_ids_that_it_sends,
        )
        for why in ("fenced", "conflict")
        for shape in ("all that parks", "all without records")
    ),
    Wrong(nobody_looks_under_which_epoch_a_case_is_released, REFUSED, ("fenced", "release alone")),
    Wrong(nobody_looks_where_a_case_is_released, REFUSED, ("conflict", "release alone")),
    Wrong(a_case_that_nobody_holds_is_appended_to, REFUSED, ("held by nobody", "records alone")),
    Wrong(who_is_fenced_and_behind_hears_that_it_is_behind, REFUSED, ("both", "records alone")),
    Wrong(what_was_sent_and_consumed_is_taken_again, "test_a_message_that_was_sent_and_consumed_does_not_come_again"),
    Wrong(what_a_case_sends_as_it_closes_is_lost, "test_what_a_case_sends_and_opens_as_it_closes_is_there"),
    Wrong(what_a_case_opens_as_it_closes_is_lost, "test_what_a_case_sends_and_opens_as_it_closes_is_there"),
    Wrong(what_a_case_sends_to_itself_is_lost, "test_what_a_case_sends_to_itself_arrives"),
    Wrong(
        where_one_case_is_there_the_new_ones_are_dropped,
        "test_of_the_cases_that_an_append_opens_only_those_that_are_there_are_dropped",
    ),
    Wrong(what_a_case_opens_is_held_by_its_node, "test_a_case_opened_by_an_append_is_free_though_its_opener_is_held"),
    Wrong(a_case_that_is_opened_again_is_taken, "test_a_free_case_is_not_taken_by_who_opens_it_again"),
    Wrong(of_many_records_only_the_first_are_kept, "test_many_records_of_one_append_are_all_kept"),
    Wrong(a_node_does_not_hold_what_is_parked, "test_a_node_also_holds_a_parked_case_that_it_claimed"),
    Wrong(
        a_timer_wakes_no_case_with_items_that_it_saw, "test_a_due_timer_wakes_a_case_with_items_that_it_saw_and_left"
    ),
    Wrong(
        who_reads_a_message_loses_its_timers,
        "test_a_timer_still_wakes_a_case_that_read_a_message_before_it_was_due",
    ),
    Wrong(
        what_one_case_consumed_is_gone_everywhere,
        "test_a_message_that_one_case_consumed_stays_with_the_others_that_have_it",
    ),
    Wrong(
        what_changes_nothing_is_announced,
        "test_a_delivery_that_changes_nothing_takes_nothing_and_is_announced_to_nobody",
    ),
    Wrong(a_review_opens_again, "test_a_review_that_ended_does_not_open_again", ("decided",)),
    Wrong(a_review_opens_again, "test_a_review_that_ended_does_not_open_again", ("withdrawn",)),
    Wrong(
        a_decision_that_was_consumed_comes_again,
        "test_the_same_decision_again_after_it_was_consumed_is_not_heard_again",
    ),
    Wrong(nobody_looks_which_proposal_was_seen, "test_a_decision_that_cannot_stand_says_why"),
    *(
        Wrong(an_id_that_no_store_keeps_is_taken, "test_a_message_id_that_no_store_can_keep_is_refused", (unfit,))
        for unfit in ("nothing", "undecodable bytes", "a NUL", "too long")
    ),
    Wrong(a_target_is_read_up_to_its_nul, "test_a_target_as_which_no_store_can_keep_anything_is_nobody", ("a NUL",)),
    Wrong(long_keys_are_cut, "test_the_longest_keys_are_told_apart_by_their_last_letter"),
    Wrong(long_message_ids_are_cut, "test_the_longest_message_ids_are_told_apart_by_their_last_letter"),
)
