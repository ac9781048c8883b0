"""The case's own end of its log: records that wait to become durable, and what goes out with them.

A record gets its place in the log the moment it is written here; from then on its result may be used inside the
case. It leaves with the next append, one at a time per case, so that everything written in between travels
together. `durable` says how far the store has confirmed; whatever must not happen before its record is durable
waits for that number. It does not know what the records mean.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from casework.protocols.codec import encode, kind_of
from casework.protocols.records import Entry
from casework.runtime.seams import Clock
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


class _Beside(Struct, eq=False):
    """What goes out beside records with the next append; of most cases nothing ever does."""

    consumed: list[str] = []
    sends: list[InboxItem] = []
    opens: list[Opening] = []
    opened: list[ReviewRow] = []
    withdrawn: list[str] = []
    settled: list[Settlement] = []
    chapter: int | None = None
    pinned: tuple[str, str] | None = None

    def added(self, append: Append) -> Append:
        """Give an append with all of it."""
        return replace(
            append,
            consumed=tuple(self.consumed),
            sends=tuple(self.sends),
            opens=tuple(self.opens),
            reviews_opened=tuple(self.opened),
            reviews_withdrawn=tuple(self.withdrawn),
            settles=tuple(self.settled),
            chapter=self.chapter,
            pinned=self.pinned,
        )


class Logbook:
    """Unwritten records of one incarnation of a case."""

    def __init__(self, row: CaseRow, clock: Clock) -> None:
        self._row = row
        self._clock = clock
        self._records: list[Record] = []
        self._repeats = True
        self._beside: _Beside | None = None
        self.written = row.next_seq  #: sequence number of the next record
        self.durable = row.next_seq  #: records below this number are in the store
        self.status = row.status  #: as last appended
        self.waits = row.waits  #: as last appended

    @property
    def empty(self) -> bool:
        """Tell whether nothing waits to be appended."""
        beside = self._beside
        return not (self._records or (beside is not None and (beside.consumed or beside.sends)))

    @property
    def repeatable(self) -> int:
        """Count the unwritten records, if nothing else goes out with them and a crash only repeats them; else 0."""
        return len(self._records) if self._repeats and self._beside is None else 0

    def holds(self, records: int) -> bool:
        """Tell whether the case has just so many records, all of them durable."""
        return self.empty and self.written == self.durable == records

    def write(self, step_id: str, entry: Entry, frame: bytes = b"") -> Record:
        """Give an entry its place in the log; `frame` holds its bytes if it was encoded before."""
        kind = kind_of(entry)
        self._repeats = self._repeats and kind in REPEATABLE
        record = Record(self.written, self._row.epoch, kind, step_id, self._clock.wall_micros(), frame or encode(entry))
        self.written += 1
        self._records.append(record)
        return record

    def consume(self, item_id: str) -> None:
        """Take an inbox item out with the next append."""
        self._with.consumed.append(item_id)

    def send(self, item: InboxItem) -> None:
        """Put an item into another case's inbox with the next append."""
        self._with.sends.append(item)

    def open(self, opening: Opening) -> None:
        """Open another case with the next append."""
        self._with.opens.append(opening)

    def review(self, review: ReviewRow) -> None:
        """Open a review with the next append."""
        self._with.opened.append(review)

    def withdraw(self, review_id: str) -> None:
        """Withdraw a review with the next append."""
        self._with.withdrawn.append(review_id)

    def settle(self, settlement: Settlement) -> None:
        """Say with the next append what a call did cost for which something was drawn."""
        self._with.settled.append(settlement)

    def begin_chapter(self, seq: int) -> None:
        """Have replay begin at a record from the next append on."""
        self._with.chapter = seq

    def pin(self, version: str, source_hash: str) -> None:
        """Pin the case to another version of its flow with the next append."""
        self._with.pinned = version, source_hash

    def take(self, status: CaseStatus, waits: tuple[Wait, ...], *, result: str = "") -> Append:
        """Hand over everything unwritten as one append; the caller appends it before it takes again."""
        row, records, release = self._row, tuple(self._records), status is CaseStatus.CLOSED
        append = Append(row.key, row.epoch, self.durable, records, status, result, waits, release=release)
        if self._beside is not None:
            append, self._beside = self._beside.added(append), None
        self._records.clear()
        self._repeats = True
        self.status, self.waits = status, waits
        return append

    @property
    def _with(self) -> _Beside:
        if self._beside is None:
            self._beside = _Beside()
        return self._beside

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
