"""The errors of the machine.

    CaseworkError
    └── RuntimeFault
        ├── Stopping                 ours: the system takes no new work
        ├── EnteredBefore            theirs: a runtime that was entered already
        ├── NotSent                  the envelope comes back on the error
        │   ├── MailboxFull          ours: the bound was reached
        │   ├── FrameOversized       ours: a frame larger than any may be
        │   ├── ActorStopped         the receiver ended, or never was
        │   ├── WakeFailed           theirs: the receiver's behavior could not be made
        │   ├── Draining             ours: the system finishes what it has
        │   └── Expired              the deadline passed before anybody took it
        ├── AskFailed                theirs: the receiver failed while answering
        ├── ForeignCancel            theirs: what their code awaited was cancelled by somebody else
        ├── NameTaken                ours: such an actor runs already
        ├── KindTaken                ours: such a kind of logical address is declared already
        ├── NotRunning               ours: something that needs an actor, but it has ended
        ├── LetterUnknown            ours: a dead letter that is not listed, or no longer
        ├── Escalated                theirs: a child failed more often than it may
        ├── StoreError
        │   ├── StoreUnavailable     the world: the store cannot be reached just now
        │   ├── StoreOwned           the world: another process owns the file
        │   ├── StoreNewer           the world: written by a newer version
        │   └── StoreInvalid         the world: this is no store, or it cannot be opened
        ├── ExportError
        │   ├── ExportInvalid            theirs: what should be an export is none, or is not as it was written
        │   ├── ExportOngoing            ours: a case that goes on elsewhere is not taken over by accident
        │   └── ArchiveMissing           ours: a store that cannot give or take whole cases
        ├── CaseThere                ours: such a case is here already
        ├── ContentsDropped          the world: what a closed case contained is no longer kept
        ├── ChapterFull              theirs: a case with more records in a chapter than can be replayed in time
        ├── MigrationRefused         theirs: a case that cannot go on with another version of its flow
        ├── ForkRefused              theirs: a case that cannot go on elsewhere from that record
        ├── ScheduleInvalid          theirs: a calendar rule that cannot be read, or names no moment
        ├── NotAwaited               theirs: a delivery to a case that waits for several things, or none
        ├── ReviewError
        │   ├── ReviewUnknown            theirs: there is no such review
        │   └── DecisionInvalid          theirs: a decision that does not fit the proposal
        └── FlowError
            ├── ForeignAwait         theirs: the flow awaited something that is no case operation
            ├── FlowUnknown          theirs: the log names a flow that the crew does not have
            ├── ReplayMismatch       theirs: the flow no longer does what the log says
            ├── TaskFailed           the world: a delegated task has no value
            ├── CallFailed           the world: a tool call has no value
            ├── ReviewRejected       a person said no
            ├── ChildForeign         theirs: the id of a case to be opened below this one is somebody else's
            └── CaseCancelled        somebody asked the case to stop; raised once in the flow

It does not know how an error is shown to a person.
"""

from typing import TYPE_CHECKING

from casework.protocols.errors import CaseworkError, worded
from casework.protocols.wire import FailureKind

if TYPE_CHECKING:
    from casework.runtime.mailbox import Envelope
    from casework.runtime.supervision import RestartLimit


class RuntimeFault(CaseworkError):
    """Root of the machine's errors."""


class Stopping(RuntimeFault):
    """The system is draining or has stopped; nothing was taken."""

    def __init__(self) -> None:
        super().__init__("the runtime is stopping and takes no new work")


class EnteredBefore(RuntimeFault):
    """A runtime is entered once, and this one was already; nothing was touched."""

    def __init__(self, crew: str) -> None:
        super().__init__(f"this runtime of crew {crew!r} was entered before; make another one")
        self.crew = crew


class NotSent(RuntimeFault):
    """A message was refused, or given back before anybody began with it; the envelope is on the error."""

    def __init__(self, envelope: "Envelope", why: str) -> None:
        super().__init__(f"message to {envelope.receiver!r} was not sent: {why}")
        self.envelope, self.why = envelope, why


class MailboxFull(NotSent):
    """The receiver's mailbox holds as many messages as it may."""

    def __init__(self, envelope: "Envelope", depth_max: int) -> None:
        super().__init__(envelope, f"its mailbox holds {depth_max} messages already")
        self.depth_max = depth_max


class ActorStopped(NotSent):
    """The receiver has ended or was never there."""

    def __init__(self, envelope: "Envelope") -> None:
        super().__init__(envelope, "no such actor is running")


class FrameOversized(NotSent):
    """The frame is larger than any message may be; send a reference instead."""

    def __init__(self, envelope: "Envelope", bytes_max: int) -> None:
        size = len(envelope.frame)
        super().__init__(envelope, f"its frame has {size} bytes, more than {bytes_max}; send a reference")
        self.bytes_max = bytes_max


class WakeFailed(NotSent):
    """The receiver has a logical address, and the behavior that should wake could not be made."""

    def __init__(self, envelope: "Envelope", error: Exception) -> None:
        super().__init__(envelope, f"its actor could not be woken: {worded(error)}")
        self.error = error


class Draining(NotSent):
    """The system finishes what it has and takes nothing from outside."""

    def __init__(self, envelope: "Envelope") -> None:
        super().__init__(envelope, "the system is draining and takes nothing new")


class Expired(NotSent):
    """The message's deadline passed before it was handled; it was dropped unread."""

    def __init__(self, envelope: "Envelope") -> None:
        super().__init__(envelope, "its deadline has passed")


class AskFailed(RuntimeFault):
    """The receiver raised, or stopped, while an answer was awaited."""

    def __init__(self, receiver: str, why: str) -> None:
        super().__init__(f"{receiver!r} did not answer: {why}")
        self.receiver, self.why = receiver, why


class ForeignCancel(RuntimeFault):
    """Code of an actor met a cancellation that nobody here asked for: what it awaited was cancelled by others."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("something that it awaited was cancelled by others")
        self.__cause__ = error


class NameTaken(RuntimeFault):
    """An actor of that address is running already; nothing was started."""

    def __init__(self, address: str) -> None:
        super().__init__(f"an actor of the name {address!r} is running already; stop it first or choose another name")
        self.address = address


class KindTaken(RuntimeFault):
    """Actors of that kind are declared already, or it is no kind; nothing was declared."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind!r} is declared already, or is no kind: give each another name, without a colon")
        self.kind = kind


class NotRunning(RuntimeFault):
    """There is no actor of that address or name, or it is ending; nothing was changed."""

    def __init__(self, address: str) -> None:
        super().__init__(f"no actor of the address or name {address!r} is running")
        self.address = address


class LetterUnknown(RuntimeFault):
    """A dead letter is not listed: it was sent again already, or younger ones took its place; nothing was sent."""

    def __init__(self, envelope: "Envelope") -> None:
        super().__init__(f"the letter to {envelope.receiver!r} is not, or no longer, among the dead letters")
        self.envelope = envelope


class Escalated(RuntimeFault):
    """A child failed more often than it may, so its parent fails; at the top, the system does."""

    def __init__(self, address: str, limit: "RestartLimit", error: BaseException | None) -> None:
        why = f": {worded(error)}" if error is not None else ""
        again = f"after {limit.intensity} restarts in {limit.period_seconds:g} s"
        super().__init__(f"{address!r} failed again {again}{why}")
        self.address, self.limit, self.error = address, limit, error


class StoreError(RuntimeFault):
    """Root of what can go wrong with a store; `url` names it."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url}: {why}")
        self.url, self.why = url, why


class StoreUnavailable(StoreError):
    """The store cannot be read or written just now; trying again later may help."""


class StoreOwned(StoreError):
    """Another process owns the store; ask it through its socket, or stop it."""


class StoreNewer(StoreError):
    """The store was written by a newer version of Casework; it was not touched."""


class StoreInvalid(StoreError):
    """The file is no Casework store, or the URL names none."""


class ExportError(RuntimeFault):
    """Root of what can go wrong when cases leave a store or come into one."""


class ExportInvalid(ExportError):
    """What should be an export is none, or is not as it was written; nothing was taken in."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        first, *others = findings
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(f"nothing was imported: {first}{more}")
        self.findings = findings
        """Everything that is wrong with it, at least one."""


class ExportOngoing(ExportError):
    """An exported case has not ended, so it may go on where it came from as well; nothing was taken in."""

    def __init__(self, case_id: str) -> None:
        super().__init__(
            f"nothing was imported: case {case_id} has not ended, and would go on here as well as where it came from; "
            "take it over only if it goes on nowhere else"
        )
        self.case_id = case_id


class ArchiveMissing(ExportError):
    """The store cannot give or take whole cases."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url}: this kind of store cannot give or take whole cases")
        self.url = url


class CaseThere(RuntimeFault):
    """A case of that id is here already; nothing was changed."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"case {case_id} is here already, and a log is never replaced; nothing was changed")
        self.case_id = case_id


class ContentsDropped(RuntimeFault):
    """Retention has dropped what a closed case contained; how it ended is still known."""

    def __init__(self, case_id: str, result: str) -> None:
        super().__init__(f"case {case_id} ended as {result}; what it returned was dropped by retention")
        self.case_id, self.result = case_id, result


class NotAwaited(RuntimeFault):
    """A thing was delivered to a case that waits for several, or for none; nothing was delivered."""

    def __init__(self, case_id: str, keys: tuple[str, ...]) -> None:
        several, none = (
            "waits for several things; name one: ",
            "waits for nothing that can be delivered; see `casework show`",
        )
        super().__init__(f"case {case_id} {several + ', '.join(keys) if keys else none}")
        self.case_id, self.keys = case_id, keys


class ChapterFull(RuntimeFault):
    """A case has too many records since its chapter began; waking it would take ever longer."""

    def __init__(self, records_max: int) -> None:
        super().__init__(
            f"{records_max} records in one chapter: give the flow a `case.next_chapter(state)` and migrate the case to "
            f"that version, or deliver what it waits for to let it go on for as many again"
        )
        self.records_max = records_max


class ScheduleInvalid(RuntimeFault):
    """A calendar rule cannot be read, or names no moment."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f"schedule {rule!r}: {why}")
        self.rule, self.why = rule, why


class MigrationRefused(RuntimeFault):
    """A case cannot go on with another version of its flow; nothing was changed."""

    def __init__(self, case_id: str, version: str, why: str) -> None:
        super().__init__(f"case {case_id!r} stays what it is and does not go on with version {version!r}: {why}")
        self.case_id, self.version, self.why = case_id, version, why


class ForkRefused(RuntimeFault):
    """A case cannot go on elsewhere from one of its records; the case itself is not touched."""

    def __init__(self, case_id: str, at: int, why: str) -> None:
        super().__init__(f"case {case_id!r} cannot be forked at record {at}: {why}")
        self.case_id, self.at, self.why = case_id, at, why


class ReviewError(RuntimeFault):
    """Root of what can go wrong with a person's decision."""


class ReviewUnknown(ReviewError):
    """The store has no review of that id."""

    def __init__(self, review_id: str) -> None:
        super().__init__(f"there is no review {review_id!r}; `review list` shows those that are open")
        self.review_id = review_id


class DecisionInvalid(ReviewError):
    """A decision that cannot be taken as it is; nothing was decided."""

    def __init__(self, review_id: str, why: str) -> None:
        super().__init__(f"review {review_id}: {why}")
        self.review_id, self.why = review_id, why


class FlowError(RuntimeFault):
    """Root of what can go wrong in a flow."""


class ForeignAwait(FlowError):
    """The flow awaited something that is no operation of its case; such a wait cannot be replayed."""

    def __init__(self, flow: str, what: str) -> None:
        super().__init__(f"flow {flow!r} awaited {what}; inside a flow await operations of `case` only")
        self.flow, self.what = flow, what


class FlowUnknown(FlowError):
    """The crew has no flow of that name, version and source."""

    def __init__(self, flow: str, version: str, why: str) -> None:
        super().__init__(f"flow {flow}{f' version {version}' if version else ''}: {why}")
        self.flow, self.version = flow, version


class ReplayMismatch(FlowError):
    """The flow did something else than its log says; `seq` is the first record that differs."""

    def __init__(self, seq: int, recorded: str, now: str) -> None:
        super().__init__(f"record {seq} is {recorded}, but the flow now does {now}")
        self.seq, self.recorded, self.now = seq, recorded, now


class TaskFailed(FlowError):
    """A delegated task ended without a value."""

    def __init__(self, task: str, kind: FailureKind, message: str) -> None:
        super().__init__(f"task {task!r} failed ({kind}): {message}")
        self.task, self.kind, self.message = task, kind, message


class CallFailed(FlowError):
    """A tool call ended without a value."""

    def __init__(self, tool: str, kind: FailureKind, message: str) -> None:
        super().__init__(f"tool {tool!r} failed ({kind}): {message}")
        self.tool, self.kind, self.message = tool, kind, message


class ReviewRejected(FlowError):
    """A person rejected the proposal that a call depends on."""

    def __init__(self, title: str, by: str, reason: str) -> None:
        super().__init__(f"{by} rejected {title!r}: {reason or 'no reason given'}")
        self.title, self.by, self.reason = title, by, reason


class ChildForeign(FlowError):
    """A case that was to be opened below this one was there already, and is somebody else's; it stays theirs."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"case {case_id} was there already, and is not below this one; nothing of it was changed")
        self.case_id = case_id


class CaseCancelled(FlowError):
    """Somebody asked the case to stop; raised once, at the flow's next operation."""

    def __init__(self, by: str, reason: str) -> None:
        super().__init__(f"cancelled by {by}: {reason or 'no reason given'}")
        self.by, self.reason = by, reason
