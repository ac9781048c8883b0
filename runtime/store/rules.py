"""What every store decides the same way, as pure functions over facts: who may append, which decision stands.

Each implementation fetches the facts, asks here and carries out the answer inside one transaction, so no two of them
can differ in judgement. It does not know where anything is kept.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from casework.protocols.codec import decode_entry, digest, encode, kind_of
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Arrived, Cancel, Decided
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseRow,
    CaseStatus,
    Conflict,
    DecisionRefused,
    DecisionTaken,
    Fenced,
    InboxItem,
    Opening,
    ReviewRow,
    WaitKind,
)
from casework.runtime.store.chain import GENESIS, chained

#: How the reason begins of a case, or a review, whose row is not what was written.
UNREADABLE: Final = "its row in the store cannot be read"
#: Epochs, sequence numbers and times stay below this: databases count in signed 64 bits.
INTEGER_MAX: Final = (1 << 63) - 1

#: Claims in a row without a new record after which a case is suspected of killing its process.
SUSPECT_CLAIMS: Final = 2
#: Cases claimed once without a new record that a node is given at a time: most of them only happened to be under way
#: when their process ended, and were it many again, many would be suspected.
DOUBTED_MAX: Final = 8
#: How long a suspect is alone before its node is given anything else, in microseconds: should its process end then,
#: it was that case, or somebody from outside within this time.
ALONE_MICROS: Final = 2_000_000
#: How long a suspect is watched before its node is given another one, in microseconds.
SUSPECT_MICROS: Final = 5_000_000

#: Bytes of frames after which a claim gives no further case: what a node has in memory at once.
CLAIM_BYTES_MAX: Final = 8 << 20

#: Bytes of a key for which a flow waits, or of a message's id, at most.
KEY_BYTES_MAX: Final = 1_000
#: The same of whatever a store finds something by: what is made of keys, ids and names is longer than these. An index
#: of PostgreSQL takes 2,704.
INDEXED_BYTES_MAX: Final = 2_600
#: Characters of what is no key that are said back, at most.
KEY_TOLD_MAX: Final = 120

OPEN: Final = "open"
DECIDED: Final = "decided"
WITHDRAWN: Final = "withdrawn"


def assert_append(append: Append) -> None:
    """Assert that an append is what its maker promised: its records follow each other under its own epoch."""
    for offset, record in enumerate(append.records):
        assert record.seq == append.next_seq + offset, "records of an append follow each other from next_seq on"
        assert record.epoch == append.epoch, "records of an append bear its epoch"
        assert 0 <= record.at <= INTEGER_MAX, "the moment of a record is not before the epoch"
        assert not record.frame_hash, "a record is appended with its frame; only retention drops it"
    assert append.inbox_seen == 0 or append.release, "inbox_seen is said with release"


def assert_opening(opening: Opening) -> None:
    """Assert that a case opens with its record 0 under epoch 0."""
    record = opening.record
    assert (record.seq, record.epoch) == (0, 0), "the first record of a case has seq 0 and epoch 0"
    assert 0 <= record.at <= INTEGER_MAX, "the moment of a record is not before the epoch"
    assert opening.key.tenant, "a case has a tenant"
    assert opening.key.case_id, "a case has an id"


def opened_row(opening: Opening) -> CaseRow:
    """Give the row of a case as it is opened."""
    taken = int(bool(opening.node))
    return CaseRow(
        key=opening.key,
        epoch=taken,
        next_seq=1,
        node=opening.node,
        status=CaseStatus.OPEN,
        result="",
        flow=opening.flow,
        version=opening.version,
        source_hash=opening.source_hash,
        crew=opening.crew,
        parent=opening.parent,
        head=chained(GENESIS, opening.key, opening.record),
        opened_at=opening.record.at,
        changed_at=opening.record.at,
        claims=taken,
    )


def refused(opening: Opening, parent: str) -> InboxItem | None:
    """Give what goes out where a case was to be opened and one of its key, with this parent, is there."""
    return opening.otherwise if parent != opening.parent else None


def appended(append: Append, head: bytes, *, rests: bool = False) -> Appended:
    """Answer an append after which the case's last hash is `head`."""
    return Appended(head) if append.status is CaseStatus.CLOSED else Appended(rests=rests)


def closed_row(row: CaseRow, append: Append, head: bytes) -> CaseRow:
    """Give the row of a case as it is once an append has closed it, from any of its rows since its last claim."""
    version, source_hash = append.pinned or (row.version, row.source_hash)
    return CaseRow(
        key=row.key,
        epoch=append.epoch,
        next_seq=append.next_seq + len(append.records),
        node="",
        status=CaseStatus.CLOSED,
        result=append.result,
        flow=row.flow,
        version=version,
        source_hash=source_hash,
        crew=row.crew,
        parent=row.parent,
        head=head,
        opened_at=row.opened_at,
        changed_at=append.records[-1].at if append.records else row.changed_at,
        chapter=row.chapter if append.chapter is None else append.chapter,
    )


def append_refusal(append: Append, *, epoch: int, next_seq: int, node: str) -> Fenced | Conflict | None:
    """Say why an append is refused, or None.

    A case that was released or closed has no node, and whoever held it is fenced as if another had taken it.
    """
    if append.epoch != epoch or not node:
        return Fenced(epoch)
    if append.next_seq != next_seq:
        return Conflict(next_seq)
    return None


def fitting(sizes: Sequence[int]) -> int:
    """Say how many of the cases whose frames have these bytes a claim gives: at least one, if there is any."""
    total = 0
    for place, size in enumerate(sizes):
        if total > CLAIM_BYTES_MAX:
            return place
        total += size
    return len(sizes)


def pin(flow: str, version: str, source_hash: str) -> str:
    """Name the one version of a flow that a case runs, or a node carries."""
    return f"{flow}:{version}:{source_hash}"


def version_key(carries: str) -> str:
    """Name what a case waits for whose version no living node carried; a node that has it is told of it so."""
    return f"version:{carries}"


def left_to_others(carries: Collection[str], others: Iterable[str]) -> frozenset[str]:
    """Name what a node that carries these leaves to other living ones; who does not say what it carries, nothing."""
    return frozenset(others).difference(carries) if carries else frozenset()


def suspected(row: CaseRow) -> bool:
    """Say whether a free case is suspected of killing its process."""
    return row.claims >= SUSPECT_CLAIMS


def doubted(row: CaseRow, now: int) -> bool:
    """Say whether a case that a node holds counts as one of `DOUBTED_MAX`."""
    return row.claims == SUSPECT_CLAIMS and row.changed_at > now - SUSPECT_MICROS


def watched(row: CaseRow, now: int, micros: int) -> bool:
    """Say whether a case was given as a suspect less than so long ago, and has not been cleared since."""
    return row.claims > SUSPECT_CLAIMS and row.changed_at > now - micros


def arrival_kind(item_id: str, frame: bytes) -> str:
    """Give the kind under which a delivered frame goes into an inbox.

    Raises:
        FrameInvalid, FrameTooLarge, FrameTooDeep: the bytes are no `arrived` and no `cancel` frame, or the id is none.
    """
    if why := key_fault("a message id", item_id, INDEXED_BYTES_MAX):
        raise FrameInvalid("message id", why)
    entry = decode_entry(frame)
    if not isinstance(entry, Arrived | Cancel):
        raise FrameInvalid("arrived or cancel frame", f"it is a {kind_of(entry)!r} frame")
    return kind_of(entry)


def decision_of(review_id: str, frame: bytes) -> Decided:
    """Read the decision on a review.

    Raises:
        FrameInvalid, FrameTooLarge, FrameTooDeep: the bytes are no `decided` frame for this review.
    """
    entry = decode_entry(frame)
    if not isinstance(entry, Decided):
        raise FrameInvalid("decided frame", f"it is a {kind_of(entry)!r} frame")
    if entry.review_id != review_id:
        raise FrameInvalid("decided frame", f"it decides review {entry.review_id!r}, not {review_id!r}")
    if entry.expired:
        raise FrameInvalid("decided frame", "that nobody decided in time is for the case to say")
    return entry


def settled_decision(
    review: ReviewRow | None, decision: Decided, *, proposal_hash: str, now: int, closed: bool
) -> DecisionTaken | DecisionRefused | None:
    """Say what becomes of a decision without changing anything, or None where it is to be taken.

    The same decision again is the one already taken, whenever it comes; only its moment may differ.
    `closed` tells that the review's case has ended.
    """
    if review is None:
        return DecisionRefused("absent")
    if review.state == DECIDED:
        again = _same(decision_of(review.id, review.decision), decision)
        return DecisionTaken(review) if again else DecisionRefused("decided", review)
    if review.state == WITHDRAWN or closed:
        return DecisionRefused("withdrawn", review)
    if review.expires and now >= review.expires:
        return DecisionRefused("expired", review)
    if not proposal_hash == decision.proposal_hash == review.proposal_hash:
        return DecisionRefused("stale", review)
    return None


def decision_item_id(review_id: str) -> str:
    """Name the inbox item that carries a review's decision."""
    return f"decided:{review_id}"


def timer_due(row: CaseRow, now: int) -> bool:
    """Say whether one of a case's timers is due."""
    return any(wait.kind is WaitKind.TIMER and wait.due <= now for wait in row.waits)


def assert_content(sha256: str, data: bytes) -> None:
    """Check that bytes are what their name says.

    Raises:
        FrameInvalid: the hash is another.
    """
    if digest(data).hex() != sha256:
        raise FrameInvalid("artifact", "its content hash is not the name under which it came")


def storable(text: str) -> bool:
    """Say whether every store can keep a text: PostgreSQL has no NUL, and undecodable bytes have no letters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def key_fault(what: str, text: object, bytes_max: int = KEY_BYTES_MAX) -> str:
    """Say why something is no key, or no id, by which every store finds what it is to find, or nothing.

    `what` is said of it: that it is a key, or the id of a message.
    """
    if not isinstance(text, str):
        return f"{what} is a text, not {type(text).__name__}"
    told = ascii(text if len(text) <= KEY_TOLD_MAX else f"{text[:KEY_TOLD_MAX]}...")
    if not storable(text):
        place = next(at for at, letter in enumerate(text) if not storable(letter))
        return f"{what} has no NUL and no half of a character, as {told} has at place {place}"
    size = len(text.encode())
    return "" if 0 < size <= bytes_max else f"{what} has 1 to {bytes_max} bytes of UTF-8, not {size} as {told}"


def keyed(what: str, text: str, bytes_max: int = KEY_BYTES_MAX) -> str:
    """Give a key or an id back; raises ValueError if it is none."""
    if why := key_fault(what, text, bytes_max):
        raise ValueError(why)
    return text


def _same(left: Decided, right: Decided) -> bool:
    return encode(msgspec.structs.replace(left, at=0)) == encode(msgspec.structs.replace(right, at=0))
