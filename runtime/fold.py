"""What a log says of its case: the columns of the case's row and the rows of its reviews, as a pure fold.

The row that a store keeps is a read model: everything here can be thrown away and made again from the records. What
only a replay can tell (the waits of a case that has not ended) or only the store knows (node, epoch of an owner that
wrote nothing yet) is not here. Records whose frames were dropped tell what their columns tell.
It does not know where a log is kept.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Chapter, Closed, Decided, Entry, Migrated, Opened, Review, Withdrawn
from casework.runtime.store.base import CaseKey, CaseStatus, Record, ReviewRow
from casework.runtime.store.chain import GENESIS
from casework.runtime.store.rules import DECIDED, OPEN, WITHDRAWN

#: Columns of a row that are, at any time, what the log says.
COLUMNS: Final = (
    "next_seq", "head", "flow", "version", "source_hash", "crew", "parent", "opened_at", "result", "chapter",
)  # fmt: skip
#: Columns that the first record says, and that of each chapter again.
_OPENED: Final = ("flow", "version", "source_hash", "crew", "parent")


class Fold(Struct, frozen=True):
    """What records say of their case."""

    next_seq: int
    head: bytes
    opened_at: int
    changed_at: int
    """Moment of the last record; a claim since then changes the row's, not the log."""
    epoch_min: int
    """Epoch of the last record; claims since then raise the row's, not the log."""
    closed: bool
    flow: str = ""
    version: str = ""
    source_hash: str = ""
    crew: str = ""
    parent: str = ""
    result: str = ""
    chapter: int = 0
    reviews: tuple[ReviewRow, ...] = ()
    """Oldest first; `opened_at` is the moment of the record, which that of an older store may follow a little."""

    @property
    def status(self) -> CaseStatus | None:
        """CLOSED, or None: whether a case works or waits, only a replay tells."""
        return CaseStatus.CLOSED if self.closed else None


def fold(key: CaseKey, records: Sequence[Record]) -> Fold:
    """Fold a whole log, in order, from its first record on."""
    assert records, "a case has a first record"
    last = records[-1]
    folded = Fold(
        next_seq=len(records),
        head=last.hash or GENESIS,
        opened_at=records[0].at,
        changed_at=last.at,
        epoch_min=last.epoch,
        closed=last.kind == "closed",
        chapter=max((record.seq for record in records if record.kind == "chapter"), default=0),
    )
    reviews: dict[str, ReviewRow] = {}
    for record in records:
        entry = entry_of(record)
        if isinstance(entry, Opened | Chapter):
            said = {name: getattr(entry, name) for name in _OPENED}
            folded = msgspec.structs.replace(folded, **said)
        elif isinstance(entry, Migrated):
            folded = msgspec.structs.replace(folded, version=entry.version, source_hash=entry.source_hash)
        elif isinstance(entry, Closed):
            folded = msgspec.structs.replace(folded, result=entry.result.value)
        else:
            _review(reviews, key, record, entry)
    return msgspec.structs.replace(folded, reviews=tuple(reviews.values()))


def decided(review: ReviewRow, frame: bytes) -> ReviewRow:
    """Give a review with the decision that a `Decided` frame holds, if it is still open."""
    return msgspec.structs.replace(review, state=DECIDED, decision=frame) if review.state == OPEN else review


def _review(reviews: dict[str, ReviewRow], key: CaseKey, record: Record, entry: Entry | None) -> None:
    match entry:
        case Review(id=review_id):
            reviews[review_id] = ReviewRow(
                id=review_id,
                key=key,
                step_id=record.step_id,
                title=entry.title,
                state=OPEN,
                opened_at=record.at,
                expires=entry.expires,
                proposal_hash=entry.proposal_hash,
                frame=record.frame,
            )
        case Decided(review_id=review_id) if review_id in reviews:
            reviews[review_id] = decided(reviews[review_id], record.frame)
        case Withdrawn(review_id=review_id) if review_id in reviews:
            reviews[review_id] = msgspec.structs.replace(reviews[review_id], state=WITHDRAWN)
        case _:
            return


def entry_of(record: Record) -> Entry | None:
    """Decode a record; one that was dropped, or that this version does not know, tells nothing here."""
    return entry_of_frame(record.frame)


def entry_of_frame(frame: bytes) -> Entry | None:
    """Decode a frame, likewise."""
    try:
        return decode_entry(frame) if frame else None
    except ProtocolError:
        return None
