"""What a case's log says: one Struct for each kind of record, each a frame like any other message.

A record's kind is its Struct's tag. The frame of a task, an outcome or a message is, byte for byte, what travelled.

    opened                     first record of a case
    task        -> completed | failed            delegate
    call                                         a read-only tool call with its result
    intent      -> done | undone                 a write: durable before the call, closed after it
    review      -> decided | withdrawn           a person decides on exact bytes
    parked      -> arrived; timer -> fired       waits for a named thing, or for a moment
    child, stopped, sent, reported               cases below this one: opened, asked to stop, told, heard
    drawn, noted, decision, won                  recorded at once: chance and time, notes, choices, winners
    cancel, halted                               somebody stopped it; it cannot go on and says why
    reckoned                   the writes made in what failed, and how each is undone
    partial                    some writes stand, or nobody knows: a review follows
    chapter                    a long case begins afresh: replay starts here
    migrated                   the case goes on with another version of its flow
    closed                     last record of a case

It does not know how records are chained or stored.
"""

import enum
from typing import Final

from msgspec import Raw, Struct

from casework.protocols.effects import Effect, Write
from casework.protocols.wire import NIL, Completed, Cost, Evidence, Failed, FailureKind, Mandate, RiskTier, Task


class Opened(Struct, frozen=True, kw_only=True, tag="opened", omit_defaults=True, gc=False):
    """A case began: who runs it, with which code, on what."""

    flow: str
    version: str
    source_hash: str
    crew: str
    inputs: Raw = NIL
    policy_hash: str = ""
    parent: str = ""
    """Case id of the case that opened this one, or empty."""
    trace: str = ""
    """W3C traceparent that the whole case belongs to."""
    purpose: str = ""
    project: str = ""
    """Whose budget its calls draw from, beside those of agent, case and tenant; empty: of no project."""
    user: str = ""
    """For whom it works; empty: for nobody who has a budget."""
    mandate: Mandate | None = None
    """What its tasks may use, as whoever opened it says; None: whatever policy and flow allow."""


class Verdict(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the gate said of one call, kept with the call's own record."""

    allowed: bool
    rule: str
    policy_hash: str
    why: str = ""


class Call(Struct, frozen=True, kw_only=True, tag="call", omit_defaults=True, gc=False):
    """A read-only tool call and its result; recorded exactly once."""

    tool: str
    arguments: Raw
    verdict: Verdict
    value: Raw = NIL
    failure: FailureKind | None = None
    message: str = ""
    cost: Cost = Cost()
    tries: int = 1
    edited: bool = False
    """A person changed the arguments before approving them."""
    took: int = 0
    """Microseconds of a call inside a task; one of the flow itself takes from the end of the step before it."""


class Intent(Struct, frozen=True, kw_only=True, tag="intent", omit_defaults=True, gc=False):
    """A write is about to happen: exactly these bytes under this key, not after `call_before`, in microseconds."""

    tool: str
    arguments: Raw
    tier: RiskTier
    key: str
    call_before: int
    verdict: Verdict
    edited: bool = False
    """A person changed the arguments before approving them."""
    undoes: str = ""
    """Step of the write that this one undoes; empty for any other."""
    accounts: tuple[str, ...] = ()
    """The budgets from which it draws `micros` right before it is made, under an id that its step gives."""
    micros: int = 0
    """The most that it can cost, in millionths."""


class Done(Struct, frozen=True, kw_only=True, tag="done", omit_defaults=True, gc=False):
    """The write of an intent happened and was verified."""

    tool: str
    value: Raw = NIL
    cost: Cost = Cost()
    found_by: str = ""
    """`lookup` when recovery found it done, or who said so; else empty."""


class Undone(Struct, frozen=True, kw_only=True, tag="undone", omit_defaults=True, gc=False):
    """The write of an intent is known not to have happened, or is unknown and stays with a person."""

    tool: str
    kind: FailureKind
    message: str
    cost: Cost = Cost()
    """What it cost all the same."""


class Review(Struct, frozen=True, kw_only=True, tag="review", omit_defaults=True, gc=False):
    """A person is asked to decide on an exact proposal."""

    id: str
    title: str
    proposal: Raw
    proposal_hash: str
    """Hex digest of the proposal's bytes; a decision names it and no other."""
    rule: str
    """The rule that asked."""
    summary: str = ""
    evidence: tuple[Evidence, ...] = ()
    consequences: tuple[tuple[str, str], ...] = ()
    """Pairs of (action, what it will do), in the order in which they are shown."""
    expires: int = 0
    """Microseconds since the epoch; 0 means it does not expire."""


#: By whom a review is decided that nobody decided in time; a person may not have that name.
EXPIRY: Final = "expiry"


class ReviewAction(enum.StrEnum):
    """What a person may do with a proposal."""

    APPROVE = "approve"
    REJECT = "reject"
    EDIT = "edit"


class Decided(Struct, frozen=True, kw_only=True, tag="decided", omit_defaults=True, gc=False):
    """A person's decision on a review."""

    review_id: str
    action: ReviewAction
    by: str
    proposal_hash: str
    reason: str = ""
    edited: Raw = NIL
    at: int = 0
    expired: bool = False
    """Nobody decided in time; logs of earlier versions say so by the name alone."""

    @property
    def by_nobody(self) -> bool:
        """Tell whether no person decided; no person may decide under that name."""
        return self.expired or self.by == EXPIRY


class Withdrawn(Struct, frozen=True, kw_only=True, tag="withdrawn", gc=False):
    """The case no longer asks: something else came first."""

    review_id: str


class Parked(Struct, frozen=True, kw_only=True, tag="parked", gc=False):
    """The case waits, without a process, for a named thing."""

    key: str
    reason: str


class Unparked(Struct, frozen=True, kw_only=True, tag="unparked", gc=False):
    """The case no longer waits for the named thing: something else came first."""

    key: str


class Arrived(Struct, frozen=True, kw_only=True, tag="arrived", omit_defaults=True, gc=False):
    """A named thing arrived."""

    key: str
    message_id: str
    by: str
    value: Raw = NIL
    evidence: Evidence | None = None


class Timer(Struct, frozen=True, kw_only=True, tag="timer", gc=False):
    """The case waits for a moment."""

    due: int


class Fired(Struct, frozen=True, kw_only=True, tag="fired", gc=False):
    """The moment came."""

    due: int


class Child(Struct, frozen=True, kw_only=True, tag="child", omit_defaults=True, gc=False):
    """A case was opened below this one."""

    case_id: str
    flow: str
    inputs: Raw = NIL
    mandate: Mandate | None = None


class Sent(Struct, frozen=True, kw_only=True, tag="sent", omit_defaults=True, gc=False):
    """A named thing was sent to another case."""

    case_id: str
    key: str
    value: Raw = NIL


class Stopped(Struct, frozen=True, kw_only=True, tag="stopped", omit_defaults=True, gc=False):
    """Another case was asked to stop."""

    case_id: str
    reason: str = ""


class Reported(Struct, frozen=True, kw_only=True, tag="reported", omit_defaults=True, gc=False):
    """A child case says where it stands."""

    message_id: str
    case_id: str
    status: str
    """`parked` or `closed`; `foreign` of one that is not below: somebody else had opened a case of that id."""
    result: str = ""
    needs: tuple[str, ...] = ()
    """What it waits for: keys of evidence, ids of reviews."""
    reasons: tuple[str, ...] = ()
    """Why, for each of `needs`: the reason of a park, the rule of a review."""
    kinds: tuple[str, ...] = ()
    """What each of `needs` is: `evidence`, `review` or `operator`."""
    value: Raw = NIL


class Drawn(Struct, frozen=True, kw_only=True, tag="drawn", gc=False):
    """A moment, a number or an id that the flow asked for."""

    value: Raw


class Noted(Struct, frozen=True, kw_only=True, tag="noted", omit_defaults=True, gc=False):
    """Something worth telling: `level` is `info`, `warning` or `error`; `place` is file and line of bad input."""

    text: str
    level: str = "info"
    place: str = ""
    data: Raw = NIL


class Decision(Struct, frozen=True, kw_only=True, tag="decision", omit_defaults=True, gc=False):
    """A choice: what was offered, what was taken, by which rule and why."""

    subject: str
    options: tuple[str, ...]
    chosen: str
    rule: str
    why: str = ""
    confidence: float = 1.0
    inputs_hash: str = ""
    policy_hash: str = ""


class Won(Struct, frozen=True, kw_only=True, tag="won", gc=False):
    """Of several branches this one ended first."""

    branch: int


class Cancel(Struct, frozen=True, kw_only=True, tag="cancel", omit_defaults=True, gc=False):
    """Somebody asked the case to stop."""

    message_id: str
    by: str
    reason: str = ""


class Halted(Struct, frozen=True, kw_only=True, tag="halted", gc=False):
    """The case cannot go on by itself: its code or its log is not what it was."""

    reason: str


class Chapter(Struct, frozen=True, kw_only=True, tag="chapter", omit_defaults=True, gc=False):
    """A long case began afresh, from a state; it says again what the first record says, with the version of now."""

    number: int
    """1 for the first one after the case was opened."""
    identity: str
    """What ids of tasks and reviews of this chapter grow from: a hash in hex."""
    flow: str
    version: str
    source_hash: str
    crew: str
    state: Raw = NIL
    policy_hash: str = ""
    parent: str = ""
    trace: str = ""
    purpose: str = ""
    project: str = ""
    user: str = ""
    mandate: Mandate | None = None
    """What is left of it."""
    hasty: int = 0
    """How many chapters before it, in a row, ended without having waited for anything."""
    partial: bool = False
    """In an earlier one a person has accepted that something stands: so the case closes as partial."""
    waited: int = 0
    """The latest moment that the case has waited for: what comes next by a rule is later."""


class Migrated(Struct, frozen=True, kw_only=True, tag="migrated", omit_defaults=True, gc=False):
    """From here on the case runs another version of its flow, which does all that the log says."""

    version: str
    source_hash: str
    version_before: str
    source_hash_before: str
    by: str
    reason: str = ""


class Reckoned(Struct, frozen=True, kw_only=True, tag="reckoned", omit_defaults=True, gc=False):
    """What was written in the part of the flow that failed, in the order in which it was done."""

    writes: tuple[Write, ...] = ()


class Partial(Struct, frozen=True, kw_only=True, tag="partial", omit_defaults=True, gc=False):
    """Something failed, and not everything that was written before is undone; each list is sorted by step."""

    done: tuple[Effect, ...] = ()
    undone: tuple[Effect, ...] = ()
    unknown: tuple[Effect, ...] = ()


class CaseResult(enum.StrEnum):
    """How a case ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARTIAL = "partial"


class Closed(Struct, frozen=True, kw_only=True, tag="closed", omit_defaults=True, gc=False):
    """A case ended."""

    result: CaseResult
    value: Raw = NIL
    error: str = ""


Entry = (
    Opened
    | Task
    | Completed
    | Failed
    | Call
    | Intent
    | Done
    | Undone
    | Review
    | Decided
    | Withdrawn
    | Parked
    | Unparked
    | Arrived
    | Timer
    | Fired
    | Child
    | Sent
    | Stopped
    | Reported
    | Drawn
    | Noted
    | Decision
    | Won
    | Cancel
    | Halted
    | Chapter
    | Migrated
    | Reckoned
    | Partial
    | Closed
)
