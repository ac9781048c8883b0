"""Retention: what old closed cases contained is dropped, their chains still verify, and the act is a case of its own.

A case goes with its whole family: while a case above it has not ended, or ended later, it is kept. The account of the
act is a closed case of the same tenant, `retention/<day>-<id>`, so a reviewer finds in its log who dropped what, with
the head of every case as it was and still is. Artifacts are kept, for other cases may name them.
It does not know how a store drops anything, nor who decides what is old.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from casework.protocols.codec import decode_entry, encode, kind_of, pack
from casework.protocols.records import CaseResult, Closed, Entry, Noted, Opened
from casework.runtime.errors import ArchiveMissing, CaseThere, ContentsDropped, StoreUnavailable
from casework.runtime.seams import MICROS
from casework.runtime.store.archive import Archive, Retained, Transfer
from casework.runtime.store.base import CaseExists, CaseKey, CaseRow, CaseStatus, Record, Store, StoreReader
from casework.runtime.store.chain import GENESIS, chained

#: The flow that accounts name; no crew has one of that name that could run them.
FLOW: Final = "retention"
#: Flows of accounts, which are never dropped.
ACCOUNTS: Final = frozenset({FLOW, "compaction"})
#: Cases that one note of an account names, so that it stays within a frame.
NAMED_MAX: Final = 500


class Old(Struct, frozen=True):
    """A case whose contents are to be dropped."""

    row: CaseRow
    frames: int
    """Records that still have their contents."""
    size: int
    """Bytes of these."""


async def old_cases(reader: StoreReader, tenant: str, before: int) -> list[Old]:
    """Give the cases that ended before a moment, with their whole family, and still have contents.

    Raises:
        StoreUnavailable, StoreInvalid: the store cannot be read.
    """
    rows = {row.key.case_id: row for row in await reader.cases(tenant)}
    found: list[Old] = []
    for row in rows.values():
        if row.flow in ACCOUNTS or not _ended(row, rows, before):
            continue
        frames = [record.frame for record in await reader.records(row.key) if record.frame]
        if frames:
            found.append(Old(row, len(frames), sum(map(len, frames))))
    return found


async def drop_contents(store: Store, old: Sequence[Old], account: Transfer) -> int:
    """Drop what these cases contained, for good; give how many frames that were.

    Raises:
        ArchiveMissing: the store cannot do it.
        CaseThere: the account is there already; nothing was dropped.
        StoreUnavailable: nothing was dropped, or it is not known; doing it again is harmless.

    If cancelled, it may be done or not, the account with it.
    """
    if not isinstance(store, Archive):
        raise ArchiveMissing(store.url)
    match await store.retain([each.row.key for each in old], account):
        case Retained(frames=frames):
            return frames
        case CaseExists(row=row):
            raise CaseThere(row.key.case_id)
        case result:
            why = getattr(result, "why", "a case to be dropped is no longer there, or has not ended")
            raise StoreUnavailable(store.url, why)


def ended_with(row: CaseRow, last: Record) -> Closed:
    """Read the last record of a closed case.

    Raises:
        ContentsDropped: there is nothing left to read.
    """
    if not last.frame:
        raise ContentsDropped(row.key.case_id, row.result)
    entry = decode_entry(last.frame)
    assert isinstance(entry, Closed), "the last record of a closed case says how it ended"
    return entry


def account_of(old: Sequence[Old], *, before: int, by: str, now: int, name: str) -> Transfer:
    """Make the account of a retention: a closed case that names every case and its head; `name` makes it unique."""
    assert old, "there is something to account for"
    named = Told(FLOW, old[0].row, "retention of closed cases", {"before": before, "by": by})
    return told_case(named, _notes(old, by), {"cases": len(old)}, now=now, name=name)


class Told(Struct, frozen=True):
    """What an account says of itself."""

    flow: str
    like: CaseRow
    """A case of the tenant and crew that it is about."""
    purpose: str
    inputs: Mapping[str, object]


def told_case(told: Told, notes: Sequence[Noted], value: Mapping[str, object], *, now: int, name: str) -> Transfer:
    """Make a closed case `<flow>/<day>-<name>` that says what was done to others: opened, notes, closed."""
    day = dt.datetime.fromtimestamp(now / MICROS, dt.UTC).strftime("%Y-%m-%d")
    key = CaseKey(told.like.key.tenant, f"{told.flow}/{day}-{name}")
    opened = Opened(
        flow=told.flow,
        version="1",
        source_hash="",
        crew=told.like.crew,
        inputs=pack(told.inputs),
        purpose=told.purpose,
    )
    entries: list[Entry] = [opened, *notes]
    entries.append(Closed(result=CaseResult.COMPLETED, value=pack(value)))
    records: list[Record] = []
    head = GENESIS
    for seq, entry in enumerate(entries):
        step_id = f"note#{seq}" if isinstance(entry, Noted) else "case"
        record = Record(seq, min(seq, 1), kind_of(entry), step_id, now, encode(entry))
        head = chained(head, key, record)
        records.append(msgspec.structs.replace(record, hash=head))
    row = CaseRow(
        key=key,
        epoch=1,
        next_seq=len(records),
        node="",
        status=CaseStatus.CLOSED,
        result=CaseResult.COMPLETED.value,
        flow=told.flow,
        version=opened.version,
        source_hash=opened.source_hash,
        crew=opened.crew,
        parent="",
        head=head,
        opened_at=now,
        changed_at=now,
    )
    return Transfer(row, tuple(records))


def _notes(old: Sequence[Old], by: str) -> list[Noted]:
    notes: list[Noted] = []
    for start in range(0, len(old), NAMED_MAX):
        part = old[start : start + NAMED_MAX]
        named = [{"case": each.row.key.case_id, "records": each.frames, "head": each.row.head.hex()} for each in part]
        frames = sum(each.frames for each in part)
        text = f"{by} dropped the contents of {len(part)} closed cases, {frames} records; their hashes are kept"
        notes.append(Noted(text=text, data=pack(named)))
    return notes


def _ended(row: CaseRow, rows: Mapping[str, CaseRow], before: int) -> bool:
    """Say whether a case and all above it ended before a moment."""
    seen: set[str] = set()
    above: CaseRow | None = row
    while above is not None and above.key.case_id not in seen:
        if above.status is not CaseStatus.CLOSED or above.changed_at >= before:
            return False
        seen.add(above.key.case_id)
        above = rows.get(above.parent)
    return True
