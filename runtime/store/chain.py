"""The hash chain that makes a case's log tamper-evident.

Each record's hash covers the hash before it, the record's own fields and the hash of its frame, so a change, a
deletion or a swap shows at the first record after it; the case's row holds the last hash, so a cut tail shows as
well, unless that row was altered with it. A frame that retention dropped keeps its hash, and the chain still
verifies. Fields are length-prefixed before hashing, for two neighbours must not be able to trade bytes.
It does not know what a frame says.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from casework.protocols.codec import HASH_BYTES, digest
from casework.runtime.store.base import CaseKey, CaseRow, Record

#: What stands before the first record of every case.
GENESIS: Final = bytes(HASH_BYTES)

#: The length of a number, before it.
_EIGHT: Final = (8).to_bytes(4)
#: What hashing raises for a value of another type or range: what is kept in a file can be anything.
_NEVER_WRITTEN: Final = (AttributeError, OverflowError, TypeError, UnicodeEncodeError)


def chained(previous: bytes, key: CaseKey, record: Record) -> bytes:
    """Give the hash of `record` (its own `hash` field is ignored) after `previous`."""
    return _linked(previous, _of_case(key), record)


def _of_case(key: CaseKey) -> bytes:
    tenant, case_id = key.tenant.encode(), key.case_id.encode()
    return b"".join((len(tenant).to_bytes(4), tenant, len(case_id).to_bytes(4), case_id))


def _linked(previous: bytes, of_case: bytes, record: Record) -> bytes:
    kind, step_id = record.kind.encode(), record.step_id.encode()
    frame_hash = record.frame_hash if record.frame_hash and not record.frame else digest(record.frame)
    parts = (
        len(previous).to_bytes(4),
        previous,
        of_case,
        _EIGHT,
        record.seq.to_bytes(8),
        _EIGHT,
        record.epoch.to_bytes(8),
        len(kind).to_bytes(4),
        kind,
        len(step_id).to_bytes(4),
        step_id,
        _EIGHT,
        record.at.to_bytes(8),
        len(frame_hash).to_bytes(4),
        frame_hash,
    )
    return hashlib.sha256(b"".join(parts)).digest()


def broken_at(row: CaseRow, records: Sequence[Record], *, from_seq: int = 0) -> tuple[int, str] | None:
    """Find the first place where a case's log is not what was written, as (seq, why); None if it verifies.

    Of a log that is read `from_seq` on, the first record is taken at its word.
    """
    head, of_case = GENESIS, b""
    for expected, record in enumerate(records, start=from_seq):
        if record.seq != expected:
            return expected, f"record {expected} is missing"
        try:
            of_case = of_case or _of_case(row.key)
            head = record.hash if 0 < expected == from_seq else _linked(head, of_case, record)
        except _NEVER_WRITTEN:
            return expected, "the record holds values that were never written"
        if head != record.hash:
            return expected, "the record or one before it was changed"
    ends = from_seq + len(records)
    if ends != row.next_seq:
        return ends, f"the log ends here, but the case says it has {row.next_seq} records"
    if head != row.head:
        return ends - 1, "the case's head is not the hash of its last record"
    return None
