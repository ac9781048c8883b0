"""Compaction: chapters that no replay reads any more leave the store for a file, and their chain still verifies.

Of a case that called `next_chapter`, everything before the chapter in which it is now is written to a file first: an
export of the case as it stands, named by its content's hash and on the disk before anything else happens. Then the
frames of these records are dropped from the store, all but the first, which says what the case is; the hash of each
stays. Killed in between, the file is there and nothing was dropped: doing it again is harmless.

The account of the act is a closed case of the same tenant, `compaction/<day>-<id>`: who did it, and for each case the
place, the hash there and the file. It does not know how a store drops anything, nor whether a case is at work.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from casework.protocols.codec import pack
from casework.protocols.records import Noted
from casework.runtime.errors import ArchiveMissing, CaseThere, ExportInvalid, StoreUnavailable
from casework.runtime.export import export_case
from casework.runtime.retention import ACCOUNTS, NAMED_MAX, Told, told_case
from casework.runtime.store.archive import ArchiveReader, ChapterArchive, Cut, Retained, Transfer
from casework.runtime.store.base import CaseExists, CaseKey, CaseRow, Store, StoreReader
from casework.runtime.store.crosscheck import difference
from casework.runtime.verifier import findings, load

#: The flow that accounts name; no crew has one of that name that could run them.
FLOW: Final = "compaction"


class Earlier(Struct, frozen=True):
    """Chapters of a case that are over and still have their contents."""

    row: CaseRow
    frames: int
    """Records that have them, but the first."""
    size: int
    """Bytes of these."""
    reached: bytes
    """Hash of the last of these records."""


class Filed(Struct, frozen=True):
    """Chapters that are in a file."""

    earlier: Earlier
    sha256: str
    """Hash of the file, which is its name."""


async def earlier_chapters(reader: StoreReader, tenant: str, before: int) -> list[Earlier]:
    """Give what is over of cases whose chapter of now began before a moment.

    Raises:
        StoreUnavailable, StoreInvalid: the store cannot be read.
    """
    found: list[Earlier] = []
    for row in await reader.cases(tenant):
        if row.chapter < 1 or row.flow in ACCOUNTS:
            continue
        records = await reader.records(row.key)
        frames = [record.frame for record in records[1 : row.chapter] if record.frame]
        # A row that names a place where nothing stands is not as it was written: that is for its file to find.
        if frames and all(record.at < before for record in records[row.chapter : row.chapter + 1]):
            reached = records[min(row.chapter, len(records)) - 1].hash
            found.append(Earlier(row, len(frames), sum(map(len, frames)), reached))
    return found


async def chapter_file(reader: StoreReader, url: str, earlier: Earlier) -> tuple[Filed, bytes]:
    """Give the file into which the chapters of a case go: an export of all that the case is now.

    Raises:
        ExportInvalid: something of the case is not as it was written, and must stay to be looked at.
        StoreUnavailable, StoreInvalid, ArchiveMissing: the case cannot be read.
    """
    text = await export_case(reader, url, earlier.row.key, with_artifacts=False)
    wrong = tuple(map(str, findings(load(text)))) or await _beside(reader, earlier.row.key)
    if wrong:
        raise ExportInvalid(wrong)
    return Filed(earlier, hashlib.sha256(text).hexdigest()), text


async def _beside(reader: StoreReader, key: CaseKey) -> tuple[str, ...]:
    """Give what the row says otherwise than the log, such as the chapter by which is cut: no file can tell that."""
    transfer = await reader.transfer(key) if isinstance(reader, ArchiveReader) else None
    other = difference(transfer) if transfer else None
    return (f"case {key.case_id}: record {other[0]}: {other[1]}",) if other else ()


def keep_file(folder: Path, sha256: str, text: bytes) -> Path:
    """Write a file under its hash, durable; again is harmless. Raises OSError."""
    path, making = folder / f"{sha256}.json", folder / f"{sha256}.new"
    try:
        with making.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    except OSError as error:
        # A full disk is told without saying which.
        error.filename = error.filename or str(path)
        with suppress(OSError):
            making.unlink()
        raise
    directory = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path


async def drop_chapters(store: Store, filed: Sequence[Filed], account: Transfer) -> int:
    """Drop from the store what is in files; give how many frames that were.

    Raises:
        ArchiveMissing: the store cannot do it.
        CaseThere: the account is there already; nothing was dropped.
        StoreUnavailable: nothing was dropped, or it is not known; doing it again is harmless.

    If cancelled, it may be done or not, the account with it.
    """
    if not isinstance(store, ChapterArchive):
        raise ArchiveMissing(store.url)
    match await store.trim([Cut(each.earlier.row.key, each.earlier.row.chapter) for each in filed], account):
        case Retained(frames=frames):
            return frames
        case CaseExists(row=row):
            raise CaseThere(row.key.case_id)
        case result:
            raise StoreUnavailable(store.url, getattr(result, "why", "a case to be compacted is no longer there"))


def account_of(filed: Sequence[Filed], *, by: str, now: int, name: str) -> Transfer:
    """Make the account of a compaction: a closed case that names every case, place, hash and file."""
    assert filed, "there is something to account for"
    notes: list[Noted] = []
    for start in range(0, len(filed), NAMED_MAX):
        part = filed[start : start + NAMED_MAX]
        named = [_named(each) for each in part]
        frames = sum(each.earlier.frames for each in part)
        text = f"{by} put earlier chapters of {len(part)} cases into files, {frames} records; their hashes are kept"
        notes.append(Noted(text=text, data=pack(named)))
    told = Told(FLOW, filed[0].earlier.row, "compaction of earlier chapters", {"by": by})
    return told_case(told, notes, {"cases": len(filed)}, now=now, name=name)


def _named(filed: Filed) -> dict[str, object]:
    earlier = filed.earlier
    return {
        "case": earlier.row.key.case_id,
        "below": earlier.row.chapter,
        "records": earlier.frames,
        "hash": earlier.reached.hex(),
        "file": filed.sha256,
    }
