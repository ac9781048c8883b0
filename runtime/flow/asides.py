"""Messages that are set aside because each process that took them ended: which one it was, and what becomes of it.

A case that was claimed in vain takes one message at a time, and the next one once that is durable. So if it ends its
processes all the same, its log ends before the message that was being taken, which is the first in its inbox that its
flow waits for. What broke them may also be the flow itself, which replay would show, or a task that is under way: so
only a few are set aside in a row, and a message is never lost; it stays in the inbox, as a dead letter, and the case
goes on as if it had not come. A cancel and a person's decision are not set aside: nobody would say them again.
It does not know how a case is claimed, nor what a message contains.
"""

from collections.abc import Mapping, Sequence
from typing import Final, final

from casework.protocols.records import Arrived, Cancel, Decided, Decision, Entry, Reported
from casework.protocols.wire import OnStop
from casework.runtime.flow.engine import Pending
from casework.runtime.flow.messages import read_message
from casework.runtime.flow.operations import NextReport, Park
from casework.runtime.flow.orders import MESSAGE, message_key
from casework.runtime.flow.replay import Logged, marked
from casework.runtime.flow.services import Services
from casework.runtime.flow.standing import first_waiting
from casework.runtime.store.base import CaseRow, InboxItem, Wait, WaitKind

#: How the records are marked that tell of messages that are set aside, and what an operator delivered for one.
ASIDE: Final = "aside"
ASIDE_STEP: Final = marked("case", ASIDE)
#: Messages that are set aside in a row, without anything else in the log: after so many it is not the messages.
ASIDE_MAX: Final = 3


@final
class Asides:
    """The messages of one case that are set aside."""

    def __init__(self, case_id: str) -> None:
        """Begin with none."""
        self._case_id = case_id
        self.reasons: dict[str, str] = {}  #: why, by the key under which an operator has one tried again or dropped

    def __contains__(self, item_id: str) -> bool:
        return self.key(item_id) in self.reasons

    def key(self, item_id: str) -> str:
        """Name what the case waits for with a message that is set aside."""
        return message_key(self._case_id, item_id)

    def hear(self, entry: Entry) -> None:
        """Hear what the log has of one under its step."""
        if isinstance(entry, Decision):
            self.reasons[self.key(entry.subject)] = entry.why
        elif isinstance(entry, Arrived):
            self.reasons.pop(entry.key, None)

    def begin(self, services: Services, blamed: Decision) -> None:
        """Set one aside."""
        services.logbook.write(ASIDE_STEP, blamed)
        services.telemetry.set_aside(MESSAGE)
        self.hear(blamed)

    def waits(self) -> list[Wait]:
        """Name what an operator is to say."""
        return [Wait(key, WaitKind.OPERATOR, why) for key, why in self.reasons.items()]


def taken(pending: Mapping[str, Pending], inner: Sequence[Logged], row: CaseRow, inbox: Sequence[InboxItem]) -> str:
    """Give the id of the message that a flow would take first, if it may be set aside; else nothing.

    `pending` are the steps that wait where its log ends, `inner` its inner records.
    """
    asides, told = Asides(row.key.case_id), [logged for logged in inner if logged.record.step_id == ASIDE_STEP]
    for logged in told:
        asides.hear(logged.entry)
    last = [logged for logged in told if logged.record.seq >= row.next_seq - ASIDE_MAX]
    if len(last) == ASIDE_MAX and all(isinstance(logged.entry, Decision) for logged in last):
        return ""
    for item in inbox:
        entry = None if item.id in asides else read_message(item)
        if isinstance(entry, Cancel | Decided):
            return ""
        if entry is not None and _wanted(pending, entry):
            return item.id
    return ""


def set_aside(item_id: str, why: str, policy_hash: str) -> Decision:
    """Make the record of it."""
    return Decision(
        subject=item_id,
        options=("take", OnStop.PARK),
        chosen=OnStop.PARK,
        rule="message.poison",
        why=f"message {item_id} is set aside: {why}",
        policy_hash=policy_hash,
    )


def _wanted(pending: Mapping[str, Pending], entry: Entry) -> bool:
    match entry:
        case Arrived():
            return first_waiting(pending, Park, entry) is not None
        case Reported():
            return first_waiting(pending, NextReport, entry) is not None
        case _:
            return False
