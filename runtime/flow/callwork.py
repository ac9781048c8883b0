"""One call on its way: what was asked for, who waits for it, and how far it is.

It does not know what is done with it.
"""

from collections.abc import Callable

from msgspec import Struct

from casework.protocols.codec import CARRIED_BYTES_MAX, pack
from casework.protocols.errors import FrameTooLarge
from casework.protocols.records import Call, Decided, Intent, ReviewAction, Verdict
from casework.protocols.wire import NIL, Cost, FailureKind
from casework.runtime.flow.callhistory import Ended
from casework.runtime.seams import MICROS
from casework.runtime.staff import CallRequest, CallResult, Ruling
from casework.runtime.store.accounts import Overdrawn
from casework.runtime.telemetry import SpanHandle


class CallWork(Struct, eq=False):
    """One call on its way."""

    request: CallRequest
    done: Callable[[Ended], None]
    wanted: bool
    """Somebody waits for it."""
    intent: Intent | None = None
    running: bool = False
    edited: bool = False
    began: float = 0.0
    """When it was begun, in monotonic seconds, if it only reads and is inside a task: the log tells of others."""
    span: SpanHandle | None = None
    short: Overdrawn | None = None
    """The account in which too little was left for it."""

    def refused(self, verdict: Verdict, why: str) -> Call:
        """Make the record of a call that may not be made."""
        request = self.request
        return Call(
            tool=request.tool,
            arguments=request.arguments,
            verdict=verdict,
            failure=FailureKind.REFUSED,
            message=why,
            edited=self.edited,
        )

    def intended(self, ruling: Ruling, key: str, now: int) -> Intent:
        """Make the record of a write that may be made from now on, in microseconds since the epoch, under a key."""
        request = self.request
        return Intent(
            tool=request.tool,
            arguments=request.arguments,
            tier=ruling.tier,
            key=key,
            call_before=now + int(ruling.call_within_seconds * MICROS),
            verdict=ruling.verdict,
            edited=self.edited,
            undoes=request.undoes.step_id if request.undoes else "",
            accounts=ruling.accounts,
            micros=ruling.micros_max,
        )

    def read(self, verdict: Verdict, result: CallResult, took: int) -> Call:
        """Make the record of a call that only reads; it took so many microseconds, 0 for one that the flow made."""
        request, value, failure, message = self.request, result.value, result.failure, result.message
        carried = len(request.arguments) + len(value)
        if carried > CARRIED_BYTES_MAX:
            value, failure, message = NIL, FailureKind.INVALID, str(FrameTooLarge(carried, CARRIED_BYTES_MAX))
        return Call(
            tool=request.tool,
            arguments=request.arguments,
            verdict=verdict,
            value=value,
            failure=failure,
            message=message,
            cost=result.cost,
            tries=result.tries,
            edited=self.edited,
            took=took,
        )

    def settled(self, decided: Decided) -> CallResult:
        """Say what became of a write by the word of a person, for nobody else could tell."""
        assert self.intent is not None, "what may have happened was intended"
        if decided.action is ReviewAction.REJECT:
            return CallResult(failure=FailureKind.ERROR, message=f"{decided.by} says that it did not happen")
        return CallResult(value=pack(None), cost=Cost(calls=1, micros=self.intent.micros))
