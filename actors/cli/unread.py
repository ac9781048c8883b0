"""Messages that a store took for a case and that are not in its log: what each is, and why it was not read.

One that comes while the last record of its case is on its way to the disk is accepted, for the case is open until
then; nobody reads it any more. It stays in the inbox, and is shown. It does not know who sent it, nor what its case is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, Cancel, Decided, Reported
from casework.runtime.store.archive import ArchiveReader, InboxEntry
from casework.runtime.store.base import CaseKey, CaseStatus, StoreReader

#: Why, of a case that has ended.
TOO_LATE = "it came too late: the case closed before it was read"


@dataclass(slots=True, frozen=True)
class Unread:
    """A message that is not in the log."""

    id: str
    kind: str
    what: str
    why: str


async def unread(reader: StoreReader, key: CaseKey) -> Sequence[Unread]:
    """Give what waits in a case's inbox, or stays there unread, in order; nothing where a store cannot tell.

    Raises:
        StoreUnavailable, StoreInvalid: the store cannot be read.
    """
    transfer = await reader.transfer(key) if isinstance(reader, ArchiveReader) else None
    if transfer is None:
        return []
    ended = transfer.row.status is CaseStatus.CLOSED
    return [_told(entry, ended=ended) for entry in transfer.inbox if entry.kind]


def is_late(message: Unread, item_id: str) -> bool:
    """Say whether it is that message, and nobody will read it."""
    return message.id == item_id and message.why == TOO_LATE


def _told(entry: InboxEntry, *, ended: bool) -> Unread:
    why = TOO_LATE if ended else "nothing waits for it yet" if entry.seen else "it was not read yet"
    return Unread(entry.id, entry.kind, _what(entry), why)


def _what(entry: InboxEntry) -> str:
    try:
        said = decode_entry(entry.frame)
    except ProtocolError as error:
        return f"{entry.kind}, which cannot be read ({error})"
    match said:
        case Arrived(key=key, by=by):
            return f"{key} from {by}"
        case Cancel(by=by, reason=reason):
            return f"{by} asked it to stop: {reason}"
        case Decided(review_id=review_id, by=by, action=action):
            return f"{by} decided to {action} review {review_id}"
        case Reported(case_id=case_id, status=status):
            return f"case {case_id} reported: {status}"
        case _:
            return entry.kind
