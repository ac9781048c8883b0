"""Verifies the hash chains of a whole store, one case at a time, and that no case is missing that another one opened.

Of each case the row, the reviews and the unread messages are held against its log as well (`crosscheck`), and every
delivered file that they name must be there. The ledgers of accounts come after the cases: each must be what was
written, and come to what its account says; then what the store itself finds beside the logs. A reader may look while
the owner writes, so a case whose row moved while its log was read is read again. Only one case's log is held at a time.
It does not know how a store keeps what it gives.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Child, Closed, Entry
from casework.runtime import ledger
from casework.runtime.errors import StoreInvalid
from casework.runtime.store.archive import ArchiveReader, Transfer
from casework.runtime.store.base import CaseKey, Record, StoreReader
from casework.runtime.store.chain import broken_at
from casework.runtime.store.crosscheck import difference
from casework.runtime.store.evidence import files_named
from casework.runtime.store.inspection import Inspected

#: How often a case that is being written is read again before the part that it had at first is taken.
READS_MAX: Final = 5
#: Gives a case, and whether with all that is kept beside its log.
Read: TypeAlias = Callable[[CaseKey], Awaitable[tuple[Transfer, bool] | None]]
#: Whose findings are not about a case.
NOBODY: Final = CaseKey("", "")


class Finding(Struct, frozen=True):
    """The first place where a case's log, or an account's ledger, is not what was written."""

    key: CaseKey
    seq: int
    why: str
    account: str = ""
    """The account, where it is not about a case; `key` is of nobody then, as where it is about the store itself."""


class Verified(NamedTuple):
    """What was found of one case, and what of its log others must bear out; none of that where the log is not whole."""

    finding: Finding | None
    children: tuple[tuple[int, CaseKey], ...] = ()
    """The cases that it opened, with the records that say so."""
    files: Mapping[str, int] = {}
    """The delivered files that it names, with the records that do."""


async def verify(reader: StoreReader, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Verify every case; `progress` hears (cases done, cases in all) after each.

    Raises:
        StoreUnavailable, StoreInvalid: the store cannot be read at all.
    """
    keys = [row.key for row in await reader.cases()]
    known = set(keys)
    read = partial(_transferred, reader) if isinstance(reader, ArchiveReader) else partial(_read, reader)
    findings: list[Finding] = []
    for done, key in enumerate(keys, start=1):
        found = await _verify(read, key)
        if found.finding is not None:
            findings.append(found.finding)
        for seq, child in found.children:
            if child not in known and await reader.case(child) is None:
                findings.append(Finding(key, seq, f"it opened case {child.case_id}, which is not there"))
        if found.files and isinstance(reader, Inspected):
            findings += await _missing(reader, key, found.files)
        if progress is not None:
            progress(done, len(keys))
    findings += [finding for finding in await _verify_accounts(reader) if finding is not None]
    return findings + (await _inspect(reader) if isinstance(reader, Inspected) else [])


async def _missing(reader: Inspected, key: CaseKey, files: Mapping[str, int]) -> list[Finding]:
    try:
        gone = await reader.missing(tuple(files))
    except StoreInvalid as error:
        return [Finding(key, 0, f"the files delivered to it cannot be looked for: {error.why}")]
    return [Finding(key, files[name], f"it names delivered file {name}, which is not in the store") for name in gone]


async def _inspect(reader: Inspected) -> list[Finding]:
    try:
        found = await reader.inspect()
    except StoreInvalid as error:
        return [Finding(NOBODY, 0, f"it cannot be looked through: {error.why}")]
    return [Finding(oddity.key or NOBODY, 0, oddity.why) for oddity in found]


async def _verify_accounts(reader: StoreReader) -> list[Finding | None]:
    try:
        names = [account.name for account in await reader.accounts()]
    except StoreInvalid as error:
        return [Finding(NOBODY, 0, f"accounts cannot be read: {error.why}", "*")]
    return [await _verify_account(reader, name) for name in names]


async def _verify_account(reader: StoreReader, name: str) -> Finding | None:
    try:
        account = await reader.account(name)
        if account is None:
            return Finding(NOBODY, 0, "its row is not found under its own name", name)
        for _ in range(READS_MAX):
            if account is None:
                break
            entries = await reader.ledger(name)
            again = await reader.account(name)
            if again == account:
                broken = ledger.broken_at(account, entries)
                return None if broken is None else Finding(NOBODY, *broken, name)
            account = again
    except StoreInvalid as error:
        return Finding(NOBODY, 0, f"it cannot be read: {error.why}", name)
    return None


async def _verify(read: Read, key: CaseKey) -> Verified:
    """Verify one case."""
    try:
        found = await read(key)
    except StoreInvalid as error:
        return Verified(Finding(key, 0, f"it cannot be read: {error.why}"))
    if found is None:
        return Verified(Finding(key, 0, "its row is not found under its own name"))
    transfer, whole = found
    row, records = transfer.row, transfer.records
    if not row.head:
        # It stands in place of one that cannot be read, and says so.
        return Verified(Finding(key, 0, row.waits[0].reason if row.waits else "its row cannot be read"))
    broken = broken_at(row, records)
    if broken is not None:
        return Verified(Finding(key, *broken))
    for seq, entry in [(record.seq, _entry(record)) for record in records if record.kind == "closed"]:
        if isinstance(entry, Closed) and row.result != entry.result:
            why = f"it closed as {entry.result}, but the case says {row.result or 'nothing'}"
            return Verified(Finding(key, seq, why))
    other = difference(transfer) if whole else None
    return Verified(None if other is None else Finding(key, *other), tuple(children(transfer)), files_named(transfer))


def children(transfer: Transfer) -> Iterator[tuple[int, CaseKey]]:
    """Give the cases that a case opened, with the records that say so."""
    for record in transfer.records:
        entry = _entry(record) if record.kind == "child" else None
        if isinstance(entry, Child):
            yield record.seq, transfer.row.key._replace(case_id=entry.case_id)


def _entry(record: Record) -> Entry | None:
    """Decode a record whose chain holds; one of a newer version tells nothing here."""
    try:
        return decode_entry(record.frame)
    except ProtocolError:
        return None


async def _transferred(reader: ArchiveReader, key: CaseKey) -> tuple[Transfer, bool] | None:
    transfer = await reader.transfer(key)
    return None if transfer is None else (transfer, True)


async def _read(reader: StoreReader, key: CaseKey) -> tuple[Transfer, bool] | None:
    """Read a case, as far as a store gives it that keeps no archive; False where it is not all at one moment."""
    row = await reader.case(key)
    reads = 0
    while row is not None:
        records = await reader.records(key)
        again = await reader.case(key)
        reads += 1
        if again == row:
            return Transfer(row, tuple(records)), False
        if reads == READS_MAX:
            return Transfer(row, tuple(records[: row.next_seq])), False
        row = again
    return None
