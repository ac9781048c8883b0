"""What cases tell each other, and how a case reads what is in its inbox.

It does not know when anything is sent, nor who waits for it.
"""

from collections.abc import Sequence

from casework.protocols.codec import decode_entry, encode
from casework.protocols.errors import FrameInvalid, ProtocolError
from casework.protocols.records import (
    EXPIRY,
    Arrived,
    Cancel,
    Closed,
    Decided,
    Entry,
    Noted,
    Parked,
    Reported,
    Review,
    ReviewAction,
    Sent,
    Stopped,
    Timer,
)
from casework.protocols.wire import NIL
from casework.runtime.flow.entries import FOREIGN
from casework.runtime.flow.schedules import MOMENT_MAX
from casework.runtime.store.base import CaseKey, CaseStatus, InboxItem, Wait


def readable(entry: Entry) -> bytes:
    """Encode a record that a flow causes; what it gave may be anything, and must not make the log unreadable.

    Raises:
        FrameInvalid: a field holds what it is not for, which only reading shows, or what not every store can keep.
        FrameTooLarge, FrameTooDeep: it is over a limit.
    """
    frame = encode(entry)
    decode_entry(frame)
    match entry:
        case Parked(key=first, reason=second) | Review(title=first, rule=second) if "\0" in first + second:
            raise FrameInvalid(type(entry).__name__, "a text that is looked for has no NUL characters")
        case Timer(due=due) if due > MOMENT_MAX:
            raise FrameInvalid("Timer", f"{due} is no moment")
        case _:
            return frame


def message(sender: CaseKey, entry: Sent | Stopped, seq: int) -> InboxItem:
    """Make the message that a record with sequence number `seq` says was sent; its id comes from both.

    Where nobody can take it, its sender gets a note for its log instead.
    """
    by, receiver = f"case:{sender.case_id}", sender._replace(case_id=entry.case_id)
    if isinstance(entry, Sent):
        message_id = f"sent:{sender.case_id}:{seq}"
        arrived = Arrived(key=entry.key, message_id=message_id, by=by, value=entry.value)
        back = _untaken(sender, message_id, f"nobody took {entry.key}", entry.case_id)
        return InboxItem(receiver, message_id, "arrived", encode(arrived), otherwise=back)
    message_id = f"cancel:{sender.case_id}:{seq}"
    frame = encode(Cancel(message_id=message_id, by=by, reason=entry.reason))
    back = _untaken(sender, message_id, "nobody was there to be stopped", entry.case_id)
    return InboxItem(receiver, message_id, "cancel", frame, otherwise=back)


def _untaken(sender: CaseKey, message_id: str, what: str, receiver: str) -> InboxItem:
    noted = Noted(text=f"{what}: case {receiver} is not there or has closed", level="warning")
    return InboxItem(sender, f"untaken:{message_id}", "noted", encode(noted))


def report(sender: CaseKey, parent: str, seq: int, told: Sequence[Wait], closed: Closed | None) -> InboxItem:
    """Make what a case tells its parent when `seq` records are written: what it waits for, or how it closed."""
    message_id = f"reported:{sender.case_id}:{seq}"
    reported = Reported(
        message_id=message_id,
        case_id=sender.case_id,
        status=CaseStatus.PARKED if closed is None else CaseStatus.CLOSED,
        result=closed.result if closed else "",
        needs=tuple(wait.key for wait in told),
        reasons=tuple(wait.reason for wait in told),
        kinds=tuple(wait.kind for wait in told),
        value=closed.value if closed else NIL,
    )
    return InboxItem(sender._replace(case_id=parent), message_id, "reported", encode(reported))


def foreign(child: CaseKey, opener: str) -> InboxItem:
    """Make what a case hears that opened another one, should that be there and somebody else's."""
    message_id = f"foreign:{child.case_id}"
    reported = Reported(message_id=message_id, case_id=child.case_id, status=FOREIGN)
    return InboxItem(child._replace(case_id=opener), message_id, "reported", encode(reported))


def read_message(item: InboxItem) -> Entry | None:
    """Decode a message; None for one that this version cannot read."""
    try:
        return decode_entry(item.frame)
    except ProtocolError:
        return None


def expired(review: Review, at: int) -> Decided:
    """Make the decision on a review that nobody decided in time."""
    return Decided(
        review_id=review.id,
        action=ReviewAction.REJECT,
        by=EXPIRY,
        proposal_hash=review.proposal_hash,
        reason="nobody decided in time",
        at=at,
        expired=True,
    )
