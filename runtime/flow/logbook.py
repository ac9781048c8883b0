"""The case's own end of its log: records that wait to become durable, and what goes out with them.

A record gets its place in the log the moment it is written here; from then on its result may be used inside the
case. It leaves with the next append, one at a time per case, so that everything written in between travels
together. `durable` says how far the store has confirmed; whatever must not happen before its record is durable
waits for that number. It does not know what the records mean.
"""

from collections.abc import Callable
from typing import Final

from casework.protocols.codec import encode, kind_of
from casework.protocols.records import Entry
from casework.runtime.store.accounts import Settlement
from casework.runtime.store.base import (
    Append,
    CaseRow,
    CaseStatus,
    InboxItem,
    Opening,
    Record,
    ReviewRow,
    Wait,
)

#: Kinds of records that a crash takes back without harm: what they tell is found out, drawn or worked out again.
REPEATABLE: Final = frozenset({"call", "task", "completed", "drawn", "noted", "decision", "won"})


class Logbook:
    """Unwritten records of one incarnation of a case."""

    def __init__(self, row: CaseRow, now: Callable[[], int]) -> None:
        self._row = row
        self._now = now
        self._records: list[Record] = []
        self._repeats = True
        self._consumed: list[str] = []
        self._sends: list[InboxItem] = []
        self._opens: list[Opening] = []
        self._opened: list[ReviewRow] = []
        self._withdrawn: list[str] = []
        self._settled: list[Settlement] = []
        self._chapter: int | None = None
        self._pinned: tuple[str, str] | None = None
        self.written = row.next_seq  #: sequence number of the next record
        self.durable = row.next_seq  #: records below this number are in the store
        self.status = row.status  #: as last appended
        self.waits = row.waits  #: as last appended

    @property
    def empty(self) -> bool:
        """Tell whether nothing waits to be appended."""
        return not (self._records or self._consumed or self._sends)

    @property
    def repeatable(self) -> int:
        """Count the unwritten records, if nothing else goes out with them and a crash only repeats them; else 0."""
        if self._consumed or self._sends or self._opens or self._opened or self._withdrawn or self._settled:
            return 0
        return len(self._records) if self._repeats and self._chapter is None and self._pinned is None else 0

    def holds(self, records: int) -> bool:
        """Tell whether the case has just so many records, all of them durable."""
        return self.empty and self.written == self.durable == records

    def write(self, step_id: str, entry: Entry, frame: bytes = b"") -> Record:
        """Give an entry its place in the log; `frame` holds its bytes if it was encoded before."""
        kind = kind_of(entry)
        self._repeats = self._repeats and kind in REPEATABLE
        record = Record(self.written, self._row.epoch, kind, step_id, self._now(), frame or encode(entry))
        self.written += 1
        self._records.append(record)
        return record

    def consume(self, item_id: str) -> None:
        """Take an inbox item out with the next append."""
        self._consumed.append(item_id)

    def send(self, item: InboxItem) -> None:
        """Put an item into another case's inbox with the next append."""
        self._sends.append(item)

    def open(self, opening: Opening) -> None:
        """Open another case with the next append."""
        self._opens.append(opening)

    def review(self, review: ReviewRow) -> None:
        """Open a review with the next append."""
        self._opened.append(review)

    def withdraw(self, review_id: str) -> None:
        """Withdraw a review with the next append."""
        self._withdrawn.append(review_id)

    def settle(self, settlement: Settlement) -> None:
        """Say with the next append what a call did cost for which something was drawn."""
        self._settled.append(settlement)

    def begin_chapter(self, seq: int) -> None:
        """Have replay begin at a record from the next append on."""
        self._chapter = seq

    def pin(self, version: str, source_hash: str) -> None:
        """Pin the case to another version of its flow with the next append."""
        self._pinned = version, source_hash

    def take(self, status: CaseStatus, waits: tuple[Wait, ...], *, result: str = "") -> Append:
        """Hand over everything unwritten as one append; the caller appends it before it takes again."""
        append = Append(
            key=self._row.key,
            epoch=self._row.epoch,
            next_seq=self.durable,
            records=tuple(self._records),
            status=status,
            result=result,
            waits=waits,
            chapter=self._chapter,
            pinned=self._pinned,
            consumed=tuple(self._consumed),
            sends=tuple(self._sends),
            opens=tuple(self._opens),
            reviews_opened=tuple(self._opened),
            reviews_withdrawn=tuple(self._withdrawn),
            settles=tuple(self._settled) if self._settled else (),
            release=status is CaseStatus.CLOSED,
        )
        if self._settled:
            self._settled = []
        for held in (self._records, self._consumed, self._sends, self._opens, self._opened, self._withdrawn):
            held.clear()
        self._repeats = True
        self.status, self.waits = status, waits
        self._chapter, self._pinned = None, None
        return append

    def confirm(self, append: Append) -> None:
        """Hear that an append is durable."""
        self.durable = append.next_seq + len(append.records)

    def release(self, inbox_seen: int) -> Append:
        """Make the append that gives a parked case back."""
        assert self.empty, "a case is released when everything it wrote is durable"
        return Append(
            key=self._row.key,
            epoch=self._row.epoch,
            next_seq=self.durable,
            records=(),
            status=self.status,
            release=True,
            inbox_seen=inbox_seen,
        )
