"""The store in memory: the reference implementation, and the disk of a simulation.

Each call is a synchronous core behind one checkpoint, so it is atomic by construction and a cancelled call did
nothing. What it holds outlives `aclose`, so a second runtime can go on over the same object.
It does not know what a record means.
"""

from collections.abc import Callable, Sequence
from typing import final

import anyio.lowlevel
import msgspec

from casework.runtime.store import rules
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseExists,
    CaseKey,
    CaseOpened,
    CaseRow,
    CaseStatus,
    DecideResult,
    DecisionTaken,
    Delivered,
    DeliverResult,
    Duplicate,
    Fenced,
    InboxItem,
    Nobody,
    Opening,
    OpenResult,
    Record,
    ReviewRow,
    WaitKind,
)
from casework.runtime.store.chain import chained
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.memory_accounts import MemoryAccounts
from casework.runtime.store.memory_archive import MemoryArchive, MemoryCase
from casework.runtime.store.memory_nodes import MemoryNodes
from casework.runtime.store.taking import Delivery
from casework.runtime.store.waiting import FIRST, Place, place_of


@final
class MemoryStore(MemoryArchive, MemoryAccounts):
    """A `Store` that keeps everything in this process."""

    def __init__(self) -> None:
        super().__init__()
        self._artifacts: dict[str, bytes] = {}
        self._settings: dict[str, str] = {}
        self._nodes = MemoryNodes()

    @property
    def url(self) -> str:
        """Name the store."""
        return "memory:"

    def on_arrival(self, heard: Callable[[Sequence[CaseKey]], None]) -> None:
        """Call `heard` after each commit that gave cases an item or opened them."""
        self._heard = heard

    async def aclose(self) -> None:
        """Let go of the listener; what is stored stays."""
        self._heard = None

    # What anybody may read.

    async def case(self, key: CaseKey) -> CaseRow | None:
        """Give one case with its waits."""
        await anyio.lowlevel.checkpoint()
        found = self._cases.get(key)
        return found.row if found else None

    async def cases(
        self, tenant: str | None = None, *, status: CaseStatus | None = None, parent: str | None = None
    ) -> Sequence[CaseRow]:
        """Give cases with their waits, ordered by tenant and case id."""
        await anyio.lowlevel.checkpoint()
        rows = (self._cases[key].row for key in sorted(self._cases))
        return [
            row
            for row in rows
            if tenant in {None, row.key.tenant} and status in {None, row.status} and parent in {None, row.parent}
        ]

    async def awaiting(
        self, keys: Sequence[str], *, after: Place = FIRST, limit: int | None = None
    ) -> Sequence[CaseRow]:
        """Give the cases that wait for one of these keys, who changed longest ago first."""
        rows = [row for row in await self.cases() if any(wait.key in keys for wait in row.waits)]
        return [row for row in sorted(rows, key=place_of) if place_of(row) > after][:limit]

    async def records(self, key: CaseKey, from_seq: int = 0) -> Sequence[Record]:
        """Give a case's log from `from_seq` on, in order."""
        await anyio.lowlevel.checkpoint()
        found = self._cases.get(key)
        return found.records[max(0, from_seq) :] if found else []

    async def reviews(self, *, state: str | None = None) -> Sequence[ReviewRow]:
        """Give reviews, oldest first."""
        await anyio.lowlevel.checkpoint()
        chosen = [review for review in self._reviews.values() if state in {None, review.state}]
        return sorted(chosen, key=lambda review: (review.opened_at, review.id))

    async def review(self, review_id: str) -> ReviewRow | None:
        """Give one review."""
        await anyio.lowlevel.checkpoint()
        return self._reviews.get(review_id)

    async def artifact(self, sha256: str) -> bytes | None:
        """Give the bytes stored under their content hash."""
        await anyio.lowlevel.checkpoint()
        return self._artifacts.get(sha256)

    async def setting(self, name: str) -> str | None:
        """Give a remembered setting of this store."""
        await anyio.lowlevel.checkpoint()
        return self._settings.get(name)

    async def inbox(self, key: CaseKey) -> Sequence[InboxItem]:
        """Give what waits for a case, in order of insertion."""
        await anyio.lowlevel.checkpoint()
        found = self._cases.get(key)
        return list(found.unread.values()) if found else []

    async def held(self, node: str) -> Sequence[CaseKey]:
        """Give the cases that a node holds."""
        await anyio.lowlevel.checkpoint()
        return [key for key, case in self._cases.items() if case.row.node == node]

    # What somebody who does not own the case may write.

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Put a frame into the inbox of case `target`, or of every case that waits for key `target`.

        Raises:
            FrameInvalid: the frame is no `arrived` and no `cancel`.
        """
        kind = rules.arrival_kind(item_id, frame)
        await anyio.lowlevel.checkpoint()
        result = self._deliver(Delivery(tenant, target, item_id, frame), kind)
        self._announce(result.keys if isinstance(result, Delivered) else ())
        return result

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide an open review by compare-and-set.

        Raises:
            FrameInvalid: the frame is no `decided` frame for this review.
        """
        decision = rules.decision_of(review_id, frame)
        await anyio.lowlevel.checkpoint()
        review = self._reviews.get(review_id)
        closed = review is not None and self._cases[review.key].row.status is CaseStatus.CLOSED
        settled = rules.settled_decision(review, decision, proposal_hash=proposal_hash, now=now, closed=closed)
        if settled is not None:
            return settled
        assert review is not None, "an absent review is settled"
        taken = msgspec.structs.replace(review, state=rules.DECIDED, decision=frame)
        self._reviews[review_id] = taken
        self._put(InboxItem(review.key, rules.decision_item_id(review_id), rules.DECIDED, frame))
        self._announce([review.key])
        return DecisionTaken(taken)

    async def put_artifact(self, sha256: str, data: bytes) -> None:
        """Keep bytes under their content hash; again is harmless."""
        rules.assert_content(sha256, data)
        await anyio.lowlevel.checkpoint()
        self._artifacts.setdefault(sha256, data)

    # What the owner may do.

    async def open_case(self, opening: Opening) -> OpenResult:
        """Open a case."""
        rules.assert_opening(opening)
        await anyio.lowlevel.checkpoint()
        there = self._cases.get(opening.key)
        if there is not None:
            return CaseExists(there.row)
        self._open(opening)
        if not opening.node:
            self._announce([opening.key])
        return CaseOpened(opening.key)

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> DeliverResult:
        """Deliver, and take the case that it wakes for a node.

        Raises:
            FrameInvalid: the frame is no `arrived` and no `cancel`.
        """
        assert node, "a node has a name"
        kind = rules.arrival_kind(delivery.item_id, delivery.frame)
        await anyio.lowlevel.checkpoint()
        result = self._deliver(delivery, kind)
        keys = result.keys if isinstance(result, Delivered) else ()
        case = self._cases[keys[0]] if len(keys) == 1 else None
        if case is None or not self._takes(case, node, now):
            self._announce(keys)
        else:
            self._take(case, node, now)
            taken(_claimed(case))
        return result

    def _takes(self, case: MemoryCase, node: str, now: int) -> bool:
        """Say whether a node may have the one case that a delivery wakes."""
        held = (each.row for each in self._cases.values() if each.row.node == node)
        alone = any(rules.watched(row, now, rules.ALONE_MICROS) for row in held)
        return not (case.row.claims or alone) and self._nodes.free_for(node, now)(case.row) and _wanted(case, now)

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        """Take up to `limit` cases for a node, each with epoch + 1, oldest first, with what they need to begin."""
        assert node, "a node has a name"
        await anyio.lowlevel.checkpoint()
        self._nodes.bury(now)
        free = self._claimable(node, limit, now)
        chosen = free[: rules.fitting([sum(len(record.frame) for record in case.replayed) for case in free])]
        for case in chosen:
            self._take(case, node, now)
        alone = any(rules.watched(case.row, now, rules.ALONE_MICROS) for case in chosen)
        more = bool(chosen) and not alone and (len(free) == limit or len(chosen) < len(free))
        return Claims([_claimed(case) for case in chosen], more, None if more else self._next_due(node, now))

    def _claimable(self, node: str, limit: int, now: int) -> list[MemoryCase]:
        may_take = self._nodes.free_for(node, now)
        free = [case for case in self._cases.values() if may_take(case.row) and _wanted(case, now)]
        free.sort(key=lambda case: (case.row.opened_at, case.number))
        held = [case.row for case in self._cases.values() if case.row.node == node]
        if any(rules.watched(row, now, rules.ALONE_MICROS) for row in held):
            return []
        watching = any(rules.watched(row, now, rules.SUSPECT_MICROS) for row in held)
        suspects = [] if watching else [case for case in free if rules.suspected(case.row)][: min(limit, 1)]
        doubts = rules.DOUBTED_MAX - sum(rules.doubted(row, now) for row in held)
        doubted = [case for case in free if 0 < case.row.claims < rules.SUSPECT_CLAIMS][max(doubts, 0) :]
        return suspects or [case for case in free if not rules.suspected(case.row) and case not in doubted][:limit]

    def _next_due(self, node: str, now: int) -> int | None:
        may_take = self._nodes.free_for(node, now)
        dues = [
            wait.due
            for case in self._cases.values()
            if case.row.status is CaseStatus.PARKED and may_take(case.row)
            for wait in case.row.waits
            if wait.kind is WaitKind.TIMER
        ]
        return min(dues, default=None)

    async def reclaim(self, node: str, key: CaseKey) -> Claimed | None:
        """Take a case again that this node holds but has lost track of, with epoch + 1; None if it holds it not."""
        assert node, "a node has a name"
        await anyio.lowlevel.checkpoint()
        case = self._cases.get(key)
        if case is None or case.row.node != node:
            return None
        case.row = msgspec.structs.replace(case.row, epoch=case.row.epoch + 1)
        return _claimed(case)

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        """Say that a node lives until then."""
        await anyio.lowlevel.checkpoint()
        self._nodes.renew(node, until, carries)
        if until == 0:
            for case in self._cases.values():
                if case.row.node == node:
                    case.row = msgspec.structs.replace(case.row, claims=0)

    async def append(self, append: Append) -> AppendResult:
        """Append to one case; if cancelled, nothing happened."""
        rules.assert_append(append)
        await anyio.lowlevel.checkpoint()
        case = self._cases.get(append.key)
        if case is None:
            return Fenced(0)
        row = case.row
        refusal = rules.append_refusal(append, epoch=row.epoch, next_seq=row.next_seq, node=row.node)
        if refusal is not None:
            return refusal
        self._log(case, append)
        self._change_reviews(case, append)
        for item_id in append.consumed:
            case.unread.pop(item_id, None)
        self._settle(append.settles, append.epoch)
        arrived = [opening.key for opening in append.opens if self._open(opening)]
        refused = [rules.refused(each, self._cases[each.key].row.parent) for each in append.opens]
        back = [item.otherwise for item in append.sends if self._open_case(item.key) is None]
        arrived += [item.key for item in (*append.sends, *refused, *back) if item is not None and self._put(item)]
        self._announce(arrived)
        rests = append.release and case.row.status is CaseStatus.PARKED and not _wanted(case, 0)
        return rules.appended(append, case.row.head, rests=rests)

    async def remember(self, name: str, value: str) -> None:
        """Set a setting of this store."""
        await anyio.lowlevel.checkpoint()
        self._settings[name] = value

    async def extend(self, name: str, text: str) -> None:
        """Add to the end of a setting."""
        await anyio.lowlevel.checkpoint()
        self._settings[name] = self._settings.get(name, "") + text

    # The synchronous core.

    def _log(self, case: MemoryCase, append: Append) -> None:
        row = case.row
        head = row.head
        for record in append.records:
            head = chained(head, row.key, record)
            case.records.append(msgspec.structs.replace(record, hash=head))
        ended = append.status is CaseStatus.CLOSED
        waits = row.waits if append.waits is None else append.waits
        version, source_hash = append.pinned or (row.version, row.source_hash)
        case.row = msgspec.structs.replace(
            row,
            next_seq=row.next_seq + len(append.records),
            node="" if append.release or ended else row.node,
            status=append.status,
            result=append.result,
            head=head,
            changed_at=append.records[-1].at if append.records else row.changed_at,
            waits=() if ended else waits,
            claims=0 if append.records or append.release else row.claims,
            chapter=row.chapter if append.chapter is None else append.chapter,
            version=version,
            source_hash=source_hash,
        )
        if append.release:
            case.seen = append.inbox_seen

    def _change_reviews(self, case: MemoryCase, append: Append) -> None:
        for review in append.reviews_opened:
            self._reviews.setdefault(review.id, review)
        for review_id in append.reviews_withdrawn:
            asked = self._reviews.get(review_id)
            if asked is None or asked.key != append.key:
                continue
            # A decision that the case has not consumed comes too late.
            if asked.state == rules.OPEN or rules.decision_item_id(review_id) in case.unread:
                self._reviews[review_id] = msgspec.structs.replace(asked, state=rules.WITHDRAWN)

    def _open(self, opening: Opening) -> bool:
        if opening.key in self._cases:
            return False
        row = rules.opened_row(opening)
        self._cases[opening.key] = MemoryCase(
            len(self._cases), row, [msgspec.structs.replace(opening.record, hash=row.head)]
        )
        return True

    def _open_case(self, key: CaseKey) -> MemoryCase | None:
        case = self._cases.get(key)
        return None if case is None or case.row.status is CaseStatus.CLOSED else case

    def _put(self, item: InboxItem, *, target: str = "") -> bool:
        case = self._open_case(item.key)
        if case is None or item.id in case.had:
            return False
        self._position += 1
        case.unread[item.id] = msgspec.structs.replace(item, position=self._position, otherwise=None)
        case.had[item.id] = target
        return True

    def _deliver(self, delivery: Delivery, kind: str) -> Delivered | Duplicate | Nobody:
        tenant, target, item_id = delivery.tenant, delivery.target, delivery.item_id
        receivers = self._receivers(tenant, target)
        fresh = [
            case.row.key
            for case in receivers
            if self._put(InboxItem(case.row.key, item_id, kind, delivery.frame), target=target)
        ]
        if fresh:
            return Delivered(tuple(fresh))
        had = receivers or [
            case for case in self._cases.values() if case.row.key.tenant == tenant and case.had.get(item_id) == target
        ]
        return Duplicate(tuple(case.row.key for case in had)) if had else Nobody(target)

    def _take(self, case: MemoryCase, node: str, now: int) -> None:
        row = case.row
        case.row = msgspec.structs.replace(row, epoch=row.epoch + 1, node=node, changed_at=now, claims=row.claims + 1)

    def _receivers(self, tenant: str, target: str) -> list[MemoryCase]:
        if (named := self._open_case(CaseKey(tenant, target))) is not None:
            return [named]
        ours = (case for case in self._cases.values() if case.row.key.tenant == tenant)
        return [case for case in ours if any(wait.key == target for wait in case.row.waits)]


def _claimed(case: MemoryCase) -> Claimed:
    return Claimed(case.row, case.replayed, list(case.unread.values()))


def _wanted(case: MemoryCase, now: int) -> bool:
    if case.row.status is not CaseStatus.PARKED:
        return case.row.status is CaseStatus.OPEN
    unread = any(item.position > case.seen for item in case.unread.values())
    return unread or rules.timer_due(case.row, now)
