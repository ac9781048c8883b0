"""The hash chain that makes a case's log tamper-evident.

Each record's hash covers the hash before it, the record's own fields and the hash of its frame, so a change, a
deletion or a swap shows at the first record after it; the case's row holds the last hash, so a cut tail shows as
well, unless that row was altered with it. A frame that retention dropped keeps its hash, and the chain still
verifies. Fields are length-prefixed before hashing, for two neighbours must not be able to trade bytes.
It does not know what a frame says.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from casework.protocols.codec import HASH_BYTES
from casework.runtime.store.base import CaseKey, CaseRow, Record

#: What stands before the first record of every case.
GENESIS: Final = bytes(HASH_BYTES)

#: Numbers have eight bytes, and before each thing stands its length, in four: together as they follow one another.
_LENGTH: Final = struct.Struct(">I").pack
_PLACE: Final = struct.Struct(">IQIQI").pack
_MOMENT: Final = struct.Struct(">IQI").pack
#: What hashing raises for a value of another type or range: what is kept in a file can be anything.
_NEVER_WRITTEN: Final = (AttributeError, TypeError, UnicodeEncodeError, struct.error)


def chained(previous: bytes, key: CaseKey, record: Record) -> bytes:
    """Give the hash of `record` (its own `hash` field is ignored) after `previous`."""
    return _linked(previous, _of_case(key), record)


def chain(previous: bytes, key: CaseKey, records: Iterable[Record]) -> Iterator[tuple[Record, bytes]]:
    """Give each record with its hash, the first one after `previous`."""
    of_case = _of_case(key)
    for record in records:
        previous = _linked(previous, of_case, record)
        yield record, previous


def _of_case(key: CaseKey) -> bytes:
    tenant, case_id = key.tenant.encode(), key.case_id.encode()
    return b"".join((len(tenant).to_bytes(4), tenant, len(case_id).to_bytes(4), case_id))


def _linked(previous: bytes, of_case: bytes, record: Record) -> bytes:
    kind, step_id = record.kind.encode(), record.step_id.encode()
    frame = record.frame
    # Hashed here and not by `digest`: a log is gone through whenever its case wakes, and hashing is most of that.
    frame_hash = record.frame_hash if record.frame_hash and not frame else sha256(frame).digest()
    parts = (
        _LENGTH(len(previous)),
        previous,
        of_case,
        _PLACE(8, record.seq, 8, record.epoch, len(kind)),
        kind,
        _LENGTH(len(step_id)),
        step_id,
        _MOMENT(8, record.at, len(frame_hash)),
        frame_hash,
    )
    return sha256(b"".join(parts)).digest()


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
