"""What a case needs from the people it employs: the port between the flow engine and the house of actors.

The engine decides what happens next; the staff does it. `rule` is the gate's first half: sync, pure, made when the
bytes of a call are final. `perform` is its second half, at the moment of the call. `dispatch` hands a task to the
supervisor. The engine records every ruling and every result; the staff records nothing.
It does not know how a task is routed nor what a tool does.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Raw, Struct

from casework.protocols.records import Decision, Verdict
from casework.protocols.wire import NIL, Completed, Cost, Failed, FailureKind, OnStop, RiskTier, Task
from casework.runtime.store.base import CaseKey
from casework.runtime.switches import Switch


class Grant(Struct, frozen=True, gc=False):
    """What the caller of a tool may do at most."""

    caller: str
    """Name of the agent, or of the flow itself."""
    tools_allowed: tuple[str, ...]
    risk_tier: RiskTier
    calls_left: int
    micros_left: int
    purpose: str
    deadline: int = 0
    """Until when it may wait for its turn, in microseconds since the epoch; 0: nobody says."""


class Undoes(Struct, frozen=True, gc=False):
    """The write that a call undoes: one that stands in the log as done."""

    step_id: str
    tool: str


class CallRequest(Struct, frozen=True):
    """One tool call, its bytes final."""

    key: CaseKey
    step_id: str
    tool: str
    arguments: Raw
    grant: Grant
    trace: str = ""
    undoes: Undoes | None = None
    project: str = ""
    """Of the case, as its user is."""
    user: str = ""
    reserve: Callable[[], Awaitable[bool]] | None = None
    """Draws what the call may cost; asked last before it is made, and if it says no, it is not made."""


class Ruling(Struct, frozen=True, gc=False):
    """What the gate says of a call before it is made."""

    verdict: Verdict
    tier: RiskTier = RiskTier.READ_ONLY
    micros_max: int = 0
    """What the call may cost at most; a call that costs something is recorded before it is made."""
    accounts: tuple[str, ...] = ()
    """The budgets from which that is drawn, if it is more than nothing."""
    approval: str = ""
    """Title of the review that a person must approve first; empty when none is needed."""
    call_within_seconds: float = 30.0
    """How long after its intent the call may still be made."""
    inputs: object = None
    """The arguments as it has read them, which `perform` need not do again; None if it has not."""


class CallResult(Struct, frozen=True, gc=False):
    """What became of a call."""

    value: Raw = NIL
    failure: FailureKind | None = None
    """`UNKNOWN` when a write may have happened."""
    message: str = ""
    cost: Cost = Cost()
    tries: int = 1
    held: str = ""
    """What is paused, as `kind:NAME`: the call was not made, and waits until that is resumed."""
    decisions: tuple[Decision, ...] = ()
    """Choices that were made on the way, for the log: another tool stood in, one was tried again, none was called."""


class Circuit(Struct, frozen=True, kw_only=True, gc=False):
    """A circuit breaker as it stands: of an agent, a tool or a model."""

    kind: str
    name: str
    state: str
    """`closed`, `open` or `half_open`."""
    calls: int
    """Calls that ended within its window, while it is closed; of these so many failed, or were slow."""
    failures: int
    slow: int
    micros: int
    """What they cost, in millionths."""
    refused: int
    """Calls that were not let through since the process began."""
    opened: int
    """How often it opened since then."""
    why: str
    """Why it opened; empty while it is closed."""


class Undoing(Struct, frozen=True, gc=False):
    """How a write is undone."""

    tool: str = ""
    """Empty if nothing undoes it; `why` says so."""
    arguments: Raw = NIL
    delays: tuple[float, ...] = ()
    """Seconds before each further try, after one that is known to have failed."""
    why: str = ""


class Overdraft(Struct, frozen=True, gc=False):
    """What becomes of a call for which too little is left of a budget."""

    then: OnStop = OnStop.PARK
    """It waits for the limit to be raised, a person is asked, or it is refused."""
    cheaper: str = ""
    """The tool that is called in its stead, if it can be; empty for none."""


class Budgeting(Protocol):
    """The rules of budgets; pure."""

    def limit(self, account: str) -> int:
        """Give the limit, in millionths, of an account that nobody has set one for."""
        ...

    def overdrawn(self, tool: str) -> Overdraft:
        """Say what becomes of a call of a tool for which too little is left."""
        ...


class Retry(Struct, frozen=True, gc=False):
    """Whether a failed task is tried again, as a decision for the log."""

    again: bool
    delay_seconds: float
    decision: Decision
    """Its last option is to stop."""


class CaseRef(Protocol):
    """Where an agent's answers and requests go: the case that sent the task."""

    @property
    def address(self) -> str:
        """Name the case's cell."""
        ...

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        """Hand in the outcome's frame; a late one is ignored."""
        ...

    async def call(self, frame: bytes) -> bytes:
        """Ask for one tool call (`CallAsked`) and wait for its `CallAnswered` frame.

        If cancelled, the call may still be made and recorded; its answer is dropped.
        """
        ...


class Staff(Protocol):
    """Agents, tools and policies, as a case sees them."""

    @property
    def policy_hash(self) -> str:
        """Hash of the policy under which rulings are made now."""
        ...

    @property
    def budgets(self) -> Budgeting:
        """The rules of budgets."""
        ...

    @property
    def spends(self) -> bool:
        """Tell whether any of its tools costs something; else nobody waits for money."""
        ...

    def dispatch(self, frame: bytes, task: Task, attempt: int, case: CaseRef) -> Failed | None:
        """Send a task's frame towards an agent; never waits. A refusal comes back at once as an outcome."""
        ...

    def recall(self, task_id: str, cell: str) -> None:
        """Stop work on a task whose answer the cell that gave it out does not want any more; what is unknown is fine.

        Two cells of a case may have given out one task: one of them has lost the case, and does not know yet.
        """
        ...

    def routed(self, task_id: str, cell: str) -> Decision | None:
        """Give the last choice of who does a cell's task, for the log; None if nobody had to choose."""
        ...

    def judge(self, task: Task, outcome: Completed | Failed, cell: str) -> None:
        """Hear how a cell's task ended, for breakers and statistics."""
        ...

    def attempt_seconds(self, task: Task) -> float:
        """Say how long one attempt at a task may take."""
        ...

    def retry(self, task: Task, failed: Failed, attempt: int) -> Retry:
        """Decide whether a failed task is tried again; pure."""
        ...

    def undo(self, tool: str, arguments: Raw, value: Raw) -> Undoing:
        """Say how a write with these arguments, which gave this value, is undone; pure."""
        ...

    def rule(self, request: CallRequest) -> Ruling:
        """Rule on a call before it is made; pure."""
        ...

    def circuits(self) -> Sequence[Circuit]:
        """Give every circuit breaker as it stands."""
        ...

    def turn(self, switch: Switch) -> None:
        """Hear that something was paused or resumed; what is paused has no effect from now on."""
        ...

    def lifted(self, target: str) -> bool:
        """Tell whether what a call was held for, as its result named it, is no longer paused."""
        ...

    def begin(self, request: CallRequest, inputs: object) -> CallResult | Callable[[], Awaitable[CallResult]]:
        """Make a call that was allowed, only reads and costs nothing, if nothing has to be waited for; never waits.

        Else give what is left to be awaited: `perform`, or what follows a first try. `inputs` are those of its ruling.
        """
        ...

    async def perform(
        self, request: CallRequest, *, idempotency_key: str, call_before: int, inputs: object = None
    ) -> CallResult:
        """Make a call that was allowed; never raises for what the tool did. `inputs` are those of its ruling.

        If cancelled, a write may have happened: its intent stays open in the log.
        """
        ...

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        """Find out what became of a write whose end was not recorded.

        It was intended at `intended_at` and not to begin from `call_before` on, in microseconds since the epoch.
        Gives a value (it happened), a failure other than UNKNOWN (it did not), or UNKNOWN (nobody can say).
        A keyed tool may be called again with the same key and bytes.
        """
        ...
