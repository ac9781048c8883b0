"""What else a store that keeps an archive can do: give and take whole cases, and drop what was in old ones.

A *transfer* is all that a store knows of one case, read in one transaction; taken in by another store, it is the same
case with the same hashes. Retention drops the frames of closed cases for good and keeps the hash of each, so their
chains verify as before; trimming does so with earlier chapters of cases that go on. Each call is one transaction with a
typed result, as in `base`. A store need not have these calls; who wants them asks for `ArchiveReader`, `Archive` or
`ChapterArchive`.
It does not know what a record means, nor how a case looks outside a store.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from casework.protocols.codec import digest
from casework.runtime.store.base import (
    CaseExists,
    CaseKey,
    CaseRow,
    CaseStatus,
    Record,
    ReviewRow,
    Unavailable,
    Unknown,
)
from casework.runtime.store.chain import broken_at


class InboxEntry(Struct, frozen=True):
    """An item that ever came to a case; its id is kept for the life of the case, so that it is taken once."""

    id: str
    target: str
    """What it was addressed to, a case or a key; empty if the store itself or another case sent it."""
    kind: str = ""
    """As in `InboxItem`; empty once it was consumed."""
    frame: bytes = b""
    """As in `InboxItem`; empty once it was consumed."""
    seen: bool = True
    """Whether a case that rests has read it, so that it does not wake for it again; true of what was consumed."""


class Transfer(Struct, frozen=True):
    """All that a store knows of one case at one moment."""

    row: CaseRow
    records: tuple[Record, ...]
    inbox: tuple[InboxEntry, ...] = ()
    """In order of insertion."""
    reviews: tuple[ReviewRow, ...] = ()
    """Oldest first."""


class BroughtIn(Struct, frozen=True):
    """The cases are durable here."""

    keys: tuple[CaseKey, ...]


class Retained(Struct, frozen=True):
    """The frames are gone for good."""

    frames: int
    """How many were dropped; those dropped before are not counted."""


class NotClosed(Struct, frozen=True):
    """These cases are absent or have not ended; nothing changed."""

    keys: tuple[CaseKey, ...]


class Cut(Struct, frozen=True):
    """Which frames of a case go: those of earlier chapters, which no replay reads."""

    key: CaseKey
    below: int
    """Of records with a sequence number below this; the first one, which says what the case is, keeps its frame."""


class StillRead(Struct, frozen=True):
    """These cases are absent, or their replay begins before the place where they were to be cut; nothing changed."""

    keys: tuple[CaseKey, ...]


BringInResult = BroughtIn | CaseExists | Unavailable | Unknown
RetainResult = Retained | NotClosed | CaseExists | Unavailable | Unknown
TrimResult = Retained | StillRead | CaseExists | Unavailable | Unknown


@runtime_checkable
class ArchiveReader(Protocol):
    """What anybody may read."""

    async def transfer(self, key: CaseKey) -> Transfer | None:
        """Give all of one case; raises StoreUnavailable, StoreInvalid."""
        ...


@runtime_checkable
class Archive(ArchiveReader, Protocol):
    """What the owner of the store may do."""

    async def bring_in(self, transfers: Sequence[Transfer]) -> BringInResult:
        """Take in whole cases, all or none; the caller has made sure that their chains verify.

        A case that is there already refuses them all. No node holds a case that was brought in; an open one can be
        claimed at once. Listeners hear of them as of cases that were opened.
        """
        ...

    async def retain(self, keys: Sequence[CaseKey], account: Transfer) -> RetainResult:
        """Drop what these closed cases contained, and bring in the `account` of it, in one transaction.

        Of each record the frame becomes empty and `frame_hash` takes its place; everything else stays. Reviews of the
        cases go, and the frames of what was never read from their inboxes (which counts as consumed then). A case
        that is absent or not closed, or an account that is there already, refuses everything.
        """
        ...


@runtime_checkable
class ChapterArchive(Archive, Protocol):
    """What the owner of the store may do, where it can drop chapters of cases that go on."""

    async def trim(self, cuts: Sequence[Cut], account: Transfer) -> TrimResult:
        """Drop the frames of earlier chapters, and bring in the `account` of it, in one transaction.

        As by `retain`, `frame_hash` takes the place of a frame. Everything else of the cases stays, and they go on,
        at work or not: an append of the moment is neither refused nor changed. A case that is absent, or whose
        replay begins before `below`, or an account that is there already, refuses everything.
        """
        ...

    async def shrink(self) -> None:
        """Give back the space of what was dropped, where the store does that itself; raises StoreUnavailable.

        If cancelled, it goes on to its end.
        """
        ...


def assert_transfer(transfer: Transfer) -> None:
    """Assert that a transfer is what its maker promised: one case, whole, with its chain."""
    row = transfer.row
    assert row.key.tenant, "a case has a tenant"
    assert row.key.case_id, "a case has an id"
    assert broken_at(row, transfer.records) is None, "the chain of a transfer verifies"
    assert all(review.key == row.key for review in transfer.reviews), "reviews of a transfer are its case's"
    assert row.status is not CaseStatus.CLOSED or not row.waits, "a closed case waits for nothing"


def trimmed(record: Record, below: int) -> Record:
    """Give a record as it is after a cut."""
    return without_frame(record) if 0 < record.seq < below else record


def oddly_without(records: Sequence[Record]) -> int | None:
    """Give the first record without a frame, where frames are missing as no command leaves a log; None where none is.

    Retention leaves none of a case that has ended, trimming all before a chapter but the first, as `verifier` has it.
    """
    gone = [record.seq for record in records if not record.frame]
    trimmed_ = gone == [*range(1, len(gone) + 1)] and len(gone) + 1 < len(records)
    if not gone or (trimmed_ and records[len(gone) + 1].kind == "chapter"):
        return None
    return None if len(gone) == len(records) and records[-1].kind == "closed" else gone[0]


def without_frame(record: Record) -> Record:
    """Give a record with its frame dropped; one that has none comes back as it is."""
    if not record.frame:
        return record
    return msgspec.structs.replace(record, frame=b"", frame_hash=digest(record.frame))
