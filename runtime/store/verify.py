"""Verifies the hash chains of a whole store, one case at a time, and that no case is missing that another one opened.

The ledgers of accounts come after the cases: each must be what was written, and come to what its account says. A
reader may look while the owner writes, so a case whose row moved while its log was read is read again. Only one case's
log is held at a time. It does not know how a store keeps what it gives.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Child, Closed, Entry
from casework.runtime import ledger
from casework.runtime.errors import StoreInvalid
from casework.runtime.store.base import CaseKey, CaseRow, Record, StoreReader
from casework.runtime.store.chain import broken_at

#: How often a case that is being written is read again before the part that it had at first is taken.
READS_MAX: Final = 5
#: Whose findings are not about a case.
NOBODY: Final = CaseKey("", "")


class Finding(Struct, frozen=True):
    """The first place where a case's log, or an account's ledger, is not what was written."""

    key: CaseKey
    seq: int
    why: str
    account: str = ""
    """The account, where it is not about a case; `key` is of nobody then."""


async def verify(reader: StoreReader, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Verify every case; `progress` hears (cases done, cases in all) after each.

    Raises:
        StoreUnavailable, StoreInvalid: the store cannot be read at all.
    """
    keys = [row.key for row in await reader.cases()]
    known = set(keys)
    findings: list[Finding] = []
    for done, key in enumerate(keys, start=1):
        finding, children = await _verify(reader, key)
        if finding is not None:
            findings.append(finding)
        for seq, child in children:
            if child not in known and await reader.case(child) is None:
                findings.append(Finding(key, seq, f"it opened case {child.case_id}, which is not there"))
        if progress is not None:
            progress(done, len(keys))
    return findings + [finding for finding in await _verify_accounts(reader) if finding is not None]


async def _verify_accounts(reader: StoreReader) -> list[Finding | None]:
    try:
        names = [account.name for account in await reader.accounts()]
    except StoreInvalid as error:
        return [Finding(NOBODY, 0, f"accounts cannot be read: {error.why}", "*")]
    return [await _verify_account(reader, name) for name in names]


async def _verify_account(reader: StoreReader, name: str) -> Finding | None:
    try:
        account = await reader.account(name)
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


async def _verify(reader: StoreReader, key: CaseKey) -> tuple[Finding | None, list[tuple[int, CaseKey]]]:
    """Verify one case, and name the cases that it opened with the records that say so."""
    try:
        found = await _read(reader, key)
    except StoreInvalid as error:
        return Finding(key, 0, f"it cannot be read: {error.why}"), []
    if found is None:
        return None, []
    row, records = found
    broken = broken_at(row, records)
    if broken is not None:
        return Finding(key, *broken), []
    entries = [(record.seq, _entry(record)) for record in records if record.kind in ("child", "closed")]
    for seq, entry in entries:
        if isinstance(entry, Closed) and row.result != entry.result:
            return Finding(key, seq, f"it closed as {entry.result}, but the case says {row.result or 'nothing'}"), []
    children = [(seq, key._replace(case_id=entry.case_id)) for seq, entry in entries if isinstance(entry, Child)]
    return None, children


def _entry(record: Record) -> Entry | None:
    """Decode a record whose chain holds; one of a newer version tells nothing here."""
    try:
        return decode_entry(record.frame)
    except ProtocolError:
        return None


async def _read(reader: StoreReader, key: CaseKey) -> tuple[CaseRow, Sequence[Record]] | None:
    row = await reader.case(key)
    reads = 0
    while row is not None:
        records = await reader.records(key)
        again = await reader.case(key)
        reads += 1
        if again == row:
            return row, records
        if reads == READS_MAX:
            return row, records[: row.next_seq]
        row = again
    return None
