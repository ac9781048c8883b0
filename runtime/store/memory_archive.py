"""Whole cases into and out of the store in memory, and retention.

It holds the cases and the reviews, for these calls are about all of them at once; each call is a synchronous core
behind one checkpoint. It does not know how a case goes on.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import anyio.lowlevel
import msgspec

from casework.runtime.store.archive import (
    BringInResult,
    BroughtIn,
    Cut,
    InboxEntry,
    NotClosed,
    Retained,
    RetainResult,
    StillRead,
    Transfer,
    TrimResult,
    assert_transfer,
    trimmed,
    without_frame,
)
from casework.runtime.store.base import CaseExists, CaseKey, CaseRow, CaseStatus, InboxItem, Record, ReviewRow


@dataclass(slots=True, eq=False)
class MemoryCase:
    """One case, as the store in memory has it."""

    number: int
    row: CaseRow
    records: list[Record]
    seen: int = 0
    unread: dict[str, InboxItem] = field(default_factory=dict[str, InboxItem])
    # Every id that ever came, with the target it was addressed to: kept for the life of the case.
    had: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def replayed(self) -> list[Record]:
        """Give its records from the one on with which its replay begins."""
        return self.records[self.row.chapter :]


class MemoryArchive:
    """The part of the store in memory that deals with whole cases."""

    def __init__(self) -> None:
        super().__init__()
        self._cases: dict[CaseKey, MemoryCase] = {}
        self._reviews: dict[str, ReviewRow] = {}
        self._position = 0
        self._heard: Callable[[Sequence[CaseKey]], None] | None = None

    async def transfer(self, key: CaseKey) -> Transfer | None:
        """Give all of one case."""
        await anyio.lowlevel.checkpoint()
        case = self._cases.get(key)
        if case is None:
            return None
        inbox = tuple(_entry(case, item_id, target) for item_id, target in case.had.items())
        reviews = [review for review in self._reviews.values() if review.key == key]
        reviews.sort(key=lambda review: (review.opened_at, review.id))
        return Transfer(case.row, tuple(case.records), inbox, tuple(reviews))

    async def bring_in(self, transfers: Sequence[Transfer]) -> BringInResult:
        """Take in whole cases, all or none."""
        for transfer in transfers:
            assert_transfer(transfer)
        await anyio.lowlevel.checkpoint()
        there = next((self._cases[each.row.key].row for each in transfers if each.row.key in self._cases), None)
        if there is not None:
            return CaseExists(there)
        for transfer in transfers:
            self._insert(transfer)
        self._announce(each.row.key for each in transfers if each.row.status is not CaseStatus.CLOSED)
        return BroughtIn(tuple(transfer.row.key for transfer in transfers))

    async def retain(self, keys: Sequence[CaseKey], account: Transfer) -> RetainResult:
        """Drop what closed cases contained, and bring in the account of it."""
        assert_transfer(account)
        await anyio.lowlevel.checkpoint()
        cases = {key: self._cases[key] for key in keys if key in self._cases}
        ongoing = [key for key in keys if key not in cases or cases[key].row.status is not CaseStatus.CLOSED]
        if ongoing:
            return NotClosed(tuple(ongoing))
        there = self._cases.get(account.row.key)
        if there is not None:
            return CaseExists(there.row)
        frames = sum(bool(record.frame) for case in cases.values() for record in case.records)
        for case in cases.values():
            case.records = [without_frame(record) for record in case.records]
            case.unread.clear()
        for review in [review for review in self._reviews.values() if review.key in cases]:
            del self._reviews[review.id]
        self._insert(account)
        return Retained(frames)

    async def trim(self, cuts: Sequence[Cut], account: Transfer) -> TrimResult:
        """Drop the frames of earlier chapters, and bring in the account of it."""
        assert_transfer(account)
        await anyio.lowlevel.checkpoint()
        chapters = {cut.key: self._cases[cut.key].row.chapter for cut in cuts if cut.key in self._cases}
        refused = tuple(cut.key for cut in cuts if cut.below > chapters.get(cut.key, -1))
        there = self._cases.get(account.row.key)
        if refused or there is not None:
            return StillRead(refused) if refused or there is None else CaseExists(there.row)
        frames = 0
        for cut in cuts:
            case = self._cases[cut.key]
            kept = [trimmed(record, cut.below) for record in case.records]
            frames += sum(before is not after for before, after in zip(case.records, kept, strict=True))
            case.records = kept
        self._insert(account)
        return Retained(frames)

    async def shrink(self) -> None:
        """Do nothing: what was dropped is gone."""
        await anyio.lowlevel.checkpoint()

    def _insert(self, transfer: Transfer) -> None:
        row = msgspec.structs.replace(transfer.row, node="", claims=0)
        case = self._cases[row.key] = MemoryCase(len(self._cases), row, list(transfer.records))
        for entry in transfer.inbox:
            self._position += 1
            case.had[entry.id] = entry.target
            if entry.kind:
                case.unread[entry.id] = InboxItem(row.key, entry.id, entry.kind, entry.frame, self._position)
                case.seen = self._position if entry.seen else case.seen
        for review in transfer.reviews:
            self._reviews.setdefault(review.id, review)

    def _announce(self, keys: Iterable[CaseKey]) -> None:
        unique = tuple(dict.fromkeys(keys))
        if unique and self._heard is not None:
            self._heard(unique)


def _entry(case: MemoryCase, item_id: str, target: str) -> InboxEntry:
    item = case.unread.get(item_id)
    if item is None:
        return InboxEntry(item_id, target)
    return InboxEntry(item_id, target, item.kind, item.frame, seen=item.position <= case.seen)
