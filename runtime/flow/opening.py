"""How a case begins: its first record, made the same way for a caller of the runtime and for a parent case.

It does not know who opens it.
"""

from casework.protocols.codec import encode, kind_of
from casework.protocols.records import Opened
from casework.runtime.store.base import CaseKey, Opening, Record


def opening(key: CaseKey, opened: Opened, at: int) -> Opening:
    """Make the opening of a case; `at` is the moment in microseconds since the epoch."""
    record = Record(seq=0, epoch=0, kind=kind_of(opened), step_id="case", at=at, frame=encode(opened))
    return Opening(
        key=key,
        record=record,
        flow=opened.flow,
        version=opened.version,
        source_hash=opened.source_hash,
        crew=opened.crew,
        parent=opened.parent,
    )
