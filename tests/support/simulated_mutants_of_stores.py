"""Safeguards of the stores and of the way to them, each with a way to take it away: what a simulation must notice.

They are told of, beside the others, in the table of `simulated_mutants`.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from casework.protocols.records import Decided
from casework.runtime.simulation.disk import DiskView
from casework.runtime.store import memory, rules
from casework.runtime.store.base import Append, Appended, AppendResult, CaseKey, CaseStatus, Delivered, InboxItem

Patch = pytest.MonkeyPatch


def nothing_is_fenced(patch: Patch) -> None:
    patch.setattr(rules, "append_refusal", lambda append, **there: None)


def a_claim_raises_no_epoch(patch: Patch) -> None:
    claim = memory.MemoryStore.claim

    async def same(self: Any, node: str, **terms: Any) -> Any:
        given = await claim(self, node, **terms)
        for claimed in given.cases:
            case = self._cases[claimed.row.key]
            case.row = replace(case.row, epoch=max(1, case.row.epoch - 1))
        return replace(given, cases=[replace(each, row=self._cases[each.row.key].row) for each in given.cases])

    patch.setattr(memory.MemoryStore, "claim", same)


def leases_of_others_count_for_nothing(patch: Patch) -> None:
    claimable = memory.MemoryStore._claimable

    def everything(self: Any, node: str, limit: int, now: int) -> Any:
        nodes, self._nodes = self._nodes, type(self._nodes)()
        try:
            return claimable(self, node, limit, now)
        finally:
            self._nodes = nodes

    patch.setattr(memory.MemoryStore, "_claimable", everything)


def messages_come_again(patch: Patch) -> None:
    def put(self: Any, item: InboxItem, *, target: str = "") -> bool:
        case = self._cases.get(item.key)
        if case is None or case.row.status is CaseStatus.CLOSED:
            return False
        self._position += 1
        case.unread[f"{item.id}/{self._position}"] = replace(item, position=self._position)
        case.had[item.id] = target
        return True

    patch.setattr(memory.MemoryStore, "_put", put)


def what_is_read_is_taken_out_at_once(patch: Patch) -> None:
    async def inbox(self: Any, key: CaseKey) -> Sequence[InboxItem]:
        case = self._cases[key]
        items = list(case.unread.values())
        case.unread.clear()
        return items

    def claimed(case: Any) -> Any:
        given = hand_out(case)
        case.unread.clear()
        return given

    hand_out = memory._claimed
    patch.setattr(memory.MemoryStore, "inbox", inbox)
    patch.setattr(memory, "_claimed", claimed)


def a_sender_is_told_before_it_is_stored(patch: Patch) -> None:
    deliver = DiskView.deliver

    async def early(self: Any, tenant: str, target: str, item_id: str, frame: bytes) -> Any:
        self._process.spawn(deliver(self, tenant, target, item_id, frame), "deliver later")
        return Delivered((CaseKey(tenant, target),))

    patch.setattr(DiskView, "deliver", early)


def what_goes_out_is_a_second_transaction(patch: Patch) -> None:
    append = DiskView.append

    async def twice(self: Any, whole: Append) -> AppendResult:
        given = await append(self, replace(whole, sends=(), opens=()))
        if isinstance(given, Appended) and (whole.sends or whole.opens):
            inner = self._disk.inner

            async def rest() -> None:
                inner._announce([each.key for each in whole.opens if inner._open(each)])
                inner._announce([each.key for each in whole.sends if inner._put(each)])

            await self._do("outbox", rest)
        return given

    patch.setattr(DiskView, "append", twice)


def two_decisions_both_count(patch: Patch) -> None:
    settled = rules.settled_decision

    def any_time(review: Any, decision: Decided, **facts: Any) -> Any:
        if review is not None and review.state == rules.DECIDED:
            review = replace(review, state=rules.OPEN)
        return settled(review, decision, **facts)

    patch.setattr(rules, "settled_decision", any_time)
