"""What a running case stands at, as pure functions: which step a message ends, what it waits for, how it closed.

It does not know how the case got there.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from casework.protocols.codec import CARRIED_BYTES_MAX, pack
from casework.protocols.errors import FrameTooLarge
from casework.protocols.records import CaseResult, Closed, Entry, Review, Timer
from casework.runtime.errors import CaseCancelled
from casework.runtime.flow.engine import Pending
from casework.runtime.flow.entries import fits
from casework.runtime.flow.operations import CallTool, Delegate, NextReport, Park
from casework.runtime.flow.saga import PartlyDone
from casework.runtime.store.base import CaseStatus, Wait, WaitKind

#: Characters of an error that go into the log.
ERROR_CHARS_MAX: Final = 300
#: What a parked case tells its parent about: these cannot end by themselves.
TOLD: Final = frozenset({WaitKind.EVIDENCE, WaitKind.REVIEW, WaitKind.OPERATOR})


def told(waits: Sequence[Wait]) -> list[Wait]:
    """Give those that a case tells its parent about."""
    return [wait for wait in waits if wait.kind in TOLD]


def has_news(status: CaseStatus, waits: Sequence[Wait], now: CaseStatus, waits_now: Sequence[Wait]) -> bool:
    """Tell whether a case has something to tell its parent that it had not when it last said where it stands."""
    news = {wait.key for wait in told(waits_now)}
    if now is not CaseStatus.PARKED or not news:
        return False
    return status is not CaseStatus.PARKED or {wait.key for wait in told(waits)} != news


def first_waiting(pending: Mapping[str, Pending], operation: type, entry: Entry) -> str | None:
    """Find the oldest waiting step of a kind that a record can end."""
    for step in pending.values():
        if isinstance(step.operation, operation) and fits(step.operation, entry):
            return step.step_id
    return None


def waits_of(pending: Pending) -> list[Wait]:
    """Name what a waiting step waits for, if it is something from outside."""
    if isinstance(pending.operation, CallTool | Delegate):
        return []
    match pending.operation, pending.entry:
        case Park(key, reason), _:
            return [Wait(key, WaitKind.EVIDENCE, reason)]
        case _, Review() as review:
            wait = Wait(review.id, WaitKind.REVIEW, review.rule)
            # Its end by time must wake a case that is not in memory.
            return [wait, Wait(pending.step_id, WaitKind.TIMER, "", review.expires)] if review.expires else [wait]
        case _, Timer(due=due):
            return [Wait(pending.step_id, WaitKind.TIMER, "", due)]
        case NextReport(), _:
            return [Wait(pending.step_id, WaitKind.CHILD, "a report of a child case")]
        case _:
            return []


def halted_waits(operator: str, why: str, lacks: str) -> tuple[Wait, ...]:
    """Name what a case waits for that goes no further: its operator, and what it lacks, if that would do."""
    waits = (Wait(operator, WaitKind.OPERATOR, why),)
    return (*waits, Wait(lacks, WaitKind.OPERATOR, "a node that has it")) if lacks else waits


def said(text: str) -> str:
    """Give the text of an error as every store can keep it, no longer than goes into the log."""
    kept = text[:ERROR_CHARS_MAX].encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return kept[:ERROR_CHARS_MAX]


def closing(value: object, error: Exception | None) -> Closed:
    """Make a case's last record of what its flow returned, or raised.

    Raises:
        FrameTooLarge: the value is larger than records and messages may carry.
    """
    if error is not None and not isinstance(error, PartlyDone):
        result = CaseResult.CANCELLED if isinstance(error, CaseCancelled) else CaseResult.FAILED
        return Closed(result=result, error=said(str(error)))
    packed = pack(error.value if error is not None else value)
    if len(packed) > CARRIED_BYTES_MAX:
        raise FrameTooLarge(len(packed), CARRIED_BYTES_MAX)
    if error is not None:
        return Closed(result=CaseResult.PARTIAL, value=packed, error=said(str(error)))
    return Closed(result=CaseResult.COMPLETED, value=packed)
