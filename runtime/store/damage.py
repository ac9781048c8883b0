"""What of a claimed case is not as it was written, before anything of it is replayed: its log, and its row beside it.

A claim gives the log from its chapter on, so whatever that says is held against the row: were a case replayed under
another flow, told to another parent or owned under an epoch that others have had, its log would say so too late.
It does not know who claims, nor what becomes of a case that must not go on.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Chapter, Entry, Migrated, Opened
from casework.runtime.store.base import CaseRow, Record
from casework.runtime.store.chain import broken_at
from casework.runtime.store.claims import Claimed

#: Columns that the first record of a case says, and that of each chapter again.
_SAID: Final = ("flow", "crew", "parent")
#: Those that a later record may have changed.
_PINNED: Final = ("version", "source_hash")


def damage(claimed: Claimed) -> str:
    """Say why a case must not be replayed; nothing where all that is kept of it is what was written."""
    if claimed.broken:
        return claimed.broken
    row, records = claimed.row, claimed.records
    broken = broken_at(row, records, from_seq=row.chapter)
    if broken is not None:
        return f"its log is not what was written: record {broken[0]}: {broken[1]}"
    return next(_differences(row, records), "")


def _differences(row: CaseRow, records: Sequence[Record]) -> Iterator[str]:
    kinds = [record.kind for record in records]
    if kinds[0] != ("chapter" if row.chapter else "opened") or "chapter" in kinds[1:]:
        yield _other("chapter")
    if kinds[-1] == "closed":
        yield f"its log says that it ended, but its row says {row.status}"
    if row.epoch <= records[-1].epoch:
        yield f"its row says that it was owned {row.epoch} times by now, its log {records[-1].epoch} times before"
    if row.result:
        yield _other("result")
    if not row.chapter and row.opened_at != records[0].at:
        yield _other("opened_at")
    first = _entry(records[0])
    if isinstance(first, Opened | Chapter):
        moves = [record for record in records if record.kind == "migrated"]
        pinned = _entry(moves[-1]) if moves else first
        yield from (_other(name) for name in _SAID if getattr(row, name) != getattr(first, name))
        if isinstance(pinned, Opened | Chapter | Migrated):
            yield from (_other(name) for name in _PINNED if getattr(row, name) != getattr(pinned, name))


def _other(column: str) -> str:
    return f"its row says another {column} than its log"


def _entry(record: Record) -> Entry | None:
    """Decode a record; of one that this version does not know the replay tells."""
    try:
        return decode_entry(record.frame)
    except ProtocolError:
        return None
